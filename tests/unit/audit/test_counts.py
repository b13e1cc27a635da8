"""Counts: by split and class, beside the published ones, whatever of these is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcdan.audit.counts import CountLine, compared, counted, official_counts, ordered_splits
from textured import FOUR, Published

READ = {"train": {"fear": 3, "anger": 0}, "test": {"fear": 1, "anger": 2, "": 4}}


def lines(official: dict[str, dict[str, int]]) -> dict[tuple[str, str], tuple[int, int | None, int]]:
    return {(line.split, line.name): (line.read, line.official, line.difference) for line in compared(READ, official)}


def test_every_class_of_every_split_is_counted() -> None:
    pairs = [("test", "fear"), ("test", ""), ("train", "fear"), ("train", "fear"), ("odd", "anger")]
    assert counted(pairs, ("fear", "anger")) == {
        "train": {"fear": 2, "anger": 0},
        "test": {"fear": 1, "anger": 0, "": 1},
        "odd": {"fear": 0, "anger": 1},
    }
    assert list(counted(pairs, ())) == ["train", "test", "odd"] == ordered_splits(["odd", "test", "train"])


def test_without_published_numbers_nothing_differs() -> None:
    assert {difference for _, _, difference in lines({}).values()} == {0}
    assert lines({})["test", "all"] == (7, None, 0)
    assert lines({})["test", ""] == (4, None, 0)


def test_classes_that_are_published_are_compared_one_by_one() -> None:
    found = lines({"train": {"fear": 3, "anger": 1, "neutral": 5}, "test": {"fear": 1, "anger": 2}})
    assert found["train", "fear"] == (3, 3, 0)
    assert found["train", "anger"] == (0, 1, -1)
    assert found["train", "neutral"] == (0, 5, -5)
    assert found["train", "all"] == (3, 9, -6)
    assert found["test", ""] == (4, 0, 4)
    assert found["test", "all"] == (7, 3, 4)


def test_a_split_whose_total_alone_is_published() -> None:
    found = lines({"train": {"": 5}, "validation": {"": 2}})
    assert found["train", "fear"] == (3, None, 0)
    assert found["train", "all"] == (3, 5, -2)
    assert found["validation", "all"] == (0, 2, -2)
    assert found["test", "all"] == (7, None, 0)


def test_numbers_of_the_whole_set_are_held_against_all_splits() -> None:
    found = lines({"": {"fear": 4, "anger": 1}})
    assert found["", "fear"] == (4, 4, 0)
    assert found["", "anger"] == (2, 1, 1)
    assert found["", "all"] == (10, 5, 5)
    assert found["train", "all"] == (3, None, 0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, {"train", "test"}), ({"split": "test"}, {"test"}), ({"limit": 5}, set()), ({"split": "odd"}, set())],
)
def test_only_comparable_numbers_are_compared(tmp_path: Path, options: dict[str, object], expected: set[str]) -> None:
    numbers = {"train": {"fear": 1}, "test": {"fear": 1}}
    assert official_counts(Published(tmp_path, [], numbers, **options)).keys() == expected


def test_a_line_without_a_published_number_has_no_difference() -> None:
    assert CountLine("train", FOUR[0], 7, None).difference == 0
    assert CountLine("train", FOUR[0], 7, 9).difference == -2
