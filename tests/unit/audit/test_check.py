"""A check finds everything that is planted, names it, and says nothing where nothing is wrong."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dcdan.audit.check import check, duplicated_images
from dcdan.audit.duplicates import DuplicateKind
from dcdan.audit.inspection import InspectionListing
from dcdan.audit.report import CheckReport, Duplicate, check_table
from dcdan.core.errors import DataError, OutputError, UsageError
from textured import Published, brighter, stored_again, texture, write

NAMES = [
    "train-fear-0.png",
    "train-fear-1.png",
    "train-disgust-2.png",
    "train-odd-3.png",
    "validation-fear-4.png",
    "validation-none-5.jpg",
    "test-surprise-6.png",
    "test-fear-7.jpg",
    "test-fear-8.png",
    "test-happiness-9.png",
]
NUMBERS = {
    "train": {"fear": 2, "disgust": 2},
    "validation": {"": 2},
    "test": {"surprise": 1, "fear": 2, "happiness": 1},
}


@pytest.fixture
def planted(tmp_path: Path) -> Published:
    """A set with a file missing, one cut short, and every kind of duplicate."""
    pictures = {
        "train-fear-0.png": texture(0),
        "train-fear-1.png": texture(1),
        "train-disgust-2.png": texture(0),  # the same image with another label
        "validation-fear-4.png": texture(1),  # exact, across splits
        "validation-none-5.jpg": stored_again(brighter(texture(6)), 70),  # near, across splits
        "test-surprise-6.png": texture(6),
        "test-fear-7.jpg": texture(7),
        "test-happiness-9.png": np.ascontiguousarray(texture(1)[:, ::-1]),  # mirrored
    }
    for name, picture in pictures.items():
        write(tmp_path / "set" / name, picture)
    whole = (tmp_path / "set" / "test-fear-7.jpg").read_bytes()
    (tmp_path / "set" / "test-fear-7.jpg").write_bytes(whole[: len(whole) // 2])
    return Published(tmp_path / "set", NAMES, NUMBERS)


def triples(pairs: tuple[Duplicate, ...]) -> set[tuple[str, str, DuplicateKind, str]]:
    return {(pair.path[-5], pair.other_path[-5], pair.kind, pair.place) for pair in pairs}


def printed(report: CheckReport, width: int = 200) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(check_table(report))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_all_that_is_planted_is_found(planted: Published) -> None:
    report = check(planted, progress=False)
    assert report.images == 9
    assert report.statuses == {"ok": 7, "truncated": 1, "missing": 1}
    assert [(one.path, one.status) for one in report.failures] == [
        ("test-fear-7.jpg", "truncated"),
        ("test-fear-8.png", "missing"),
    ]
    assert triples(report.duplicates) == {
        ("0", "2", DuplicateKind.EXACT, "within train"),
        ("1", "4", DuplicateKind.EXACT, "train - validation"),
        ("5", "6", DuplicateKind.NEAR, "validation - test"),
        ("1", "9", DuplicateKind.MIRRORED, "train - test"),
    }
    conflicts = {pair.path for pair in report.duplicates if pair.conflicting}
    assert conflicts == {"train-fear-0.png", "train-fear-1.png"}  # not 5 and 6: one of them has no label
    groups = {pair.path: pair.group for pair in report.duplicates}
    assert len(set(groups.values())) == 3
    assert report.duplicated["train"] == {"train": 2, "validation": 1, "test": 1}
    assert report.duplicated["validation"] == {"train": 1, "validation": 0, "test": 2}
    assert [(line.split, line.name, line.difference) for line in report.differing] == [
        ("train", "disgust", -1),
        ("train", "all", -1),
    ]
    assert report.damaged_rows == 1
    assert report.notes == ("line 4 of table.csv was left out: class 'odd'",)
    assert report.faults() == [
        "2 pictures missing or unreadable",
        "1 damaged rows",
        "counts other than published (train disgust, train)",
    ]


def test_the_report_is_whole_as_json_csv_and_table(planted: Published, tmp_path: Path) -> None:
    report = check(planted, progress=False)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["counts"][1] == {"split": "train", "name": "fear", "read": 2, "official": 2, "difference": 0}
    assert [pair["kind"] for pair in plain["duplicates"]] == ["exact", "exact", "near", "mirrored"]
    assert plain["duplicates"][0]["conflicting"] is True
    assert plain["faults"] == report.faults()
    report.write_duplicates(tmp_path / "duplicates.csv")
    with (tmp_path / "duplicates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["other_path"] for row in rows] == [pair.other_path for pair in report.duplicates]
    assert rows[0]["place"] == "within train"
    assert rows[0]["distance"] == "0"
    for width in (60, 120):
        text = printed(report, width)
        for word in (
            "truncated",
            "missing",
            "test-fear-8.png",
            "class 'odd'",
            "train - test",
            "mirrored",
            "without label",
        ):
            assert word in text
    with pytest.raises(OutputError):
        report.write_duplicates(tmp_path / "duplicates.csv" / "below.csv")


def test_a_set_without_faults_has_none(tmp_path: Path) -> None:
    names = [f"train-fear-{number}.png" for number in range(4)] + ["test-fear-9.png"]
    for number, name in enumerate(names):
        write(tmp_path / name, texture(number))
    report = check(Published(tmp_path, names, {"train": {"fear": 4}, "test": {"fear": 1}}), progress=False)
    assert report.faults() == []
    assert report.duplicates == ()
    assert "No duplicate images" in printed(report)
    assert report.statuses == {"ok": 5}


def test_plain_pictures_are_named_and_are_no_duplicates(tmp_path: Path) -> None:
    names = [f"train-fear-{number}.png" for number in range(3)]
    for name in names:
        write(tmp_path / name, np.full((48, 48, 3), 17, np.uint8))
    report = check(Published(tmp_path, names), progress=False)
    assert report.plain == tuple(names)
    assert report.duplicates == ()
    assert "3 pictures of one colour" in printed(report)


def test_a_quick_check_only_counts(planted: Published) -> None:
    report = check(planted, quick=True)
    assert (report.statuses, report.failures, report.duplicates, report.distance) == ({}, (), (), None)
    assert report.faults() == ["1 damaged rows", "counts other than published (train disgust, train)"]
    assert "Duplicate images" not in printed(report)


def test_against_names_what_leaks(planted: Published, tmp_path: Path) -> None:
    for name, picture in (("a", texture(50)), ("b", brighter(texture(0))), ("c", texture(6)), ("d", texture(6))):
        write(tmp_path / "other" / f"test-fear-{name}.png", picture)
    other = Published(tmp_path / "other", [f"test-fear-{name}.png" for name in "abcd"])
    report = check(planted, against=other, progress=False)
    assert triples(report.leaks) == {
        ("0", "b", DuplicateKind.NEAR, "against"),
        ("2", "b", DuplicateKind.NEAR, "against"),
        ("6", "c", DuplicateKind.EXACT, "against"),
        ("5", "c", DuplicateKind.NEAR, "against"),
    }
    assert (report.leaked, report.against_images, report.against) == (4, 4, "published")
    assert "4 of the 9 images of published have a duplicate among" in printed(report)
    assert check(other, against=planted, progress=False).leaked == 3


def test_the_distance_decides_what_is_near(planted: Published) -> None:
    kinds = [{pair.kind for pair in check(planted, distance=bits, progress=False).duplicates} for bits in (0, 8)]
    assert kinds[0] <= kinds[1] == {DuplicateKind.EXACT, DuplicateKind.NEAR, DuplicateKind.MIRRORED}
    for bits in (-1, 17):
        with pytest.raises(UsageError, match="0 to 16"):
            check(planted, distance=bits)


def test_what_cannot_be_checked_is_refused_in_a_sentence(tmp_path: Path, planted: Published) -> None:
    with pytest.raises(DataError, match="gave nothing to check \\(left out: 1 damaged rows\\)"):
        check(Published(tmp_path, ["train-odd-1"]))
    with pytest.raises(UsageError, match="opens no picture"):
        check(planted, against=planted, quick=True)


def test_duplicated_images_are_counted_by_group() -> None:
    codes = np.array([0, 0, 1, 1, 0, 1, 0], np.int16)
    roots = np.array([0, 0, 0, 3, 4, 4, 6])
    counts = duplicated_images(roots, InspectionListing(("train", "test"), codes, np.zeros(7, np.int16)))
    assert counts == {"train": {"train": 2, "test": 3}, "test": {"train": 2, "test": 0}}
