"""Unsure answers and conformal sets: in numbers, and as the recogniser gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dcdan.core.errors import UsageError
from dcdan.images.status import Status
from dcdan.inference.answers import candidate_sets, named, set_threshold
from dcdan.inference.model_card import Calibration, read_model_info
from dcdan.inference.recogniser import load
from dcdan.inference.session import Session
from dcdan.inference.table import FaceResult
from tiny_model import CALIBRATION, COLOURS, coloured, write_run

CLASSES = ("fear", "anger", "neutral")


def test_sets_equal_a_loop_over_faces() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    for threshold in (0.0, 0.2, 0.5, 0.9):
        for row, found in zip(p.tolist(), candidate_sets(p, threshold, CLASSES), strict=True):
            ranked = sorted(range(3), key=lambda index: -row[index])
            wanted = [CLASSES[index] for index in ranked if row[index] >= threshold]
            assert list(found) == (wanted or [CLASSES[ranked[0]]])
    assert candidate_sets(p[:0], 0.5, CLASSES) == []


def test_a_level_that_the_model_lacks_is_refused_with_those_it_has() -> None:
    calibration = Calibration(conformal={"0.9": 0.1, "0.8": 0.4})
    assert set_threshold(calibration, 0.9) == 0.1
    with pytest.raises(UsageError, match=r"level 0\.5\. It has: 0\.8, 0\.9\."):
        set_threshold(calibration, 0.5)
    with pytest.raises(UsageError, match="without a calibration"):
        set_threshold(Calibration(), 0.9)


def pale(run: Path, **options: object) -> list[FaceResult]:
    """Recognise a black face, which is certain, and two that are less and less so."""
    model = load(run, threads=1, **options)  # type: ignore[arg-type]
    black = np.array(COLOURS[0])
    faces = [np.full((32, 32, 3), black + step, np.uint8) for step in (0, 90, 120)]
    return [result for (result,) in model.recognise(list(faces))]


def test_answers_below_the_bar_are_unsure_and_keep_their_expression(run: Path) -> None:
    found = pale(run)
    assert [result.unsure for result in found] == [
        result.probability is not None and result.probability < CALIBRATION["unsure_below"] for result in found
    ]
    assert {result.unsure for result in found} == {True, False}
    assert all(result.expression is not None for result in found)
    assert [result.candidates for result in found] == [()] * 3


def test_sets_are_given_where_a_level_is_asked_for(run: Path) -> None:
    for level in (0.8, 0.9):
        threshold = CALIBRATION["conformal"][f"{level:g}"]
        for result in pale(run, sets=level):
            assert result.candidates[0] == result.expression
            likely = {name for name, p in result.probabilities.items() if p >= threshold}
            assert set(result.candidates) == likely | {result.expression}
    sizes = [len(result.candidates) for result in pale(run, sets=0.9)]
    assert sizes[0] == 1 < sizes[-1]
    with pytest.raises(UsageError, match=r"It has: 0\.8, 0\.9, 0\.95"):
        load(run, sets=0.99)


def test_a_model_without_a_calibration_is_never_unsure(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", calibration={})
    assert not any(result.unsure for result in pale(run))
    info = read_model_info(run)
    outputs = Session(run / "model.onnx", info, 1).run(np.stack([coloured(1, 32)]))
    (result,) = named([FaceResult("a", 0, Status.OK)], outputs, info)
    assert (result.unsure, result.candidates) == (False, ())


def test_an_int8_graph_is_loaded_where_there_is_one(run: Path) -> None:
    from dcdan.core.errors import ModelError

    with pytest.raises(ModelError, match=r"dcdan export"):
        load(run, precision="int8")
    with pytest.raises(UsageError, match="Did you mean 'int8'"):
        load(run, precision="int4")  # type: ignore[arg-type]
