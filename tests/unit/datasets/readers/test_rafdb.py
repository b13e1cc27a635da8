"""RAF-DB: the released lists and annotations, compound labels, the Kaggle copy, damaged rows, and packs of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError
from dcdan.datasets.reader import Reader
from dcdan.datasets.readers.rafdb import COMPOUND, RAFDB, left_first, read_attributes, read_box, read_row
from dcdan.datasets.spec import open_reader, parse_spec, recognised
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack
from drawn_data import picture, write_picture

NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
ROWS = [("train_00001.jpg", 5), ("train_00002.jpg", 1), ("test_0001.jpg", 4), ("test_0002.jpg", 7)]
POINTS = [(20.5, 30.25), (40.0, 30.0), (30.0, 40.0), (22.0, 50.0), (38.0, 50.0)]
MANUAL = "".join(f"{x}\t{y}\n" for x, y in POINTS) + "1\n2\n3\n"


def write_rafdb(
    root: Path, rows: Sequence[tuple[str, int]] = ROWS, subset: str = "basic", missing: Sequence[str] = ()
) -> Path:
    """Write a subset as it is released: list, aligned crops of 100 x 100, photographs of 64 x 64, annotations."""
    home = root / subset
    (home / "EmoLabel").mkdir(parents=True)
    (home / "EmoLabel" / "list_patition_label.txt").write_text("".join(f"{name} {code}\n" for name, code in rows))
    for index, (name, _) in enumerate(rows):
        stem = name.removesuffix(".jpg")
        if name not in missing:
            write_picture(home / "Image" / "aligned" / f"{stem}_aligned.jpg", index, 100)
            write_picture(home / "Image" / "original" / name, index, 64)
        for kind, ending, text in (("manual", "manu_attri", MANUAL), ("boundingbox", "boundingbox", "8 12 52 60\n")):
            place = home / "Annotation" / kind
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{stem}_{ending}.txt").write_text(text)
    return root


def write_kaggle(root: Path, folders: Mapping[str, Sequence[str]], tables: Mapping[str, str] | None = None) -> Path:
    """Write the Kaggle copy from "train/5" -> names, and its label tables beside DATASET."""
    for split in ("train", "test"):
        for code in range(1, 8):
            (root / "DATASET" / split / str(code)).mkdir(parents=True)
    for folder, names in folders.items():
        for index, name in enumerate(names):
            write_picture(root / "DATASET" / folder / name, index, 100)
    for name, text in (tables or {}).items():
        (root / name).write_text(text)
    return root


def reader_of(root: Path, query: str = "") -> Reader:
    return open_reader(parse_spec(f"rafdb:{root}{query}"))


def pack_of(reader: Reader, out: Path) -> Pack:
    return build_pack(reader, out, size=32, align="none", workers=1, progress=False)


def test_labels_splits_and_groups_of_the_basic_subset(tmp_path: Path) -> None:
    reader = reader_of(write_rafdb(tmp_path))
    samples = list(reader.selected())
    assert [(sample.path, reader.classes[sample.label], sample.split) for sample in samples] == [
        ("Image/aligned/train_00001_aligned.jpg", "sadness", "train"),
        ("Image/aligned/train_00002_aligned.jpg", "surprise", "train"),
        ("Image/aligned/test_0001_aligned.jpg", "happiness", "test"),
        ("Image/aligned/test_0002_aligned.jpg", "neutral", "test"),
    ]
    assert all(sample.groups == {"gender": "female", "race": "Asian", "age": "40-69"} for sample in samples)
    assert all((sample.box, sample.landmarks, sample.votes) == (None, None, None) for sample in samples)
    assert reader.cropped
    assert reader.layout == "original"
    assert reader.skipped == {}
    assert [sample.split for sample in reader_of(tmp_path, "?split=test").selected()] == ["test", "test"]


def test_every_code_is_the_released_one(tmp_path: Path) -> None:
    reader = reader_of(write_rafdb(tmp_path, [(f"train_{code:05d}.jpg", code) for code in range(1, 8)]))
    assert [reader.classes[sample.label] for sample in reader.selected()] == list(NAMES)


def test_photographs_come_with_box_and_landmarks(tmp_path: Path) -> None:
    reader = reader_of(write_rafdb(tmp_path), "?images=original")
    sample = next(reader.selected())
    assert (sample.path, sample.box) == ("Image/original/train_00001.jpg", (8, 12, 52, 60))
    assert sample.landmarks == tuple(POINTS)
    assert not reader.cropped
    (tmp_path / "basic" / "Annotation" / "boundingbox" / "train_00001_boundingbox.txt").unlink()
    (tmp_path / "basic" / "Annotation" / "manual" / "train_00001_manu_attri.txt").unlink()
    bare = next(reader.selected())
    assert (bare.box, bare.landmarks, bare.groups) == (None, None, {})


def test_packs_of_both_kinds_of_images(tmp_path: Path) -> None:
    root = write_rafdb(tmp_path / "in", missing=["test_0002.jpg"])
    aligned = pack_of(open_reader(parse_spec(str(root))), tmp_path / "aligned")
    assert aligned.labels.tolist() == [NAMES.index(name) for name in ("sadness", "surprise", "happiness")]
    assert aligned.splits.tolist() == ["train", "train", "test"]
    assert aligned.groups["race"].tolist() == ["Asian"] * 3
    assert aligned.failures() == [("Image/aligned/test_0002_aligned.jpg", "missing")]
    assert np.abs(aligned.faces[1].astype(int) - cv2.resize(picture(1, 100), (32, 32))).mean() < 5
    original = pack_of(reader_of(root, "?images=original"), tmp_path / "original")
    assert original.boxes.tolist() == [[8, 12, 52, 60]] * 3
    cut = picture(1, 64)[12:60, 8:52]
    expected = cv2.resize(cut, (32, 32), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(original.faces[1].astype(int) - expected).mean() < 5
    inside = (np.array(POINTS) - (8, 12)) / (44, 48)
    np.testing.assert_allclose(original.landmarks[0], inside, atol=1e-6)


@pytest.mark.parametrize("way", ["", "basic", ".."])
def test_the_folder_may_be_the_subset_the_one_above_or_in_capitals(tmp_path: Path, way: str) -> None:
    root = write_rafdb(tmp_path / "RAF" / "x")
    if way == "..":
        (root / "basic" / "EmoLabel").rename(root / "basic" / "EMOLABEL")
        (root / "basic" / "Image").rename(root / "basic" / "IMAGE")
        (root / "basic").rename(root / "Basic")
    reader = open_reader(parse_spec(str(root / way if way == "basic" else root)))
    assert reader.name == "rafdb"
    assert reader.load(next(reader.selected())).shape == (100, 100, 3)


def test_an_archive_unpacked_in_a_folder_of_its_name(tmp_path: Path) -> None:
    images = write_rafdb(tmp_path) / "basic" / "Image"
    (images / "aligned").rename(images / "moved")
    (images / "aligned").mkdir()
    (images / "moved").rename(images / "aligned" / "aligned")
    reader = reader_of(tmp_path)
    assert reader.load(next(reader.selected())).shape == (100, 100, 3)


def test_compound_labels_are_the_noun_with_half_of_the_votes_each(tmp_path: Path) -> None:
    rows = [(f"train_{code:04d}.jpg", code) for code in range(1, 12)]
    root = write_rafdb(write_rafdb(tmp_path, rows, "compound"))
    reader = reader_of(root, "?subset=compound")
    samples = list(reader.selected())
    assert len(samples) == 11
    by_word = {"surprised": "surprise", "disgusted": "disgust", "fearful": "fear", "angry": "anger"}
    by_adverb = {"happily": "happiness", "sadly": "sadness", "fearfully": "fear", "angrily": "anger"}
    by_adverb["disgustedly"] = "disgust"
    for sample, (name, _, _) in zip(samples, COMPOUND, strict=True):
        adverb, noun = name.split()
        assert sample.groups["compound"] == name
        assert sample.groups["gender"] == "female"
        assert reader.classes[sample.label] == by_word[noun]
        votes = dict(zip(reader.classes, sample.votes or (), strict=True))
        assert {key for key, vote in votes.items() if vote} == {by_word[noun], by_adverb[adverb]}
        assert sum(votes.values()) == 1
    assert "neutral" not in reader.classes
    assert reader.official() == {}
    pack = pack_of(reader, tmp_path / "out")
    assert pack.votes is not None
    assert pack.votes.max() == 0.5
    assert next(reader_of(root).selected()).path == "Image/aligned/train_00001_aligned.jpg"


def test_a_subset_alone_is_never_read_as_the_other(tmp_path: Path) -> None:
    write_rafdb(tmp_path, subset="compound")
    assert recognised(tmp_path) == {"rafdb": "original"}
    for place in (tmp_path, tmp_path / "compound"):
        with pytest.raises(
            DataError, match="holds the compound subset of RAF-DB alone: add the option subset=compound"
        ):
            open_reader(parse_spec(str(place)))
        assert len(list(reader_of(place, "?subset=compound").selected())) == 4


def test_the_attributes_of_odd_files() -> None:
    assert read_attributes(MANUAL).groups == {"gender": "female", "race": "Asian", "age": "40-69"}
    odd = read_attributes(MANUAL.replace("\t", " ").replace("1\n2\n3\n", "2\r\n9\r\n0\r\n"))
    assert odd.groups == {"gender": "unsure", "age": "0-3"}
    assert odd.landmarks == tuple(POINTS)
    for text in ("", MANUAL + "4\n", MANUAL.replace("40.0", "x"), MANUAL.replace("40.0", "nan")):
        with pytest.raises(ValueError, match=r"numbers instead of 13|could not convert"):
            read_attributes(text)
    assert read_box(" 1.5 2 3 4.25") == (1.5, 2, 3, 4.25)
    for text in ("1 2 3", "3 2 1 4", "1 4 3 2", "a b c d"):
        with pytest.raises(ValueError, match=r"instead of 4|no area|could not convert"):
            read_box(text)


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 2 * np.pi), st.floats(0.5, 20), st.booleans(), st.booleans())
def test_left_in_the_picture_comes_first_at_any_tilt(angle: float, scale: float, eyes: bool, mouth: bool) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = [(float(x), float(y)) for x, y in np.array(POINTS) @ turn.T + 100]
    given_points = list(points)
    if eyes:
        given_points[0], given_points[1] = given_points[1], given_points[0]
    if mouth:
        given_points[3], given_points[4] = given_points[4], given_points[3]
    assert left_first(given_points) == tuple(points)


def test_an_annotation_that_cannot_be_read_is_said_and_done_without(tmp_path: Path) -> None:
    root = write_rafdb(tmp_path)
    (root / "basic" / "Annotation" / "manual" / "train_00002_manu_attri.txt").write_text("lost")
    (root / "basic" / "Annotation" / "boundingbox" / "train_00001_boundingbox.txt").write_bytes(b"\xff\x00")
    reader = reader_of(root, "?images=original")
    samples = list(reader.selected())
    assert (samples[0].box, samples[1].landmarks, samples[1].groups) == (None, None, {})
    assert samples[1].box == (8, 12, 52, 60)
    assert reader.notes == ["2 annotation files could not be read; their pictures do without"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("train_00009.jpg", "1 fields"),
        ("train_00009.jpg 1 2", "3 fields"),
        ("train_00009.jpg 0", "none of 1 to 7"),
        ("train_00009.jpg 8", "none of 1 to 7"),
        ("train_00009.jpg x", "invalid literal"),
        ("val_00009.jpg 3", "no name such as"),
        ("../train_00009.jpg 3", "no name such as"),
        ("train_/../../a.jpg 3", "no name such as"),
        ("train_\0.jpg 3", "no name such as"),
    ],
)
def test_a_damaged_row_is_named_by_line(tmp_path: Path, row: str, reason: str) -> None:
    table = write_rafdb(tmp_path) / "basic" / "EmoLabel" / "list_patition_label.txt"
    lines = table.read_text().splitlines()
    table.write_text("\r\n".join([lines[0], lines[0], row, "", *lines[1:]]))
    reader = reader_of(tmp_path)
    assert len(list(reader.selected())) == 4
    assert reader.skipped == {"repeated row": 1, "damaged rows": 1}
    assert reader.notes[0].startswith("line 3 of list_patition_label.txt was left out: ")
    assert reason in reader.notes[0]


@settings(max_examples=60, deadline=None)
@example([b"\xef"])
@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), min_size=1, max_size=12))
def test_whatever_stands_between_the_good_rows_they_are_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes | None]
) -> None:
    root = tmp_path_factory.mktemp("noise")
    (root / "basic" / "EmoLabel").mkdir(parents=True)
    (root / "basic" / "Image" / "aligned").mkdir(parents=True)
    good = {n: f"train_good{n}.jpg {n % 7 + 1}" for n, line in enumerate(lines) if line is None}
    text = [
        good[n].encode() if line is None else line.replace(b"\n", b"").replace(b"\r", b"")
        for n, line in enumerate(lines)
    ]
    table = root / "basic" / "EmoLabel" / "list_patition_label.txt"
    table.write_bytes(b"\n".join(text))
    reader = reader_of(root)
    found = {sample.path: sample.label for sample in reader.selected()}
    for n in good:
        assert found[f"Image/aligned/train_good{n}_aligned.jpg"] == n % 7
    # Decoded as a file: a byte-order mark counts at its start alone, and a torn one there is no row.
    rows = table.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    bad = [n + 1 for n, row in enumerate(rows) if row.strip() and not _reads(row)]
    assert [note.split(" of ")[0] for note in reader.notes] == [f"line {line}" for line in bad]


def _reads(row: str) -> bool:
    try:
        read_row(row.split(), 7)
    except ValueError:
        return False
    return True


def test_the_kaggle_copy_by_its_folders(tmp_path: Path) -> None:
    folders = {
        "train/1": ["train_00002_aligned.jpg"],
        "train/5": ["train_00001_aligned.jpg"],
        "test/4": ["test_0001_aligned.jpg"],
    }
    root = write_kaggle(tmp_path / "in", folders)
    for place in (root, root / "DATASET"):
        reader = open_reader(parse_spec(str(place)))
        assert (reader.name, reader.layout) == ("rafdb", "Kaggle")
        assert [(s.path, reader.classes[s.label], s.split) for s in reader.selected()] == [
            ("train/1/train_00002_aligned.jpg", "surprise", "train"),
            ("train/5/train_00001_aligned.jpg", "sadness", "train"),
            ("test/4/test_0001_aligned.jpg", "happiness", "test"),
        ]
    pack = pack_of(reader, tmp_path / "out")
    assert pack.labels.tolist() == [0, 4, 3]
    for query, what in (("?subset=compound", "no compound"), ("?images=original", "aligned faces alone")):
        with pytest.raises(DataError, match=f"has {what}"):
            reader_of(root, query)


def test_the_kaggle_tables_check_the_folders_and_name_what_is_missing(tmp_path: Path) -> None:
    folders = {
        "train/1": ["train_00001_aligned.jpg", "train_00002_aligned.jpg"],
        "train/8": ["train_00009_aligned.jpg"],
        "test/4": ["test_0001_aligned.jpg"],
    }
    table = "image,label\ntrain_00001_aligned.jpg,1\ntrain_00002_aligned.jpg,6\ntrain_00003_aligned.jpg,7\nx.jpg,9\n"
    root = write_kaggle(tmp_path / "in", folders, {"train_labels.csv": table})
    for place in (root, root / "DATASET"):
        reader = reader_of(place)
        assert [(s.path, reader.classes[s.label]) for s in reader.selected()] == [
            ("DATASET/train/1/train_00001_aligned.jpg", "surprise"),
            ("DATASET/train/7/train_00003_aligned.jpg", "neutral"),
            ("DATASET/test/4/test_0001_aligned.jpg", "happiness"),
        ]
        assert reader.skipped == {
            "folder and table give two labels": 1,
            "folder '8' is no expression": 1,
            "damaged rows": 1,
        }
        assert reader.notes == ["line 5 of train_labels.csv was left out: 'x.jpg' is no name such as train_00001.jpg"]
    assert pack_of(reader, tmp_path / "out").failures() == [("DATASET/train/7/train_00003_aligned.jpg", "missing")]
    (root / "test_labels.csv").write_text("picture;label\n")
    with pytest.raises(DataError, match="should have the columns image and label; it has picture;label"):
        list(reader_of(root).selected())


def test_the_official_numbers_add_up(tmp_path: Path) -> None:
    official = reader_of(write_rafdb(tmp_path)).official()
    assert {split: sum(counts.values()) for split, counts in official.items()} == {"train": 12_271, "test": 3_068}
    assert official["train"]["happiness"] == 4772
    assert official["test"]["fear"] == 74
    assert list(reader_of(tmp_path, "?split=test").official()) == ["test"]


def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(DataError, match=r"RAF-DB needs basic/EmoLabel/list_patition_label.txt or .* found: holiday"):
        reader_of(tmp_path)
    root = write_rafdb(tmp_path / "RAF")
    (root / "basic" / "Image" / "aligned").rename(root / "basic" / "Image" / "kept")
    with pytest.raises(DataError, match=r"needs Image/aligned in .* or add the option images=original"):
        reader_of(root)


def test_numbered_folders_of_other_pictures_are_not_taken_for_it(tmp_path: Path) -> None:
    root = write_kaggle(tmp_path, {"train/1": ["cat.jpg"]})
    assert RAFDB.recognise(root) is None
    write_picture(root / "DATASET" / "train" / "1" / "train_00001_aligned.jpg")
    assert recognised(root) == {"rafdb": "Kaggle"}
