"""One answer as a dictionary and as a table row."""

from __future__ import annotations

import json

import pytest

from dcdan.faces.status import Status
from dcdan.recognition.results import FaceResult, Quality, columns

CLASSES = ("fear", "anger")
FACE = FaceResult(
    path="a.jpg",
    face=1,
    status=Status.OK,
    expression="anger",
    probability=0.75,
    decided_by="global",
    probabilities={"fear": 0.25, "anger": 0.75},
    box=(1.0, 2.5, 30.0, 40.0),
    landmarks=((0.25, 0.5),) * 5,
    region_weights={"nose": 1.0},
    unsure=True,
    candidates=("anger", "fear"),
    quality=Quality(side=29.0, sharpness=0.5, yaw=-12.25, roll=3.0, score=0.99),
    frame=7,
    time=0.28,
    track=2,
)


def test_a_row_has_the_cells_of_its_columns() -> None:
    assert dict(zip(columns(CLASSES), FACE.to_row(CLASSES), strict=True)) == {
        "path": "a.jpg",
        "face": "1",
        "status": "ok",
        "expression": "anger",
        "probability": "0.750000",
        "unsure": "yes",
        "decided_by": "global",
        "p_fear": "0.250000",
        "p_anger": "0.750000",
        "x0": "1.00",
        "y0": "2.50",
        "x1": "30.00",
        "y1": "40.00",
        "candidates": "anger fear",
        "side": "29.000",
        "sharpness": "0.500",
        "yaw": "-12.250",
        "roll": "3.000",
        "score": "0.990",
        "frame": "7",
        "time": "0.280",
        "track": "2",
    }


def test_a_row_without_a_face_is_empty_after_its_status() -> None:
    row = FaceResult("b.jpg", None, Status.NO_FACE).to_row(CLASSES)
    assert row == ["b.jpg", "", "no_face", *[""] * (len(columns(CLASSES)) - 3)]


@pytest.mark.parametrize("path", ["=1+1.jpg", "+a.jpg", "-a.jpg", "@a.jpg", "\ta.jpg"])
def test_a_file_name_is_never_a_formula(path: str) -> None:
    assert FaceResult(path, None, Status.NO_FACE).to_row(CLASSES)[0] == "'" + path
    assert FaceResult(path, None, Status.NO_FACE).to_dict()["path"] == path


def test_a_dictionary_survives_json() -> None:
    content = FACE.to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["probabilities"] == {"fear": 0.25, "anger": 0.75}
    assert content["box"] == [1.0, 2.5, 30.0, 40.0]
    empty = FaceResult("b.jpg", None, Status.MISSING).to_dict()
    assert (empty["status"], empty["expression"], empty["box"]) == ("missing", None, None)
