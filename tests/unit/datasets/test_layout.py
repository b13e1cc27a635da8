"""Looking at folders in any case of letters, and the sentence for a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcdan.datasets.layout import below, folders_in, inside, names_in, root_with, some_names, wrong_layout


def test_a_way_is_followed_in_any_case_and_the_exact_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "Basic" / "EMOLABEL").mkdir(parents=True)
    (tmp_path / "Basic" / "EMOLABEL" / "list.txt").touch()
    assert below(tmp_path, "basic/EmoLabel/list.txt") == tmp_path / "Basic" / "EMOLABEL" / "list.txt"
    assert below(tmp_path, "basic/other") is None
    (tmp_path / "basic").mkdir()
    assert below(tmp_path, "basic") == tmp_path / "basic"


def test_the_root_is_the_first_place_with_all_markers(tmp_path: Path) -> None:
    inner = tmp_path / "DATASET"
    (inner / "train").mkdir(parents=True)
    (inner / "labels.csv").touch()
    assert root_with(tmp_path, ["train", "labels.csv"]) is None
    assert root_with(tmp_path, ["train", "labels.csv"], ["absent", "dataset"]) == inner
    assert root_with(inner, ["Train"]) == inner
    assert root_with(inner / "labels.csv", []) is None


def test_names_are_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    assert names_in(tmp_path) == ["a", "b", "file"]
    assert folders_in(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert names_in(tmp_path / "nothing") == []


def test_a_wrong_folder_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    assert "needs labels.csv in" in str(wrong_layout("X", "labels.csv", tmp_path))
    assert str(wrong_layout("X", "labels.csv", tmp_path)).endswith("; found: an empty folder.")
    for number in range(8):
        (tmp_path / f"{number}.txt").touch()
    assert str(wrong_layout("X", "y", tmp_path)).endswith("; found: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, 5.txt and more.")
    assert str(wrong_layout("X", "y", tmp_path / "0.txt")).endswith("; found: a file.")


@pytest.mark.parametrize(
    ("way", "read"),
    [("a.jpg", "a.jpg"), ("1\\b c.jpg", "1/b c.jpg"), ("./1//a.jpg", "1/a.jpg"), ("..a/.b.jpg", "..a/.b.jpg")],
)
def test_a_way_inside_is_read_with_forward_slashes(way: str, read: str) -> None:
    assert inside(way) == read


@pytest.mark.parametrize(
    "way", ["", ".", "./", "..", "../a", "1/../../a", "1/..", "/a", "\\a", "C:/a", "C:a", "\\\\host\\a", "a\0.jpg"]
)
def test_a_way_that_leads_out_or_nowhere_is_refused(way: str) -> None:
    with pytest.raises(ValueError, match=r"leads out of the folder|no name of a picture"):
        inside(way)


def test_some_names_of_a_large_folder_are_looked_at_and_exact_names_always_found(tmp_path: Path) -> None:
    for name in (".hidden", "b", "a", "c"):
        (tmp_path / name).touch()
    assert some_names(tmp_path) == ["a", "b", "c"]
    assert len(some_names(tmp_path, 2)) == 2
    assert some_names(tmp_path / "a") == some_names(tmp_path / "nothing") == []
    for number in range(3000):
        (tmp_path / f"{number}.jpg").touch()
    assert below(tmp_path, "c") == tmp_path / "c"
    assert below(tmp_path, "d") is None
