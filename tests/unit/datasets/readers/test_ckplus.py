"""CK+: codes, frames, sequences without a label, folds; and the copy CK+48."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.readers.ckplus import code
from dcdan.datasets.spec import open_reader, parse_spec, recognised
from dcdan.expressions import EXPRESSIONS, canonical
from dcdan.packs.build import build_pack
from drawn_data import write_classes, write_picture
from released_layouts import CK48_FOLDERS, write_ck48, write_ckplus, write_emotion, write_sequence

NAMES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")


def listed(spec: str) -> list[tuple[str, str, str]]:
    """File name without ending, expression, subject of each sample."""
    reader = open_reader(parse_spec(spec))
    return [(Path(s.path).stem, reader.classes[s.label], s.subject) for s in reader.selected()]


def test_first_frames_are_neutral_and_the_last_three_show_the_expression(tmp_path: Path) -> None:
    root = write_ckplus(tmp_path / "CK+")
    reader = open_reader(parse_spec(str(root)))
    assert (reader.name, reader.layout, reader.cropped, reader.classes) == ("ckplus", "sequences", False, EXPRESSIONS)
    samples = list(reader.selected())
    assert listed(str(root))[:4] == [
        ("S005_001_00000001", "neutral", "S005"),
        ("S005_001_00000004", "disgust", "S005"),
        ("S005_001_00000005", "disgust", "S005"),
        ("S005_001_00000006", "disgust", "S005"),
    ]
    assert samples[0].path == "cohn-kanade-images/S005/001/S005_001_00000001.png"
    assert Counter(reader.classes[sample.label] for sample in samples) == {
        "neutral": 4,
        "disgust": 3,
        "surprise": 3,
        "anger": 3,
        "contempt": 3,
    }
    assert {sample.split for sample in samples} == {""}
    assert reader.skipped == {"sequence without label": 2}
    assert reader.load(samples[0]).shape == (49, 64, 3)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("cohn-kanade-images", "Emotion"),
        ("extended-cohn-kanade-images/cohn-kanade-images", "Emotion_labels/Emotion"),
        ("extended-cohn-kanade-images", "Emotion_labels"),
        ("Cohn-Kanade-Images", "EMOTION"),
    ],
)
def test_the_released_spellings_and_the_folder_above(tmp_path: Path, images: str, labels: str) -> None:
    root = write_ckplus(tmp_path / "ck+", images, labels)
    for folder in (root, tmp_path):
        assert recognised(folder) == {"ckplus": "sequences"}
        assert len(listed(str(folder))) == 16


def test_frames_and_neutral_are_chosen(tmp_path: Path) -> None:
    root = write_ckplus(tmp_path)
    assert [name for name, *_ in listed(f"{root}?frames=1")[:2]] == ["S005_001_00000001", "S005_001_00000006"]
    assert len(listed(f"{root}?frames=1&neutral=no")) == 4
    reader = open_reader(parse_spec(f"{root}?neutral=no"))
    assert "neutral" not in reader.classes
    assert len(list(reader.selected())) == 12
    # Six frames are too few for ten and a neutral one: all show the expression, none twice.
    assert [label for _, label, _ in listed(f"{root}?frames=10")[:6]] == ["disgust"] * 6
    assert len(listed(f"{root}?frames=10")) == 24
    assert listed(f"{root}?frames=5")[0][1] == "neutral"


def test_frames_go_by_their_number_and_others_are_counted(tmp_path: Path) -> None:
    root = write_ckplus(tmp_path)
    folder = root / "cohn-kanade-images" / "S005" / "001"
    write_picture(folder / "contact_sheet.png")
    (folder / ".DS_Store").touch()
    write_emotion(root / "Emotion", "S999", "001", "  1.0000000e+00\n")
    write_emotion(root / "Emotion", "S005", "002", "  1.0000000e+00\n")
    (root / "cohn-kanade-images" / "S005" / "002").mkdir()
    reader = open_reader(parse_spec(str(root)))
    assert len(list(reader.selected())) == 16
    assert reader.skipped == {
        "sequence without label": 2,
        "picture that is no numbered frame": 1,
        "label without sequence": 1,
        "labelled sequence without frames": 1,
    }


def test_damaged_labels_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    root = write_ckplus(tmp_path)
    for number, text in enumerate(("   8.0000000e+00\n", "\n  disgust\n", "", "1.5", "nan", "-1"), start=11):
        write_sequence(root / "cohn-kanade-images", "S700", f"{number:03d}", 4)
        write_emotion(root / "Emotion", "S700", f"{number:03d}", text)
    write_sequence(root / "cohn-kanade-images", "S700", "020", 4)
    write_emotion(root / "Emotion", "S700", "020", "1.0\n3.0\n")
    reader = open_reader(parse_spec(str(root)))
    assert len(list(reader.selected())) == 16
    assert reader.skipped == {
        "damaged rows": 6,
        "sequence with two different labels": 1,
        "sequence without label": 2 + 7,
    }
    starts = [note.split(" was left out")[0] for note in reader.notes]
    assert starts[:3] == [
        "line 1 of S700_011_00000011_emotion.txt",
        "line 2 of S700_012_00000011_emotion.txt",
        "S700_013_00000011_emotion.txt",
    ]


def test_a_sequence_labelled_neutral_is_counted_when_neutral_is_no_class(tmp_path: Path) -> None:
    root = write_ckplus(tmp_path)
    write_emotion(root / "Emotion", "S005", "001", "0.0000000e+00\n")
    assert [label for _, label, _ in listed(str(root))[:4]] == ["neutral"] * 4
    reader = open_reader(parse_spec(f"{root}?neutral=no"))
    assert len(list(reader.selected())) == 9
    assert reader.skipped["sequence labelled neutral"] == 1


@given(st.integers(0, 7), st.sampled_from(["{:.7e}", "   {:.7e}\n", "{:d}", "{:.1f} "]))
def test_codes_are_floats(number: int, form: str) -> None:
    assert code(form.format(float(number) if "d" not in form else number)) == NAMES[number]


@settings(max_examples=40, deadline=None)
@given(noise=st.binary(max_size=40))
def test_any_bytes_in_a_label_file_cost_no_more_than_its_sequence(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    root = tmp_path_factory.mktemp("noise")
    for number in ("001", "002"):
        write_sequence(root / "cohn-kanade-images", "S005", number, 4)
    write_emotion(root / "Emotion", "S005", "001", "5.0000000e+00")
    write_emotion(root / "Emotion", "S005", "002", "").write_bytes(noise)
    reader = open_reader(parse_spec(f"ckplus:{root}?frames=1&neutral=no"))
    samples = list(reader.selected())
    assert (samples[0].path, reader.classes[samples[0].label]) == (
        "cohn-kanade-images/S005/001/S005_001_00000004.png",
        "happiness",
    )
    assert len(samples) == 2 or sum(reader.skipped.values()) >= 1


def test_folds_are_by_subject(tmp_path: Path) -> None:
    root = write_ckplus(tmp_path)
    tested = []
    for fold in range(3):
        samples = list(open_reader(parse_spec(f"{root}?folds=3&fold={fold}")).selected())
        assert len(samples) == 16
        tested.append({sample.subject for sample in samples if sample.split == "test"})
        assert not tested[-1] & {sample.subject for sample in samples if sample.split == "train"}
    assert sorted(subject for one in tested for subject in one) == ["S005", "S010", "S501"]
    with pytest.raises(UsageError, match="'fold' needs 'folds'"):
        open_reader(parse_spec(f"{root}?fold=1"))


def test_the_published_numbers_follow_the_frames(tmp_path: Path) -> None:
    root = write_ckplus(tmp_path)
    counts = open_reader(parse_spec(f"{root}?frames=1&neutral=no")).official()[""]
    assert counts == dict(zip(NAMES[1:], (45, 18, 59, 25, 69, 28, 83), strict=True))
    counts = open_reader(parse_spec(str(root))).official()[""]
    assert (counts["neutral"], counts["contempt"], sum(counts.values())) == (327, 54, 4 * 327)
    assert open_reader(parse_spec(f"{root}?frames=4")).official() == {}
    assert open_reader(parse_spec(f"{root}?folds=3&fold=1")).official() == {"": counts}


@pytest.mark.parametrize("inner", ["CK+48", "ck/CK+48", "."])
def test_the_copy_is_grey_crops_without_neutral(tmp_path: Path, inner: str) -> None:
    root = write_ck48(tmp_path / inner)
    write_picture(root / "fear" / "holiday.png")
    write_classes(root, {"confusion": 2})
    assert recognised(tmp_path) == recognised(root) == {"ckplus": "CK+48"}
    reader = open_reader(parse_spec(str(tmp_path)))
    assert (reader.layout, reader.cropped, reader.channels) == ("CK+48", True, 1)
    samples = list(reader.selected())
    assert len(samples) == 21
    assert all(reader.classes[s.label] == canonical(s.path.split("/")[0]) for s in samples)
    assert [sample.subject for sample in samples[::3]] == [f"S01{place}" for place in range(7)]
    assert reader.skipped == {
        "picture whose name is not like S010_004_00000017.png": 1,
        "folder 'confusion' is no expression": 2,
    }
    counts = reader.official()[""]
    assert counts == dict(zip(NAMES[1:], (135, 54, 177, 75, 207, 84, 249), strict=True))
    assert sum(counts.values()) == 981


def test_the_copy_in_upper_case_with_folds_is_packed(tmp_path: Path) -> None:
    root = write_ck48(tmp_path / "in", [name.upper() for name in CK48_FOLDERS])
    reader = open_reader(parse_spec(f"{root}?folds=7&fold=2"))
    pack = build_pack(reader, tmp_path / "out", size=16, align="none", workers=1, progress=False)
    assert pack.faces.shape == (21, 16, 16)
    assert Counter(pack.splits.tolist()) == {"train": 18, "test": 3}


def test_the_copy_has_no_frames_to_choose(tmp_path: Path) -> None:
    root = write_ck48(tmp_path)
    with pytest.raises(UsageError, match="has three frames of each sequence and no neutral ones: leave out neutral"):
        open_reader(parse_spec(f"{root}?neutral=yes"))
    with pytest.raises(UsageError, match="leave out frames"):
        open_reader(parse_spec(f"{root}?frames=1"))


def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path: Path) -> None:
    write_sequence(tmp_path / "cohn-kanade-images", "S005", "001", 2)
    with pytest.raises(DataError, match=r"and Emotion, or the folders of CK\+48 in '.*'; found: cohn-kanade-images"):
        open_reader(parse_spec(f"ckplus:{tmp_path}"))
