"""ExpW: the file's own order of the box, doubled keys, damaged rows, packed volumes, the right part of the scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.reader import Reader
from dcdan.datasets.readers.expw import CODES, ExpW, read_face, split_of
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.packs.build import build_pack

# One scene of 60 x 40 with a face in it twice, and a narrow and a wide face of their own colours.
RED, GREEN, BLUE, GREY = (200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128)
ROWS = [
    "angry_asian_37.jpg 0 4 30 50 24 61.9 6",
    "angry_asian_37.jpg 1 20 2 18 34 12.5 3",
    "angry_asian_37.jpg 0 0 0 60 40 99.9 0",
    "happy_man_2.jpg 0 -5 -3 20 30 30 5",
    "gone_1.jpg 2 1 1 9 9 88 2",
]


def write_scene(path: Path, rectangles: Sequence[tuple[tuple[int, int, int, int], tuple[int, int, int]]]) -> None:
    """Write a grey scene of 60 x 40 with rectangles (left, top, right, bottom) in their colours, without loss."""
    image = np.full((40, 60, 3), GREY, np.uint8)
    for (left, top, right, bottom), colour in rectangles:
        image[top:bottom, left:right] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix .jpg as in the release, the bytes of a PNG: the decoder goes by the bytes, and colours stay exact.
    path.write_bytes(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())


def write_expw(root: Path, rows: Sequence[str] = ROWS, scenes: str = "image/origin", labels: str = "label") -> Path:
    write_scene(root / scenes / "angry_asian_37.jpg", [((30, 4, 50, 24), RED), ((2, 20, 18, 34), GREEN)])
    write_scene(root / scenes / "happy_man_2.jpg", [((0, 0, 30, 20), BLUE)])
    (root / labels).mkdir(parents=True, exist_ok=True)
    (root / labels / "label.lst").write_text("".join(f"{row}\n" for row in rows))
    return root


def reader_of(root: Path, query: str = "") -> Reader:
    return open_reader(parse_spec(f"expw:{root}{query}"))


def test_boxes_labels_splits_and_doubled_keys(tmp_path: Path) -> None:
    reader = reader_of(write_expw(tmp_path / "data"))
    samples = list(reader.selected())
    assert [(sample.path, reader.classes[sample.label], sample.box) for sample in samples] == [
        ("image/origin/angry_asian_37.jpg", "neutral", (30, 4, 50, 24)),
        ("image/origin/angry_asian_37.jpg", "happiness", (2, 20, 18, 34)),
        ("image/origin/happy_man_2.jpg", "surprise", (-3, -5, 20, 30)),
        ("image/origin/gone_1.jpg", "fear", (1, 1, 9, 9)),
    ]
    assert reader.skipped == {"repeated face": 1}
    assert [sample.split for sample in samples] == [split_of(sample.path.split("/")[-1]) for sample in samples]
    assert "mod 100: below 80 train, below 90 validation" in reader.split_rule


def test_every_code_is_the_released_one(tmp_path: Path) -> None:
    names = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
    reader = reader_of(write_expw(tmp_path, [f"a_{code}.jpg 0 0 0 9 9 50 {code}" for code in range(7)]))
    assert [reader.classes[sample.label] for sample in reader.selected()] == names


def test_the_pack_holds_the_part_of_the_scene_that_the_box_names(tmp_path: Path) -> None:
    write_expw(tmp_path / "in" / "data")
    reader = open_reader(parse_spec(str(tmp_path / "in")))
    pack = build_pack(reader, tmp_path / "out", size=16, align="none", workers=1, progress=False)
    assert len(pack) == 3
    assert pack.failures() == [("data/image/origin/gone_1.jpg", "missing")]
    for face, colour in zip(pack.faces[:2], (RED, GREEN), strict=True):
        np.testing.assert_array_equal(face, np.broadcast_to(np.array(colour, np.uint8), (16, 16, 3)))
    # The third box leaves the scene: it is clipped to its 20 x 30 pixels, of which the upper 20 rows are blue.
    np.testing.assert_array_equal(pack.faces[2][:10], np.broadcast_to(np.array(BLUE, np.uint8), (10, 16, 3)))
    np.testing.assert_array_equal(pack.faces[2][-4:], np.broadcast_to(np.array(GREY, np.uint8), (4, 16, 3)))
    assert pack.info.skipped == {"repeated face": 1}
    assert pack.info.split_rule == ExpW.split_rule


@pytest.mark.parametrize(
    ("scenes", "labels"),
    [
        ("data/image/origin", "data/label"),
        ("image/origin", "label"),
        ("origin", "."),
        ("origin/origin", "."),
        ("DATA/Image/Origin", "DATA/Label"),
    ],
)
def test_each_layout_is_found_without_a_name(tmp_path: Path, scenes: str, labels: str) -> None:
    write_expw(tmp_path, scenes=scenes, labels=labels)
    reader = open_reader(parse_spec(str(tmp_path)))
    assert reader.name == "expw"
    assert reader.load(next(reader.selected())).shape == (40, 60, 3)


def test_confidence_leaves_boxes_out_after_doubles(tmp_path: Path) -> None:
    root = write_expw(tmp_path)
    reader = reader_of(root, "?confidence=60")
    # The double of the first face is surer than it, but the first row of a key counts.
    assert [sample.label for sample in reader.selected()] == [reader.classes.index(n) for n in ("neutral", "fear")]
    assert reader.skipped == {"repeated face": 1, "confidence below 60": 2}
    # A box of exactly the least confidence stays.
    assert len(list(reader_of(root, "?confidence=61.9").selected())) == len(list(reader.selected()))
    for wrong in ("-1", "nan", "inf", "much"):
        with pytest.raises(UsageError, match="confidence"):
            reader_of(root, f"?confidence={wrong}")


def test_the_split_keeps_a_scene_together_and_never_changes() -> None:
    share = Counter(split_of(f"angry_woman_{number}.jpg") for number in range(5000))
    assert share["train"] / 5000 == pytest.approx(0.8, abs=0.03)
    assert share["validation"] / 5000 == pytest.approx(0.1, abs=0.02)
    # Worked out once with sha256sum: published figures depend on it.
    assert split_of("angry_asian_37.jpg") == "validation"
    assert split_of("happy_man_2.jpg") == "train"
    # The edges: hashes of 79, 80, 89 and 90.
    assert [split_of(f"scene_{number}.jpg") for number in (22, 44, 10, 89)] == [
        "train",
        "validation",
        "validation",
        "test",
    ]


def test_the_official_numbers_add_up(tmp_path: Path) -> None:
    official = reader_of(write_expw(tmp_path)).official()
    assert sum(official[""].values()) == 91_793
    assert set(official[""]) == set(ExpW.classes)
    assert reader_of(tmp_path, "?split=test").official() == {}
    assert reader_of(tmp_path, "?confidence=5").official() == {}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.jpg 0 1 2 3 4 5", "7 fields instead of 8"),
        ("a b.jpg 0 1 2 30 40 5 6", "9 fields instead of 8"),
        ("a.jpg x 1 2 30 40 5 6", "invalid literal"),
        ("a.jpg 0 1 2 30 x 5 6", "could not convert"),
        ("a.jpg 0 1 2 30 nan 5 6", "not finite"),
        ("a.jpg 0 1 2 30 40 inf 6", "not finite"),
        ("a.jpg 0 1 30 30 40 5 6", "no area"),
        ("a.jpg 0 40 2 30 40 5 6", "no area"),
        ("a.jpg 0 1 2 30 40 5 7", "none of 0 to 6"),
        ("a.jpg 0 1 2 30 40 5 -1", "none of 0 to 6"),
        ("a.jpg 0 1 2 30 40 5 1.5", "invalid literal"),
        ("../a.jpg 0 1 2 30 40 5 6", "leads out"),
        ("/etc/a.jpg 0 1 2 30 40 5 6", "leads out"),
        ("C:\\a.jpg 0 1 2 30 40 5 6", "leads out"),
        ("b/../../a.jpg 0 1 2 30 40 5 6", "leads out"),
        ("a\0.jpg 0 1 2 30 40 5 6", "no name of a picture"),
    ],
)
def test_a_damaged_row_is_named_by_line(tmp_path: Path, row: str, reason: str) -> None:
    reader = reader_of(write_expw(tmp_path, [ROWS[0], row, "", ROWS[3]]))
    assert len(list(reader.selected())) == 2
    assert reader.skipped == {"damaged rows": 1}
    assert reader.notes[0].startswith("line 2 of label.lst was left out: ")
    assert reason in reader.notes[0]


@settings(max_examples=60, deadline=None)
@example([b"\xef"])
@example([None, b"\xef\xbb\xbf a", b"\xef\xbb"])
@given(st.lists(st.one_of(st.none(), st.binary(max_size=60)), min_size=1, max_size=12))
def test_whatever_stands_between_the_good_rows_they_are_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes | None]
) -> None:
    root = tmp_path_factory.mktemp("noise")
    (root / "image" / "origin").mkdir(parents=True)
    (root / "label").mkdir()
    good = {n: f"good_{n}.jpg 0 1 2 30 40 50.5 {n % 7}" for n, line in enumerate(lines) if line is None}
    # Line breaks within the noise would only make more rows of it.
    text = [
        good[n].encode() if line is None else line.replace(b"\n", b"").replace(b"\r", b"")
        for n, line in enumerate(lines)
    ]
    table = root / "label" / "label.lst"
    table.write_bytes(b"\n".join(text))
    reader = reader_of(root)
    found = {sample.path: sample.label for sample in reader.selected()}
    for n in good:
        assert found[f"image/origin/good_{n}.jpg"] == reader.classes.index(CODES[n % 7])
    # Decoded as a file: a byte-order mark counts at its start alone, and a torn one there is no row.
    rows = table.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    bad = [n + 1 for n, row in enumerate(rows) if row.strip() and not _reads(row)]
    assert [note.split(" of ")[0] for note in reader.notes] == [f"line {line}" for line in bad]


def _reads(row: str) -> bool:
    try:
        read_face(row)
    except ValueError:
        return False
    return True


def test_packed_volumes_are_told_how_to_unpack(tmp_path: Path) -> None:
    (tmp_path / "data" / "label").mkdir(parents=True)
    (tmp_path / "data" / "label" / "label.lst").write_text(ROWS[0])
    (tmp_path / "data" / "image").mkdir()
    with pytest.raises(DataError, match="needs image/origin or origin"):
        reader_of(tmp_path)
    for number in range(1, 9):
        (tmp_path / "data" / "image" / f"origin.7z.{number:03d}").touch()
    with pytest.raises(DataError, match=r"in '.*data/image' are still packed: run `7z x origin.7z.001` in that folder"):
        open_reader(parse_spec(str(tmp_path)))


def test_the_first_volume_of_the_kaggle_copy_must_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "label.lst").write_text(ROWS[0])
    (tmp_path / "origin.7z.001.001").touch()
    (tmp_path / "origin.7z.002").touch()
    with pytest.raises(DataError, match=r"rename origin.7z.001.001 to origin.7z.001, then run `7z x"):
        open_reader(parse_spec(str(tmp_path)))


def test_other_folders_are_not_taken_for_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ExpW needs label/label.lst or label.lst in '.*'; found: an empty"):
        reader_of(tmp_path)
    (tmp_path / "label.lst").write_text("cat.jpg 1\ndog.jpg 2\n")
    (tmp_path / "origin").mkdir()
    assert ExpW.recognise(tmp_path) is None
    assert ExpW.recognise(tmp_path / "label.lst") is None
