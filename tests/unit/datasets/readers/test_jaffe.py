"""JAFFE: what the names say, the endings and folders of its copies, and folds by subject."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.readers.jaffe import portrait
from dcdan.datasets.spec import open_reader, parse_spec, recognised
from dcdan.packs.build import build_pack
from drawn_data import write_picture
from released_layouts import JAFFE_NAMES, write_grey, write_jaffe

EXPECTED = ["anger", "neutral", "disgust", "fear", "happiness", "sadness", "surprise"]
CODES = {"AN": "anger", "DI": "disgust", "FE": "fear", "HA": "happiness", "NE": "neutral", "SA": "sadness"}
CODES |= {"SU": "surprise"}


@pytest.mark.parametrize("ending", [".tiff", ".jpg", ".png", ".tiff.bmp", ".tif.bmp", ".TIFF"])
def test_labels_subjects_and_takes_are_in_the_name(tmp_path: Path, ending: str) -> None:
    root = write_jaffe(tmp_path / "JAFFE", ending=ending)
    (root / "README_FIRST.txt").touch()
    reader = open_reader(parse_spec(str(root)))
    assert (reader.name, reader.layout, reader.cropped, reader.channels) == ("jaffe", "flat", False, 1)
    samples = list(reader.selected())
    assert [sample.path for sample in samples] == [f"{name}{ending}" for name in JAFFE_NAMES]
    assert [reader.classes[sample.label] for sample in samples] == EXPECTED
    assert [sample.subject for sample in samples] == ["KA", "KA", "KL", "KM", "KR", "MK", "UY"]
    assert [sample.groups["take"] for sample in samples] == list("1332113")
    assert {sample.split for sample in samples} == {""}
    assert reader.skipped == {"file without a picture's suffix": 1}
    assert reader.load(samples[0]).shape == (256, 256, 3)


@pytest.mark.parametrize("inner", ["jaffe", "jaffedbase", "jaffeimages/jaffe", "JAFFE"])
def test_the_folder_may_lie_in_another(tmp_path: Path, inner: str) -> None:
    write_jaffe(tmp_path / inner)
    assert recognised(tmp_path) == {"jaffe": "flat"}
    assert len(list(open_reader(parse_spec(str(tmp_path))).selected())) == 7


def test_class_folders_are_read_by_the_name_and_the_rest_is_counted(tmp_path: Path) -> None:
    for name in JAFFE_NAMES:
        write_grey(tmp_path / "ANGRY" / f"{name}.tiff") if ".AN" in name else write_grey(
            tmp_path / "Sad" / f"{name}.tiff"
        )
    write_grey(tmp_path / "Sad" / "KA.NE3.28.jpg")
    write_picture(tmp_path / "Sad" / "holiday.png")
    write_picture(tmp_path / "Sad" / "KA.XX1.29.png")
    reader = open_reader(parse_spec(str(tmp_path)))
    assert (reader.name, reader.layout) == ("jaffe", "class folders")
    found = {sample.path: reader.classes[sample.label] for sample in reader.selected()}
    assert found["Sad/KR.HA1.74.tiff"] == "happiness"
    assert len(found) == 7
    assert reader.skipped == {
        "second copy of a picture": 1,
        "picture whose name is not like KA.AN1.39.tiff": 2,
    }


def test_folds_put_nobody_on_both_sides_and_everybody_in_one_test(tmp_path: Path) -> None:
    names = [
        f"{subject}.{code}1.{number}"
        for number, (subject, code) in enumerate(
            (subject, code) for subject in ("KA", "KL", "KM", "KR", "MK") for code in ("AN", "HA", "SU")
        )
    ]
    root = write_jaffe(tmp_path, names)
    tested: Counter[str] = Counter()
    for fold in range(5):
        reader = open_reader(parse_spec(f"jaffe:{root}?folds=5&fold={fold}"))
        assert reader.split_rule.startswith(f"subject-disjoint fold {fold} of 5 is test")
        assert sum(reader.official()[""].values()) == 213
        samples = list(reader.selected())
        sides = {split: {s.subject for s in samples if s.split == split} for split in ("train", "test")}
        assert not sides["train"] & sides["test"]
        assert len(samples) == 15
        tested.update(sample.path for sample in samples if sample.split == "test")
        only = list(open_reader(parse_spec(f"jaffe:{root}?folds=5&fold={fold}&split=test")).selected())
        assert [sample.path for sample in only] == [sample.path for sample in samples if sample.split == "test"]
    assert tested == Counter(f"{name}.tiff" for name in names)
    assert "none" in open_reader(parse_spec(f"jaffe:{root}")).split_rule


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("fold=1", "'fold' needs 'folds'"),
        ("fold=0", "'fold' needs 'folds'"),
        ("split=test", "'split' needs 'folds'"),
        ("folds=5&fold=5", "fold=5 is not one of 5 folds"),
        ("folds=11", "less than or equal to 10"),
        ("folds=1", "greater than or equal to 2"),
        ("folds=5&fold=-1", "greater than or equal to 0"),
    ],
)
def test_folds_that_do_not_go_together_are_refused(tmp_path: Path, query: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        open_reader(parse_spec(f"jaffe:{write_jaffe(tmp_path)}?{query}"))


def test_the_published_numbers_are_those_of_213_portraits(tmp_path: Path) -> None:
    counts = open_reader(parse_spec(str(write_jaffe(tmp_path)))).official()[""]
    assert counts["disgust"] == 29
    assert counts["fear"] == 32
    assert sum(counts.values()) == 213


def test_a_pack_keeps_subjects_and_takes(tmp_path: Path) -> None:
    reader = open_reader(parse_spec(f"{write_jaffe(tmp_path / 'in')}?folds=2&fold=1"))
    pack = build_pack(reader, tmp_path / "out", size=16, align="none", workers=1, progress=False)
    assert pack.faces.shape == (7, 16, 16)
    assert pack.info.split_rule.startswith("subject-disjoint fold 1 of 2")
    assert pack.subjects.tolist() == ["KA", "KA", "KL", "KM", "KR", "MK", "UY"]
    assert np.unique(pack.splits).tolist() == ["test", "train"]


@given(
    st.sampled_from(["KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM"]),
    st.sampled_from(sorted(CODES)),
    st.integers(1, 9),
    st.integers(1, 219),
    st.sampled_from([".tiff", ".jpg", ".tiff.bmp"]),
    st.booleans(),
)
def test_every_good_name_is_understood(
    subject: str, code: str, take: int, serial: int, ending: str, lower: bool
) -> None:
    name = f"{subject}.{code}{take}.{serial}{ending}"
    said = portrait(name.lower() if lower else name)
    assert said is not None
    assert (said.subject, said.expression, said.take, said.serial) == (subject, CODES[code], str(take), str(serial))


@given(st.text(max_size=20))
def test_other_names_say_nothing_or_an_expression(name: str) -> None:
    said = portrait(name)
    assert said is None or said.expression in CODES.values()


def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path: Path) -> None:
    write_picture(tmp_path / "cat.png")
    with pytest.raises(DataError, match=r"pictures with names such as KA.AN1.39.tiff in '.*'; found: cat.png"):
        open_reader(parse_spec(f"jaffe:{tmp_path}"))
    # Two letters, a code of ours and a number: but nobody of the ten.
    write_picture(tmp_path / "QQ.AN1.39.png")
    assert recognised(tmp_path) == {}
