"""No two readers take the same folder for theirs, and the name of the layout is the one that the reader then has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dcdan.datasets.spec import open_reader, parse_spec, recognised
from drawn_data import write_ferplus
from released_layouts import (
    FER_FOLDERS,
    FERPLUS_FOLDERS,
    JAFFE_NAMES,
    write_ck48,
    write_ckplus,
    write_grey,
    write_jaffe,
    write_oulu,
    write_pixels,
    write_sfew,
    write_split_folders,
    write_votes,
)

VOTES = [("Training", f"fer{number:07d}.png", [9, 1, *[0] * 8]) for number in range(2)]
ROWS = [(3, "Training"), (0, "Training")]


def ferplus_and_fer2013(root: Path) -> None:
    write_ferplus(root, VOTES)
    write_pixels(root / "fer2013.csv", ROWS)


def ferplus_by_pixels(root: Path) -> None:
    write_votes(root / "fer2013new.csv", VOTES)
    write_pixels(root / "fer2013" / "fer2013.csv", ROWS)


def jaffe_in_class_folders(root: Path) -> None:
    for name in JAFFE_NAMES:
        write_grey(root / name[3:5] / f"{name}.tiff", width=256, height=256)


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "FERPlus files": ("ferplus", lambda root: write_ferplus(root, VOTES)),
    "FERPlus pixels": ("ferplus", ferplus_by_pixels),
    "FERPlus and FER2013": ("ferplus", ferplus_and_fer2013),
    "FERPlus folders": (
        "ferplus",
        lambda root: write_split_folders(root, ("train", "test", "validation"), FERPLUS_FOLDERS),
    ),
    "FER2013 csv": ("fer2013", lambda root: write_pixels(root / "fer2013.csv", ROWS)),
    "FER2013 csv below": ("fer2013", lambda root: write_pixels(root / "fer2013" / "fer2013.csv", ROWS)),
    "FER2013 folders": ("fer2013", lambda root: write_split_folders(root, ("train", "test"), FER_FOLDERS)),
    "SFEW aligned": (
        "sfew",
        lambda root: write_sfew(
            root, {"train": "Train/Train_Aligned_Faces", "test": "Val/Val_Aligned_Faces"}, 143, 181
        ),
    ),
    "SFEW frames": ("sfew", lambda root: write_sfew(root, {"train": "Train", "test": "Val"}, 72, 57)),
    "JAFFE": ("jaffe", write_jaffe),
    "JAFFE class folders": ("jaffe", jaffe_in_class_folders),
    "CK+": ("ckplus", write_ckplus),
    "CK+48": ("ckplus", write_ck48),
    "Oulu-CASIA": ("oulu_casia", lambda root: write_oulu(root / "PreProcess_Img", frames=3)),
}


@pytest.mark.parametrize("written", WRITERS)
def test_a_bare_folder_is_one_data_set(tmp_path: Path, written: str) -> None:
    name, write = WRITERS[written]
    write(tmp_path)
    found = recognised(tmp_path)
    assert list(found) == [name]
    reader = open_reader(parse_spec(str(tmp_path)))
    assert (reader.name, reader.layout) == (name, found[name])
    samples = list(reader.selected())
    assert samples
    assert all(reader.load(sample).ndim == 3 for sample in samples[:2])
    assert reader.skipped == {} or written == "CK+"
    assert reader.extent
    assert reader.obtain


def test_an_empty_folder_and_a_file_are_none(tmp_path: Path) -> None:
    assert recognised(tmp_path) == {}
    (tmp_path / "fer2013.csv").write_text("path,label\n")
    assert recognised(tmp_path) == recognised(tmp_path / "fer2013.csv") == {}
