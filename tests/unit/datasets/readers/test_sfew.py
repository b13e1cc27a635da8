"""SFEW: aligned faces or whole frames, Val as test, Test counted and left out, the film as a group."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dcdan.core.errors import DataError
from dcdan.datasets.readers.sfew import film
from dcdan.datasets.spec import open_reader, parse_spec, recognised
from dcdan.expressions import canonical
from dcdan.packs.build import build_pack
from drawn_data import write_classes, write_picture
from released_layouts import SFEW_FOLDERS, write_sfew

ALIGNED = {"train": "Train/Train_Aligned_Faces", "test": "Val/Val_Aligned_Faces"}
PLAIN = {"train": "Train", "test": "Val"}


def test_labels_splits_and_films_of_the_aligned_faces(tmp_path: Path) -> None:
    root = write_sfew(tmp_path / "SFEW_2", ALIGNED, 143, 181)
    for number in range(3):
        write_picture(root / "Test" / "Test_Aligned_Faces" / f"{number}.png")
    reader = open_reader(parse_spec(str(root)))
    assert (reader.name, reader.layout, reader.cropped) == ("sfew", "aligned faces", True)
    samples = list(reader.selected())
    assert Counter(sample.split for sample in samples) == {"train": 14, "test": 14}
    assert samples[0].path == "Train/Train_Aligned_Faces/Angry/AboutABoy_000155200_00000001.png"
    for sample in samples:
        assert reader.classes[sample.label] == canonical(sample.path.split("/")[2])
        assert (sample.split == "train") == sample.path.startswith("Train/")
        assert sample.groups["movie"] in ("AboutABoy", "Harry_Potter_1")
        assert sample.subject == ""
    assert reader.skipped == {"Test, whose labels are withheld": 3}
    assert reader.official() == {"train": {"": 891}, "test": {"": 431}}


@pytest.mark.parametrize(
    ("places", "size", "layout"),
    [
        ({"train": "Train_Aligned_Faces", "test": "Val_Aligned_Faces_new"}, (143, 181), "aligned faces"),
        ({"train": "TRAIN/train_aligned_faces", "test": "VAL/val_aligned_faces"}, (143, 181), "aligned faces"),
        (PLAIN, (143, 181), "aligned faces in class folders"),
        (PLAIN, (72, 57), "whole frames in class folders"),
        ({"train": "train", "test": "val"}, (72, 57), "whole frames in class folders"),
    ],
)
def test_the_forms_in_which_it_is_about(
    tmp_path: Path, places: dict[str, str], size: tuple[int, int], layout: str
) -> None:
    write_sfew(tmp_path / "SFEW", places, *size)
    for given in (tmp_path, tmp_path / "SFEW"):
        assert recognised(given) == {"sfew": layout}
        reader = open_reader(parse_spec(str(given)))
        assert reader.layout == layout
        assert reader.cropped == ("aligned" in layout)
        assert Counter(sample.split for sample in reader.selected()) == {"train": 14, "test": 14}
    frames = {"train": {"": 958}, "test": {"": 436}}
    assert (reader.official() == frames) == (layout == "whole frames in class folders")


def test_whole_frames_beside_aligned_faces_are_counted(tmp_path: Path) -> None:
    root = write_sfew(write_sfew(tmp_path, ALIGNED, 143, 181), PLAIN, 72, 57)
    write_picture(root / "Val" / "Val_Aligned_Faces" / "odd.png")
    write_classes(root / "Val" / "Val_Aligned_Faces", {"Confused": 2})
    reader = open_reader(parse_spec(f"{root}?split=test"))
    assert reader.layout == "aligned faces"
    assert len(list(reader.selected())) == 14
    assert reader.skipped == {
        "whole frame beside the aligned faces": 28,
        "picture in no class folder": 1,
        "folder 'Confused' is no expression": 2,
    }


def test_aligned_faces_of_one_split_alone_are_not_lost_from_sight(tmp_path: Path) -> None:
    root = write_sfew(write_sfew(tmp_path, PLAIN, 72, 57), {"train": ALIGNED["train"]}, 143, 181)
    reader = open_reader(parse_spec(str(root)))
    assert len(list(reader.selected())) == 28
    assert reader.layout == "whole frames in class folders"
    assert reader.skipped == {"folder 'Train_Aligned_Faces' is no expression": 14}


def test_a_pack_keeps_the_films(tmp_path: Path) -> None:
    reader = open_reader(parse_spec(str(write_sfew(tmp_path / "in", ALIGNED, 143, 181))))
    pack = build_pack(reader, tmp_path / "out", size=16, align="none", workers=1, progress=False)
    assert pack.faces.shape == (28, 16, 16, 3)
    assert set(pack.groups["movie"].tolist()) == {"AboutABoy", "Harry_Potter_1"}


def test_a_name_of_another_kind_has_no_film(tmp_path: Path) -> None:
    assert film("Harry_Potter_1_000155240_00000001.png") == "Harry_Potter_1"
    assert film("IMG-2.png") == ""
    root = write_sfew(tmp_path, ALIGNED, 143, 181)
    write_picture(root / "Val" / "Val_Aligned_Faces" / "Happy" / "smile.png")
    assert [s.groups for s in open_reader(parse_spec(str(root))).selected() if s.path.endswith("smile.png")] == [{}]


def test_a_users_own_train_and_val_are_not_taken_for_it(tmp_path: Path) -> None:
    for split in ("Train", "Val"):
        write_classes(tmp_path / split, dict.fromkeys(SFEW_FOLDERS, 1))
    assert recognised(tmp_path) == {}
    # Named outright, it is believed.
    assert len(list(open_reader(parse_spec(f"sfew:{tmp_path}")).selected())) == 14


def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path: Path) -> None:
    write_sfew(tmp_path, {"train": "Train"}, 30, 30)
    with pytest.raises(DataError, match=r"needs Train/Train_Aligned_Faces/Angry .* and Val in .* found: Train"):
        open_reader(parse_spec(f"sfew:{tmp_path}"))
