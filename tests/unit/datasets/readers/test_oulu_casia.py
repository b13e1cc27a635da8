"""Oulu-CASIA: the condition asked for, last and first frames, people and folds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.spec import open_reader, parse_spec, recognised
from dcdan.expressions import canonical
from dcdan.packs.build import build_pack
from drawn_data import write_picture
from released_layouts import write_oulu

BOTH = ("VL_Acropped/Strong", "VL_Acropped/Dark", "NI_Acropped/Strong")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_oulu(tmp_path / "PreProcess_Img", BOTH, frames=5)
    return tmp_path


def test_the_last_three_frames_of_the_visible_strong_light(small: Path) -> None:
    reader = open_reader(parse_spec(str(small)))
    assert (reader.name, reader.layout, reader.cropped) == ("oulu_casia", "VL_Acropped and NI_Acropped", True)
    samples = list(reader.selected())
    assert [sample.path for sample in samples[:4]] == [
        "VL_Acropped/Strong/P001/Anger/002.jpeg",
        "VL_Acropped/Strong/P001/Anger/003.jpeg",
        "VL_Acropped/Strong/P001/Anger/004.jpeg",
        "VL_Acropped/Strong/P001/Disgust/002.jpeg",
    ]
    assert len(samples) == 2 * 6 * 3
    assert all(reader.classes[s.label] == canonical(s.path.split("/")[3]) for s in samples)
    assert Counter(sample.subject for sample in samples) == {"P001": 18, "P051": 18}
    assert reader.classes == ("surprise", "fear", "disgust", "happiness", "sadness", "anger")
    assert reader.skipped == {}


def test_the_options_choose_camera_light_and_frames(small: Path) -> None:
    def paths(query: str) -> list[str]:
        return [sample.path for sample in open_reader(parse_spec(f"{small}?{query}")).selected()]

    assert {path.rsplit("/", 3)[0] for path in paths("modality=NI")} == {"NI_Acropped/Strong"}
    assert {path.rsplit("/", 3)[0] for path in paths("light=dark")} == {"VL_Acropped/Dark"}
    assert len(paths("frames=1")) == 12
    assert len(paths("frames=10")) == 60
    reader = open_reader(parse_spec(f"{small}?neutral=yes&frames=2"))
    named = [(s.path.rsplit("/", 1)[1], reader.classes[s.label]) for s in reader.selected()]
    assert named[:3] == [("000.jpeg", "neutral"), ("003.jpeg", "anger"), ("004.jpeg", "anger")]
    with pytest.raises(UsageError, match="light=bright of oulu_casia is not valid"):
        paths("light=bright")


def test_a_condition_that_is_not_there_is_said(small: Path) -> None:
    with pytest.raises(DataError, match=r"needs PreProcess_Img/VL_Acropped/Weak in .* found: NI_Acropped, VL_Acropped"):
        open_reader(parse_spec(f"{small}?light=weak"))


@pytest.mark.parametrize(
    ("below", "given"),
    [
        ("", ""),
        ("Oulu_CASIA_NIR_VIS", ""),
        ("Oulu_CASIA_NIR_VIS/PreProcess_Img", ""),
        ("PREPROCESS_IMG", ""),
        ("PreProcess_Img", "PreProcess_Img"),
    ],
)
def test_where_it_may_lie(tmp_path: Path, below: str, given: str) -> None:
    write_oulu(tmp_path / below, ("vl_acropped/STRONG",), frames=3)
    assert recognised(tmp_path / given) == {"oulu_casia": "VL_Acropped"}
    assert len(list(open_reader(parse_spec(str(tmp_path / given))).selected())) == 36


def test_frames_go_by_their_number_and_the_rest_is_counted(tmp_path: Path) -> None:
    root = write_oulu(tmp_path, frames=3)
    person = root / "VL_Acropped" / "Strong" / "P001"
    for frame in (999, 1000):
        write_picture(person / "Anger" / f"{frame:03d}.jpeg")
    write_picture(person / "Anger" / "mean.jpeg")
    write_picture(person / "Contempt" / "000.jpeg")
    write_picture(root / "VL_Acropped" / "Strong" / "others" / "000.jpeg")
    for path in (person / "Fear").iterdir():
        path.unlink()
    reader = open_reader(parse_spec(str(root)))
    names = [sample.path.rsplit("/", 1)[1] for sample in reader.selected()]
    assert names[:3] == ["002.jpeg", "999.jpeg", "1000.jpeg"]
    assert len(names) == 33
    assert reader.skipped == {
        "picture that is no numbered frame": 1,
        "folder 'Contempt' is none of the six": 1,
        "folder 'others' is no person": 1,
        "sequence without frames": 1,
    }


def test_folds_and_published_numbers(small: Path) -> None:
    reader = open_reader(parse_spec(f"{small}?folds=2&fold=1"))
    samples = list(reader.selected())
    assert Counter(sample.split for sample in samples) == {"train": 18, "test": 18}
    assert len({(sample.split, sample.subject) for sample in samples}) == 2
    assert sum(reader.official()[""].values()) == 1440
    whole = open_reader(parse_spec(str(small))).official()[""]
    assert (whole["fear"], sum(whole.values())) == (240, 1440)
    neutral = open_reader(parse_spec(f"{small}?neutral=yes&frames=1")).official()[""]
    assert (neutral["fear"], neutral["neutral"]) == (80, 480)


def test_a_pack_of_it(small: Path) -> None:
    reader = open_reader(parse_spec(f"{small}?frames=1"))
    pack = build_pack(reader, small / "out", size=16, align="none", workers=1, progress=False)
    assert pack.faces.shape == (12, 16, 16, 3)
    assert set(pack.subjects.tolist()) == {"P001", "P051"}


def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "OriginalImg").mkdir()
    with pytest.raises(DataError, match=r"PreProcess_Img/VL_Acropped/Strong in '.*'; found: OriginalImg"):
        open_reader(parse_spec(f"oulu_casia:{tmp_path}"))
    assert recognised(tmp_path) == {}
