"""Two models on one folder: faces where they differ come first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PIL import Image

from dcdan.app.comparison import compare, gap
from dcdan.core.errors import DataError
from dcdan.expressions import EXPRESSIONS
from dcdan.images.status import Status
from dcdan.inference.recogniser import load
from dcdan.inference.table import FaceResult
from tiny_model import coloured, write_run


def test_models_that_differ(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(8):
        Image.fromarray(coloured(number)).save(photos / f"{number}.png")
    (photos / "bad.png").write_bytes(b"none")
    swapped = [EXPRESSIONS[1], EXPRESSIONS[0], *EXPRESSIONS[2:]]
    first = load(write_run(tmp_path / "a"), threads=1)
    second = load(write_run(tmp_path / "b", classes=swapped), threads=1)
    told: list[tuple[int, int]] = []
    faces, counts = compare(first, second, str(photos), lambda *each: told.append(each), threading.Event())
    assert told[-1] == (9, 9)
    assert counts == {"pictures": 9, "left_out": 0, "without_face": 1, "unmatched": 0}
    differ = [face for face in faces if face.first[0] != face.second[0]]
    assert {Path(face.path).stem for face in differ} == {"0", "1"}
    assert faces[:2] == differ
    assert [face.gap for face in faces[2:]] == sorted((face.gap for face in faces[2:]), reverse=True)
    assert faces[0].gap == pytest.approx(abs(faces[0].first[1]), abs=0.1)
    assert faces[0].to_dict("fear")["label"] == "fear"


def test_stop_and_nothing(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    model = load(write_run(tmp_path / "a"), threads=1)
    with pytest.raises(DataError, match="no face"):
        compare(model, model, str(photos), lambda *_: None, threading.Event())
    for number in range(70):
        Image.fromarray(coloured(number % 8)).save(photos / f"{number}.png")
    stop = threading.Event()
    stop.set()
    faces, counts = compare(model, model, str(photos), lambda *_: None, stop)
    assert (len(faces), counts["pictures"]) == (32, 32)


def test_gap_is_half_the_absolute_difference_with_classes_of_one_alone() -> None:
    one = FaceResult("a", 0, Status.OK, probabilities={"a": 0.5, "b": 0.3, "c": 0.2})
    two = FaceResult("a", 0, Status.OK, probabilities={"a": 0.1, "b": 0.9})
    assert gap(one, two) == gap(two, one) == pytest.approx((0.4 + 0.6 + 0.2) / 2)
    assert gap(one, one) == 0
