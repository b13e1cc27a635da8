"""Measure what an explanation costs: processor time of one face with one thread, aligned face to finished maps.

python experiments/explain/cost.py MODEL

Processor time is that of this process, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dcdan.explanation.explainer import Explained, Explainer, load_explainer
from dcdan.explanation.sources import Source
from dcdan.images.inputs import Picture
from dcdan.images.status import Status
from dcdan.inference.table import FaceResult
from dcdan.reports.explanation_page import explanation_page

REPEATS = 15


def cost(work: Callable[[], object]) -> str:
    """Return median and quartiles of the processor time in milliseconds."""
    work()
    times = []
    for _ in range(REPEATS):
        begun = time.process_time()
        work()
        times.append(1000 * (time.process_time() - begun))
    low, middle, high = np.percentile(times, (25, 50, 75))
    return f"{middle:.0f} ms ({low:.0f} to {high:.0f})"


def results_of(explainer: Explainer, faces: np.ndarray) -> list[FaceResult]:
    outputs = explainer.recogniser.recognise_faces(faces)
    classes = explainer.recogniser.classes
    return [
        FaceResult(
            "face",
            0,
            Status.OK,
            classes[int(outputs.expression[row])],
            float(outputs.confidence[row]),
            probabilities=dict(zip(classes, outputs.probabilities[row].tolist(), strict=True)),
        )
        for row in range(len(faces))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    for precision in ("fp32", "int8"):
        explainer = load_explainer(options.model, threads=1, align="none", precision=precision)
        words = Explainer(explainer.recogniser, explainer.action_map, ())
        size = explainer.recogniser.info.face.size
        face = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
        results = results_of(explainer, face)
        done = [Explained(Source(Picture("face", face[0])), explainer.explain_faces(results, face), Status.OK)]
        print(f"{precision}: the answer alone {cost(lambda: explainer.answer(face))}")  # noqa: B023
        print(f"{precision}: reasons in words {cost(lambda: words.explain_faces(results, face))}")  # noqa: B023
        print(f"{precision}: with occlusion {cost(lambda: explainer.explain_faces(results, face))}")  # noqa: B023
        print(f"page of one face {cost(lambda: explanation_page(explainer, done, []))}")  # noqa: B023


if __name__ == "__main__":
    main()
