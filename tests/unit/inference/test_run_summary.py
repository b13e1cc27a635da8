"""Counts of a run, its overview, and hints on faces that differ from those that the model knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcdan.images.status import Status
from dcdan.inference.model_card import ModelInfo, read_model_info
from dcdan.inference.run_summary import RunSummary, overview, shift_hints
from dcdan.inference.table import FaceResult, Quality

GOOD = Quality(side=100.0, sharpness=0.6, yaw=-10.0, roll=0.0, score=0.99)


def face(expression: str = "anger", quality: Quality = GOOD, unsure: bool = False) -> FaceResult:
    return FaceResult("a.jpg", 0, Status.OK, expression, 0.9, "fused", quality=quality, unsure=unsure)


def counted(rows: list[FaceResult], size: int = 64) -> RunSummary:
    summary = RunSummary(inputs=len(rows), face_size=size)
    for row in rows:
        summary.count(row)
    return summary


@pytest.fixture
def info(run: Path) -> ModelInfo:
    return read_model_info(run)


def test_the_overview_has_shares_unsure_faces_and_what_was_left_out(info: ModelInfo) -> None:
    rows = [face(), face(unsure=True), face("fear"), face(), FaceResult("b.jpg", None, Status.NO_FACE)]
    assert overview(counted(rows), info, "2 files of other kinds left out: 2 .txt") == [
        "5 inputs, 4 faces recognised (4 ok, 1 no_face)",
        "anger 75 %, fear 25 %",
        "unsure: 1 of 4 faces (25 %)",
        "2 files of other kinds left out: 2 .txt",
    ]
    assert overview(RunSummary(inputs=1), info) == ["1 input, 0 faces recognised (nothing)"]


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (Quality(63.9, 0.6, 0.0, 0.0, 1.0), "smaller than the 32 pixels"),
        (Quality(100, 0.249, 0.0, 0.0, 1.0), "are blurred"),
        (Quality(100, 0.6, -35.0, 0.0, 1.0), "are turned by 35 degrees or more"),
        (Quality(100, 0.6, 35.0, 0.0, 1.0), "are turned by 35 degrees or more"),
        (Quality(100, 0.6, 0.0, 0.0, 1.0, grey=True), "have no colour"),
    ],
)
def test_a_quarter_of_odd_faces_is_worth_a_hint(info: ModelInfo, odd: Quality, told: str) -> None:
    found = shift_hints(counted([face(quality=odd)] * 6 + [face()] * 18), info)
    assert len(found) == 2
    assert found[0].startswith("25 % of the faces")
    assert told in found[0]
    assert "dcdan adapt --target" in found[1]
    assert shift_hints(counted([face(quality=odd)] * 5 + [face()] * 18), info) == []
    assert shift_hints(counted([face(quality=odd)] * 19), info) == []


@pytest.mark.parametrize(
    "near",
    [
        Quality(64, 0.6, 0.0, 0.0, 1.0),
        Quality(100, 0.25, 0.0, 0.0, 1.0),
        Quality(100, 0.6, 34.9, 0.0, 1.0),
        Quality(100, 0.6, None, None, 1.0),
    ],
)
def test_what_is_just_good_enough_is_no_difference(info: ModelInfo, near: Quality) -> None:
    assert shift_hints(counted([face(quality=near)] * 30), info) == []


def test_a_model_of_grey_faces_does_not_mind_grey_faces(info: ModelInfo) -> None:
    grey = [face(quality=Quality(100, 0.6, 0.0, 0.0, 1.0, grey=True))] * 30
    assert shift_hints(counted(grey), info)
    assert shift_hints(counted(grey), info.model_copy(update={"architecture": {"grey": True}})) == []


def test_counts_survive_a_pause() -> None:
    summary = counted([face(unsure=True), face("fear"), FaceResult("b", None, Status.UNREADABLE)])
    assert RunSummary.from_dict(json.loads(json.dumps(summary.to_dict()))) == summary
    assert RunSummary.from_dict({}, 64) == RunSummary(face_size=64)
