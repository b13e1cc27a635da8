"""36,000 faces take less than a second of processor time in each function, and nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from correction_data import CLASSES
from dcdan.correction import baselines, estimators, labels, memory, output, shares
from dcdan.correction.arrays import log_softmax

COUNT, K = 36_000, 8
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, K, COUNT)
Z = log_softmax(2 * np.eye(K)[TRUTH] + RNG.normal(size=(COUNT, K)))
EVEN = np.full(K, 1 / K)
GROUPS = RNG.integers(0, 300, COUNT).astype(str)
OFFSETS = {str(group): EVEN for group in range(300)}
SAMPLE = labels.draw_faces(Z.argmax(1), K, 80)
LABELLED = labels.Labelled(SAMPLE, TRUTH[SAMPLE.rows])

FUNCTIONS: dict[str, Callable[[], object]] = {
    "em": lambda: shares.em_shares(Z, EVEN),
    "map-em": lambda: shares.em_shares(Z, EVEN, EVEN),
    "rlls": lambda: shares.confusion_shares(Z, np.eye(K) + 0.1),
    "corrected": lambda: output.corrected(Z, EVEN),
    "group_offsets": lambda: output.group_offsets(Z, GROUPS),
    "neutral_offsets": lambda: output.neutral_offsets(Z, GROUPS),
    "sinkhorn": lambda: output.sinkhorn(Z, EVEN),
    "apply": lambda: output.OutputCorrection.of(CLASSES, EVEN, OFFSETS).apply(Z, GROUPS),
    "draw_faces": lambda: labels.draw_faces(TRUTH, K, 80),
    "fit_bias": lambda: labels.fit_bias(Z, TRUTH),
    "correct_by_labels": lambda: labels.correct_by_labels(Z, LABELLED, CLASSES),
    "all_scores": lambda: estimators.all_scores(Z, -1.0, 0.8, 0.8, (Z, Z)),
    "memory_distance": lambda: estimators.memory_distance_score(Z, Z[:K], EVEN),
    "k_means": lambda: memory.k_means(Z, 64),
    "confidence_curve": lambda: memory.confidence_curve(Z, TRUTH),
    "t3a": lambda: baselines.t3a(Z, Z[:K], EVEN),
    "lame": lambda: baselines.lame(Z, Z),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_36000_faces_take_less_than_a_second(name: str) -> None:
    times = []
    for _ in range(2):
        start = time.process_time()
        FUNCTIONS[name]()
        times.append(time.process_time() - start)
    assert min(times) < 1, times


def test_only_numpy_and_pydantic_are_imported() -> None:
    code = (
        "import sys; from dcdan.correction import baselines, estimators, labels, memory, output, shares, verdict;"
        "heavy = {'torch', 'scipy', 'cv2', 'onnxruntime', 'sklearn', 'safetensors', 'pyarrow'};"
        "loaded = heavy & {name.partition('.')[0] for name in sys.modules}; assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
