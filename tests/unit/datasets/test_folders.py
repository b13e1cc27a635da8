"""Folders of pictures, with and without a sub-folder per expression."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcdan.core.errors import DataError
from dcdan.datasets.spec import open_reader, parse_spec
from drawn_data import write_classes, write_picture


def test_a_folder_is_read_at_any_depth_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "deep/er/c.bmp", "deep/d.TIFF"):
        write_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    write_picture(tmp_path / ".hidden.png")
    reader = open_reader(parse_spec(f"folder:{tmp_path}"))
    assert [sample.path for sample in reader.selected()] == ["a.jpg", "b.png", "deep/d.TIFF", "deep/er/c.bmp"]
    assert reader.classes == ()
    assert reader.max_faces is None
    assert not reader.cropped
    assert open_reader(parse_spec(f"folder:{tmp_path}?faces=crops")).cropped


@pytest.mark.parametrize("name", ["folder", "class_folders"])
def test_a_folder_without_pictures_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    (root / "happy").mkdir(parents=True)
    with pytest.raises(DataError, match=r"holds no pictures \(found happy\): give one with JPEG"):
        list(open_reader(parse_spec(f"{name}:{root}")).selected())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty: give one with JPEG"):
        list(open_reader(parse_spec(f"folder:{tmp_path}")).selected())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.png")
    for name in ("folder", "class_folders"):
        with pytest.raises(DataError, match="is a file: give the folder"):
            open_reader(parse_spec(f"{name}:{file}"))


def test_class_folders_in_any_spelling(tmp_path: Path) -> None:
    write_classes(tmp_path, {"Angry": 2, "HAPPINESS": 1, "suprise": 1, "kiss": 3, "contempt": 0})
    write_picture(tmp_path / "loose.png")
    reader = open_reader(parse_spec(f"class_folders:{tmp_path}"))
    assert reader.classes == ("surprise", "happiness", "anger", "contempt")
    found = [(sample.path, reader.classes[sample.label], sample.split) for sample in reader.selected()]
    assert found == [
        ("Angry/0000.png", "anger", ""),
        ("Angry/0001.png", "anger", ""),
        ("HAPPINESS/0000.png", "happiness", ""),
        ("suprise/0000.png", "surprise", ""),
    ]
    assert reader.skipped == {"folder 'kiss' is no expression": 3, "picture in no class folder": 1}


def test_class_folders_below_split_folders(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"happy": 2, "sad": 1})
    write_classes(tmp_path / "val", {"happy": 1})
    write_classes(tmp_path / "test", {"fear": 1})
    reader = open_reader(parse_spec(f"class_folders:{tmp_path}"))
    assert reader.classes == ("fear", "happiness", "sadness")
    assert [(sample.split, reader.classes[sample.label]) for sample in reader.selected()] == [
        ("test", "fear"),
        ("train", "happiness"),
        ("train", "happiness"),
        ("train", "sadness"),
        ("validation", "happiness"),
    ]


def test_folders_that_are_no_expressions_are_named(tmp_path: Path) -> None:
    write_classes(tmp_path, {"cats": 1, "dogs": 1})
    with pytest.raises(DataError, match=r"one folder per expression .*; the folders found are: 'cats', 'dogs'"):
        open_reader(parse_spec(f"class_folders:{tmp_path}"))
