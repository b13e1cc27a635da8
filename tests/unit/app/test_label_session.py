"""Labels: on the disk before they are answered for, merged by the last one, and what they say so far."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcdan.adaptation.extraction import Answers
from dcdan.adaptation.folder import OutputRun
from dcdan.adaptation.job import adapt_to_faces
from dcdan.app.label_session import LabelSession, shown_order, statistics
from dcdan.app.label_view import label_state
from dcdan.core.errors import DataError, UsageError
from dcdan.correction.labels import UNANSWERED, draw_faces, measured_accuracy
from dcdan.expressions import EXPRESSIONS
from tiny_model import coloured, write_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("label session")
    rng = np.random.default_rng(0)
    for number in range(64):
        picture = 127 + 0.6 * (coloured(number % 8).astype(float) - 127) + rng.normal(0, 20, 3)
        person = folder / "photos" / ("anna" if number % 2 else "ben")
        person.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(person / f"{number:02}.png")
    model = write_run(folder / "model")
    adapt_to_faces(OutputRun(target=str(folder / "photos"), model=str(model)), folder / "run", threads=1)
    return folder / "run"


@pytest.fixture
def session(made: Path, tmp_path: Path) -> LabelSession:
    import shutil

    shutil.copytree(made, tmp_path / "run")
    return LabelSession(tmp_path / "run", 1)


def test_each_label_is_on_the_disk_and_a_new_session_knows_it(session: LabelSession) -> None:
    first, second, third = session.order()[:3]
    session.give(first, "fear")
    session.give(second, "skip")
    session.give(third, "not a face")
    again = LabelSession(session.folder, 1)
    assert again.names() == {first: "fear", second: "skip", third: "not a face"}
    assert again.given() == {first: EXPRESSIONS.index("fear"), second: UNANSWERED, third: UNANSWERED}
    lines = (session.folder / "label" / "given.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["fear", "skip", "skip"]
    again.give(third, "anger")
    again.give(first, None)
    assert session.names() == {second: "skip", third: "anger"}
    again.give(third, "skip")
    assert session.names()[third] == "skip"


def test_two_sessions_merge_and_the_last_label_wins(session: LabelSession) -> None:
    other = LabelSession(session.folder, 1)
    one, two = session.order()[:2]
    session.give(one, "fear")
    other.give(two, "anger")
    other.give(one, "neutral")
    assert session.names() == other.names() == {one: "neutral", two: "anger"}


def test_a_line_that_was_cut_loses_nothing_else(session: LabelSession) -> None:
    one, two, three = session.order()[:3]
    session.give(one, "fear")
    session.give(two, "not a face")
    for name in ("given.jsonl", "not_faces.jsonl"):
        with (session.folder / "label" / name).open("a") as file:
            file.write('{"path": "x", "fa')
    session.give(three, "not a face")
    assert session.names() == {one: "fear", two: "not a face", three: "not a face"}


def test_the_same_for_all_of_a_person(session: LabelSession) -> None:
    drawn = session.order()
    anna = [row for row in drawn if session.answers.groups[row] == "anna"]
    session.give(anna[1], "fear")
    changed = session.give(anna[0], "neutral", whole_group=True)
    assert sorted(changed) == sorted(row for row in anna if row != anna[1])
    assert session.names() == {row: "fear" if row == anna[1] else "neutral" for row in anna}


def test_a_second_person(session: LabelSession) -> None:
    rows = session.order()[:6]
    for row, name in zip(rows, ["fear", "fear", "anger", "anger", "skip", "fear"], strict=True):
        session.give(row, name)
    for row, name in zip(rows, ["fear", "fear", "anger", "fear", "anger", "skip"], strict=True):
        session.give(row, name, "Zoë B.")
    assert session.labellers() == ["Zoë B."]
    found = session.statistics("Zoë B.")
    assert found["agreement"] == {"kappa": 0.5, "faces": 4}
    assert session.given() != session.given("Zoë B.")
    assert found["labelled"] == 5
    assert "agreement" not in session.statistics()


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "..", ".hidden", "x" * 41, "a\0b", "a\n"])
def test_names_of_people_cannot_lead_out_of_the_run(session: LabelSession, name: str) -> None:
    with pytest.raises(UsageError, match="letters, digits"):
        session.give(session.order()[0], "fear", name)
    assert not (session.folder / "labellers").exists()


def test_faces_and_labels_that_are_none(session: LabelSession) -> None:
    drawn = set(session.order())
    other = next(row for row in range(len(session.answers)) if row not in drawn)
    for row in (other, -1, 10**9):
        with pytest.raises(UsageError, match="not drawn"):
            session.give(row, "fear")
    with pytest.raises(DataError, match="no expression"):
        session.give(session.order()[0], "joyful-ish")
    with pytest.raises(UsageError, match="No label"):
        session.give(session.order()[0], " ")
    assert session.names() == {}


def test_what_the_page_is_told_does_not_say_what_the_model_thinks(session: LabelSession) -> None:
    session.give(session.order()[0], "fear")
    state = label_state(session)
    assert [face["row"] for face in state["faces"]] == session.order()
    assert set(state["faces"][0]) == {"row", "path", "face", "group", "label"}
    assert state["faces"][0]["label"] == "fear"


def test_thumbnails_are_made_once_and_vanished_pictures_are_a_sentence(session: LabelSession) -> None:
    row = session.order()[0]
    path = session.thumbnails.path(row, large=True)
    with Image.open(path) as large:
        assert max(large.size) <= 384
    before = path.stat().st_mtime_ns
    assert session.thumbnails.path(row, large=True).stat().st_mtime_ns == before
    with Image.open(session.thumbnails.path(row, large=False)) as small:
        assert max(small.size) <= 96
    with pytest.raises(DataError, match="no face"):
        session.thumbnails.path(10**6, large=True)
    other = session.order()[1]
    picture = Path(str(session.answers.paths[other]))
    hidden = picture.rename(picture.with_suffix(".gone"))
    try:
        with pytest.raises(DataError, match=r"cannot be read any more"):
            session.thumbnails.path(other, large=True)
    finally:
        hidden.rename(picture)


def answers(predicted: list[int]) -> Answers:
    count = len(predicted)
    z = np.full((count, 3), -5.0)
    z[np.arange(count), predicted] = -0.01
    names = np.array([f"{number}.png" for number in range(count)])
    return Answers(names, np.zeros(count, np.int64), np.arange(count), np.array([""] * count), z, ())


def test_statistics_against_a_count_by_hand() -> None:
    found = answers([0] * 60 + [1] * 30 + [2] * 10)
    sample = draw_faces(found.predicted, 3, 20)
    rows = sample.rows.tolist()
    given = {row: int(found.predicted[row]) for row in rows[:-1]}
    given[rows[0]], given[rows[1]] = 1, UNANSWERED
    told = statistics(found, sample, ("a", "b", "c"), given)
    assert (told["labelled"], told["answered"], told["drawn"]) == (18, 19, 20)
    table = np.zeros((3, 3), int)
    for row, label in given.items():
        if label != UNANSWERED:
            table[label, found.predicted[row]] += 1
    assert told["confusion"] == table.tolist()
    zeros = [row for row in rows if found.predicted[row] == 0 and given.get(row) != UNANSWERED]
    assert told["accuracy"]["value"] == pytest.approx(0.6 * (len(zeros) - 1) / len(zeros) + 0.4, abs=1e-4)
    kept = sample.take([given.get(row, UNANSWERED) != UNANSWERED for row in rows])
    right = [given[row] == found.predicted[row] for row in kept.rows.tolist()]
    low = measured_accuracy(np.array(right), kept).low
    assert told["accuracy"]["low"] == pytest.approx(low, abs=1e-4)


def test_enough_for_a_verdict() -> None:
    found = answers([0] * 60 + [1] * 30 + [2] * 10)
    sample = draw_faces(found.predicted, 3, 40)
    rows, classes = sample.rows.tolist(), ("a", "b", "c")
    right = {row: int(found.predicted[row]) for row in rows}

    def told(labels: dict[int, int]) -> tuple[bool, str]:
        content = statistics(found, sample, classes, labels)
        return content["enough"], content["why"]

    assert told({}) == (False, "")
    assert told({row: right[row] for row in rows[:7]}) == (False, "A verdict needs 8 labels.")
    assert told({row: right[row] for row in rows if right[row] != 2}) == (
        False,
        "No face that the model calls c is labelled yet.",
    )
    half = {row: (right[row] + number % 2) % 3 for number, row in enumerate(rows)}
    assert told({row: half[row] for row in rows[:-1]}) == (False, "The interval is still wide.")
    assert told(half) == (True, "All drawn faces are answered: enough for a verdict.")
    assert told({row: right[row] for row in rows[:-1]})[0] is True


def test_the_order_is_random_fixed_and_nested() -> None:
    small, large = draw_faces([0] * 200 + [1] * 100, 2, 40), draw_faces([0] * 200 + [1] * 100, 2, 80)
    one, two = shown_order(small.rows.tolist(), 300), shown_order(large.rows.tolist(), 300)
    assert one == shown_order(small.rows.tolist(), 300)
    assert one != sorted(one)
    assert [row for row in two if row in set(one)] == one
    first = np.mean([row < 200 for row in one[:20]])
    assert 0.4 < first < 0.95
