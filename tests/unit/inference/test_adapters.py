"""Results as `supervision.Detections`."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

import dcdan
from dcdan.core.errors import MissingExtraError
from dcdan.images.status import Status
from dcdan.inference.table import FaceResult, Quality


def face(expression: str, left: float, track: int | None) -> FaceResult:
    probabilities = {"anger": 0.3, "fear": 0.7} if expression == "fear" else {"anger": 0.6, "fear": 0.4}
    return FaceResult(
        "a.mp4",
        0,
        Status.OK,
        expression,
        probabilities[expression],
        probabilities=probabilities,
        box=(left, 1.0, left + 9, 12.0),
        unsure=expression == "anger",
        quality=Quality(9.0, 0.5, None, None, 0.98),
        track=track,
    )


def test_faces_become_detections() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own imports
        pytest.importorskip("supervision")
        found = dcdan.to_supervision([face("fear", 2, 7), face("anger", 30, 3), FaceResult("a", None, Status.NO_FACE)])
    assert found.xyxy.tolist() == [[2, 1, 11, 12], [30, 1, 39, 12]]
    assert found.confidence == pytest.approx([0.7, 0.6])
    assert found.class_id.tolist() == [1, 0]
    assert found.tracker_id.tolist() == [7, 3]
    assert found.data["class_name"].tolist() == ["fear", "anger"]
    assert found.data["unsure"].tolist() == [False, True]
    assert found.data["score"] == pytest.approx([0.98, 0.98])
    assert len(found[found.confidence > 0.65]) == 1
    assert dcdan.to_supervision([face("fear", 2, None)]).tracker_id is None
    assert dcdan.to_supervision([face("fear", 2, None)], ["fear", "anger"]).class_id.tolist() == [0]
    assert len(dcdan.to_supervision([])) == 0
    assert np.isnan(
        dcdan.to_supervision(
            [FaceResult("a", 0, Status.OK, "fear", 0.7, probabilities={"fear": 1.0}, box=(0, 0, 1, 1))]
        ).data["score"]
    )[0]


def test_without_supervision_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match="pip install supervision"):
        dcdan.to_supervision([])
