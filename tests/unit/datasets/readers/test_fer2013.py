"""FER2013: pictures written as text, found again by worker processes; and the folders of the copies."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError
from dcdan.datasets.spec import open_reader, parse_spec, recognised
from dcdan.expressions import canonical
from dcdan.images.decode import UndecodableImage
from dcdan.images.status import Status
from dcdan.packs import build
from drawn_data import write_picture
from released_layouts import FER_FOLDERS, faces_of, pixel_text, write_pixels, write_split_folders

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
ROWS = [(code, "Training") for code in range(7)] + [(3, "PublicTest"), (6, "PrivateTest")]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_pixels(tmp_path / "fer2013" / "fer2013.csv", ROWS)


def test_codes_splits_and_pixels_are_the_released_ones(table: Path) -> None:
    reader = open_reader(parse_spec(str(table.parent)))
    assert (reader.name, reader.layout, reader.cropped, reader.channels) == ("fer2013", "fer2013.csv", True, 1)
    samples = list(reader.selected())
    assert [reader.classes[sample.label] for sample in samples] == [*NAMES, "happiness", "neutral"]
    assert [sample.split for sample in samples] == ["train"] * 7 + ["validation", "test"]
    assert samples[8].path == "fer2013.csv#0000008"
    loaded = np.stack([reader.load(sample) for sample in reversed(samples)])
    np.testing.assert_array_equal(loaded, np.repeat(faces_of(range(8, -1, -1))[..., None], 3, axis=3))


@pytest.mark.parametrize("given", ["parent", "file"])
def test_the_folder_above_and_the_file_itself_will_do(table: Path, given: str) -> None:
    if given == "parent":
        reader = open_reader(parse_spec(str(table.parent.parent)))
    else:
        reader = open_reader(parse_spec(f"fer2013:{table}"))
    assert len(list(reader.selected())) == 9


def test_windows_lines_blank_lines_and_quotes_change_nothing(table: Path) -> None:
    lines = table.read_text().splitlines()
    quoted = [line.replace(",", ',"', 1)[::-1].replace(",", ',"', 1)[::-1] for line in lines[1:]]
    table.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([lines[0], "", *quoted, "", ""]).encode())
    reader = open_reader(parse_spec(str(table.parent)))
    samples = list(reader.selected())
    assert [reader.classes[sample.label] for sample in samples][:7] == list(NAMES)
    assert reader.skipped == {}
    np.testing.assert_array_equal(reader.load(samples[4])[..., 0], faces_of([4])[0])


def test_damaged_rows_are_named_by_line_and_the_rest_is_read(table: Path) -> None:
    lines = table.read_text().splitlines()
    lines[3:3] = [f"7,{pixel_text(0)},Training", f"x,{pixel_text(0)},Training", f"0,{pixel_text(0)},Somewhere", "0"]
    table.write_text("\n".join(lines))
    reader = open_reader(parse_spec(str(table.parent)))
    samples = list(reader.selected())
    assert len(samples) == 9
    assert reader.skipped == {"damaged rows": 4}
    assert [note.split(":")[0] for note in reader.notes] == [
        f"line {number} of fer2013.csv was left out" for number in range(4, 8)
    ]
    reasons = [note.split(": ", 1)[1] for note in reader.notes]
    assert reasons == [
        "its emotion '7' is none of 0 to 6 and no expression of the set",
        "its emotion 'x' is none of 0 to 6 and no expression of the set",
        "its Usage 'Somewhere' is none of Training, PublicTest, PrivateTest",
        "it has 1 columns instead of 3",
    ]
    # The rows after the damaged ones still find their own pixels.
    np.testing.assert_array_equal(reader.load(samples[2])[..., 0], faces_of([2])[0])


@pytest.mark.parametrize(
    "pixels", ["", "1 2 3", pixel_text(0) + " 7", "256" + " 0" * 2303, "-1" + " 0" * 2303, "a" + " 0" * 2303]
)
def test_pixels_that_are_no_picture_are_unreadable(table: Path, pixels: str) -> None:
    with table.open("a") as file:
        file.write(f"0,{pixels},Training\n")
    reader = open_reader(parse_spec(str(table.parent)))
    samples = list(reader.selected())
    assert len(samples) == 10
    with pytest.raises(UndecodableImage) as error:
        reader.load(samples[9])
    assert error.value.status == Status.UNREADABLE


def test_a_copy_in_another_process_finds_its_rows_with_or_without_having_listed(table: Path) -> None:
    reader = open_reader(parse_spec(str(table.parent)))
    sample = list(reader.selected())[5]
    fresh = open_reader(parse_spec(str(table.parent)))
    for one in (pickle.loads(pickle.dumps(reader)), pickle.loads(pickle.dumps(fresh))):
        np.testing.assert_array_equal(one.load(sample)[..., 0], faces_of([5])[0])


def test_two_workers_pack_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CHUNK", 4)
    rows = [(number % 7, "Training" if number % 3 else "PrivateTest") for number in range(40)]
    root = write_pixels(tmp_path / "fer2013" / "fer2013.csv", rows).parent
    packs = [
        build.build_pack(
            open_reader(parse_spec(str(root))),
            tmp_path / f"{workers}",
            size=48,
            align="none",
            workers=workers,
            progress=False,
        )
        for workers in (1, 2)
    ]
    for pack in packs:
        np.testing.assert_array_equal(pack.faces, faces_of(range(40)))
        assert [pack.classes[label] for label in pack.labels] == [NAMES[code] for code, _ in rows]
        assert pack.paths.tolist()[39] == "fer2013.csv#0000039"


LINE = st.binary(max_size=60).map(lambda noise: noise.replace(b"\n", b"").replace(b"\r", b""))


@settings(max_examples=60, deadline=None)
@given(noise=st.lists(LINE, max_size=4), place=st.integers(0, 4))
def test_any_line_costs_no_more_than_itself(
    tmp_path_factory: pytest.TempPathFactory, noise: list[bytes], place: int
) -> None:
    root = tmp_path_factory.mktemp("noise")
    good = [f"{code},{' '.join([str(code)] * 2304)},Training".encode() for code in range(4)]
    lines = [b"emotion,pixels,Usage", *good[:place], *noise, *good[place:]]
    (root / "fer2013.csv").write_bytes(b"\n".join(lines))
    reader = open_reader(parse_spec(f"fer2013:{root}"))
    samples = list(reader.selected())
    assert len(samples) + reader.skipped.get("damaged rows", 0) == sum(1 for line in lines[1:] if line.strip())
    shown = []
    for sample in samples:
        try:
            shown.append((reader.classes[sample.label], reader.load(sample).mean()))
        except UndecodableImage:
            continue
    assert [one for one in shown if one[1] < 4] == [(NAMES[code], code) for code in range(4)]


def test_folders_keep_the_two_tests_together(tmp_path: Path) -> None:
    root = write_split_folders(tmp_path / "archive", ("train", "test"), FER_FOLDERS, each=2)
    write_picture(root / "train" / "stray.png")
    reader = open_reader(parse_spec(str(root)))
    assert (reader.name, reader.layout) == ("fer2013", "folders")
    samples = list(reader.selected())
    assert Counter(sample.split for sample in samples) == {"train": 14, "test": 14}
    assert all(reader.classes[sample.label] == canonical(sample.path.split("/")[1]) for sample in samples)
    assert reader.skipped == {"picture in no class folder": 1}
    assert {split: sum(counts.values()) for split, counts in reader.official().items()} == {
        "train": 28709,
        "test": 7178,
    }


def test_folders_in_upper_case_are_found(tmp_path: Path) -> None:
    root = write_split_folders(tmp_path, ("Train", "TEST"), [name.upper() for name in FER_FOLDERS])
    reader = open_reader(parse_spec(str(root)))
    assert reader.name == "fer2013"
    assert Counter(sample.split for sample in reader.selected()) == {"train": 7, "test": 7}


@pytest.mark.parametrize("other", ["colour", "large", "eighth class", "class missing"])
def test_a_users_own_folders_are_not_taken_for_it(tmp_path: Path, other: str) -> None:
    folders = FER_FOLDERS[:-1] if other == "class missing" else FER_FOLDERS
    root = write_split_folders(tmp_path, ("train", "test"), folders)
    if other == "eighth class":
        write_picture(root / "train" / "contempt" / "a.png")
    elif other != "class missing":
        for path in root.rglob("*.jpg"):
            write_picture(path, side=48 if other == "colour" else 64)
    assert recognised(root) == {}
    assert open_reader(parse_spec(str(root))).name not in ("fer2013", "ferplus")


def test_the_published_numbers_add_up(table: Path) -> None:
    counts = open_reader(parse_spec(str(table.parent))).official()
    assert {split: sum(row.values()) for split, row in counts.items()} == {
        "train": 28709,
        "validation": 3589,
        "test": 3589,
    }
    # Totals per class by Goodfellow et al. 2013.
    totals = {name: sum(row[name] for row in counts.values()) for name in NAMES}
    assert list(totals.values()) == [4953, 547, 5121, 8989, 6077, 4002, 6198]


def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=r"needs fer2013.csv or the folders train and test in '.*'; found: cats"):
        open_reader(parse_spec(f"fer2013:{tmp_path}"))
    (tmp_path / "fer2013.csv").write_text("image,label\n")
    with pytest.raises(DataError, match=r"lacks emotion and pixels; its columns are 'image', 'label'\.$"):
        open_reader(parse_spec(f"fer2013:{tmp_path}"))


def variant(rows: list[tuple[str, int, str]], header: str, order: tuple[int, ...]) -> str:
    """Return a table whose rows are (emotion, grey value, usage), in another order of columns."""
    lines = [(emotion, " ".join([str(value)] * 2304), usage) for emotion, value, usage in rows]
    return "\n".join([header, *(",".join(cells[place] for place in order) for cells in lines)]) + "\n"


@pytest.mark.parametrize(
    ("name", "header", "order"),
    [
        ("icml_face_data.csv", "emotion, Usage, pixels", (0, 2, 1)),
        ("fer2013.csv", " Pixels ,EMOTION,usage", (1, 0, 2)),
        ("fer2013.csv", '"Usage","pixels","emotion"', (2, 1, 0)),
    ],
)
def test_columns_are_found_by_name_in_any_order_and_case(
    tmp_path: Path, name: str, header: str, order: tuple[int, ...]
) -> None:
    """D2: copies of the table differ in order, case and blanks of the header, and write emotions as words."""
    rows = [
        ("3", 9, "Training"),
        ("Happy", 8, "publictest"),
        ("sadness", 7, "PrivateTest"),
        ("contempt", 6, "Training"),
    ]
    (tmp_path / name).write_text(variant(rows, header, order))
    for spec in (str(tmp_path), f"fer2013:{tmp_path / name}"):
        reader = open_reader(parse_spec(spec))
        samples = list(reader.selected())
        assert [reader.classes[sample.label] for sample in samples] == ["happiness", "happiness", "sadness"]
        assert [sample.split for sample in samples] == ["train", "validation", "test"]
        assert [int(reader.load(sample).max()) for sample in samples] == [9, 8, 7]
        assert reader.notes == [
            f"line 5 of {name} was left out: its emotion 'contempt' is none of 0 to 6 and no expression of the set"
        ]


def test_a_table_without_usage_has_no_split(tmp_path: Path) -> None:
    """D2: `train.csv` of the challenge has no column Usage."""
    (tmp_path / "train.csv").write_text(variant([("0", 1, ""), ("6", 2, "")], "emotion,pixels", (0, 1)))
    reader = open_reader(parse_spec(f"fer2013:{tmp_path / 'train.csv'}"))
    assert [(sample.label, sample.split) for sample in reader.selected()] == [(5, ""), (6, "")]
    assert reader.split_rule.startswith("none")
    assert reader.official() == {}


def test_a_table_whose_rows_are_all_bad_gives_the_first_five_reasons(tmp_path: Path) -> None:
    """D2, D3: one count says nothing of the cause."""
    (tmp_path / "fer2013.csv").write_text(variant([(f"{code}", 0, "Training") for code in range(7, 15)], *PLAIN))
    with pytest.raises(DataError) as error:
        build.build_pack(open_reader(parse_spec(f"fer2013:{tmp_path}")), tmp_path / "out", progress=False)
    text = str(error.value)
    assert "left out: 8 damaged rows" in text
    assert [f"line {line} of fer2013.csv" in text for line in range(2, 10)] == [True] * 5 + [False] * 3
    assert "its emotion '7' is none of 0 to 6" in text
    assert not list(tmp_path.glob("out*"))


PLAIN = ("emotion,pixels,Usage", (0, 1, 2))
