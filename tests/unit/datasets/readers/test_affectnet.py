"""AffectNet: older lists, newer `.npy` files, the Kaggle derivative; codes, five points, values, damage, packs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError
from dcdan.datasets.reader import Reader
from dcdan.datasets.readers.affectnet import COLUMNS, AffectNet, five_points, from_row, read_number, read_numbers
from dcdan.datasets.spec import open_reader, parse_spec, recognised
from dcdan.expressions import EXPRESSIONS
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack
from drawn_data import picture, write_picture

HEADER = ",".join(COLUMNS)
NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")


def points_of(seed: int = 0) -> np.ndarray:
    """68 points (x, y) somewhere in a picture of 48 pixels."""
    return np.random.default_rng(seed).uniform(8, 40, (68, 2)).round(2)


def row_of(path: str, code: object, valence: object = 0.25, arousal: object = -0.5, box: str = "4,6,36,38") -> str:
    marks = ";".join(f"{value:g}" for value in points_of().ravel())
    return f"{path},{box},{marks},{code},{valence},{arousal}"


TRAINING = [
    row_of("689/737db2483489148d783ef278f43f486c0a97e140fc4b6b61b84363ca.jpg", 1, 0.785714, -0.055556),
    row_of("392/c4db2f9b7e4b422d14b6e038f0cdc3ecee239b55326e9181ee4520f9.jpg", 0, -0.017253, 0.004313),
    row_of("468/21772b68dc8c2a11678c8739eca33adb6ccc658600e4da2224080603.jpg", 10, -2, -2, "NULL,NULL,NULL,NULL"),
    row_of("944/06e9ae8d3b240eb68fa60534783eacafce2def60a86042f9b7d59544.jpg", 9, -2, -2),
    row_of("993/02e06ee5521958b4042dd73abb444220609d96f57b1689abbe87c024.jpg", 8),
    row_of("979/f675c6a88cdef70a6d8b0261a4377fc1da43d024aa8a44ab3ca0a49b.JPG", 7, -2, 0.5),
]
VALIDATION = [row_of("897/13b60a1b.jpg", 6), row_of("571/1fe5ea5f.jpg", 3)]


def write_older(root: Path, training: Sequence[str] = TRAINING, validation: Sequence[str] = VALIDATION) -> Path:
    """Write the older release; `validation.csv` has no header, as in the release."""
    lists = root / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    (lists / "training.csv").write_text("\n".join([HEADER, *training, ""]))
    (lists / "validation.csv").write_text("\n".join([*validation, ""]))
    for index, row in enumerate((*training, *validation)):
        write_picture(root / "Manually_Annotated_Images" / row.split(",")[0], index, 48)
    return root


def write_newer(root: Path, sets: Mapping[str, Mapping[str, tuple[object, object, object, np.ndarray | None]]]) -> Path:
    """Write the newer release from set -> stem -> (exp, val, aro, lnd), each saved as it is; None is not written."""
    for name, files in sets.items():
        (root / name / "images").mkdir(parents=True, exist_ok=True)
        (root / name / "annotations").mkdir(exist_ok=True)
        for index, (stem, values) in enumerate(files.items()):
            write_picture(root / name / "images" / f"{stem}.jpg", index, 48)
            for ending, value in zip(("exp", "val", "aro", "lnd"), values, strict=True):
                if value is not None:
                    np.save(root / name / "annotations" / f"{stem}_{ending}.npy", np.asarray(value))
    return root


SETS: dict[str, dict[str, tuple[object, object, object, np.ndarray | None]]] = {
    "train_set": {
        "10": ("1", "0.785714", "-0.055556", points_of().ravel()),
        "2": (4, np.float64(-0.5), np.float32(0.75), points_of(1)),
        "0": ("8", "-2", "-2", points_of().ravel()),
        "7": (np.array(["7"]), "-2.0", "0.1", None),
    },
    "val_set": {"0": ("0", "-0.1", "0.2", points_of().ravel()), "3999": (6, None, None, points_of().ravel())},
}


def reader_of(root: Path, query: str = "") -> Reader:
    return open_reader(parse_spec(f"affectnet:{root}{query}"))


def pack_of(reader: Reader, out: Path) -> Pack:
    return build_pack(reader, out, size=24, align="none", workers=1, progress=False)


def test_the_older_lists(tmp_path: Path) -> None:
    reader = reader_of(write_older(tmp_path))
    samples = list(reader.selected())
    assert [(s.path.split("/")[1], reader.classes[s.label], s.split) for s in samples] == [
        ("689", "happiness", "train"),
        ("392", "neutral", "train"),
        ("979", "contempt", "train"),
        ("897", "anger", "test"),
        ("571", "surprise", "test"),
    ]
    assert reader.layout == "older release"
    assert reader.skipped == {"no face": 1, "uncertain": 1, "none": 1}
    assert reader.notes == []
    assert samples[0].box == (4, 6, 40, 44)
    assert samples[0].values == {"valence": 0.785714, "arousal": -0.055556}
    assert samples[2].values == {"arousal": 0.5}
    points = points_of()
    expected = [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
    np.testing.assert_allclose(samples[0].landmarks or (), expected)
    assert reader.load(samples[0]).shape == (48, 48, 3)
    assert [s.split for s in reader_of(tmp_path, "?split=test").selected()] == ["test", "test"]


def test_every_code_is_the_released_one(tmp_path: Path) -> None:
    older = reader_of(write_older(tmp_path / "older", [row_of(f"1/{code}.jpg", code) for code in range(8)], []))
    assert [older.classes[sample.label] for sample in older.selected()] == list(NAMES)
    files = {str(code): (str(code), "0", "0", points_of()) for code in range(8)}
    newer = reader_of(write_newer(tmp_path / "newer", {"train_set": files}))
    assert [newer.classes[sample.label] for sample in newer.selected()] == list(NAMES)


def test_the_newer_files_hold_numbers_or_text(tmp_path: Path) -> None:
    root = write_newer(tmp_path, SETS)
    (root / "train_set" / "images" / "10.jpg").rename(root / "train_set" / "images" / "10.png")
    write_picture(root / "val_set" / "images" / "5.jpg")
    reader = reader_of(root)
    samples = list(reader.selected())
    assert [(s.path, reader.classes[s.label], s.split, dict(s.values)) for s in samples] == [
        ("train_set/images/2.jpg", "fear", "train", {"valence": -0.5, "arousal": 0.75}),
        ("train_set/images/7.jpg", "contempt", "train", {"arousal": 0.1}),
        ("train_set/images/10.png", "happiness", "train", {"valence": 0.785714, "arousal": -0.055556}),
        ("val_set/images/0.jpg", "neutral", "test", {"valence": -0.1, "arousal": 0.2}),
        ("val_set/images/3999.jpg", "anger", "test", {}),
    ]
    assert reader.skipped == {"none": 1, "picture without annotation": 1}
    assert samples[1].landmarks is None
    assert all(sample.box is None for sample in samples)
    np.testing.assert_allclose(samples[0].landmarks or (), five_points(points_of(1).ravel().tolist()) or ())
    test_only = reader_of(root, "?split=test")
    assert [s.split for s in test_only.selected()] == ["test", "test"]
    assert "none" not in test_only.skipped


def test_contempt_can_be_left_out(tmp_path: Path) -> None:
    for root in (write_older(tmp_path / "older"), write_newer(tmp_path / "newer", SETS)):
        reader = reader_of(root, "?contempt=false")
        samples = list(reader.selected())
        assert reader.classes == EXPRESSIONS[:-1]
        assert len(samples) == 4
        assert reader.skipped["contempt"] == 1
        assert "contempt" not in reader.official()["test"]


def test_packs_keep_box_landmarks_and_values(tmp_path: Path) -> None:
    root = write_older(tmp_path / "in")
    (root / "Manually_Annotated_Images" / TRAINING[1].split(",")[0]).unlink()
    pack = pack_of(open_reader(parse_spec(str(root))), tmp_path / "older")
    assert [pack.classes[label] for label in pack.labels] == ["happiness", "contempt", "anger", "surprise"]
    assert pack.splits.tolist() == ["train", "train", "test", "test"]
    assert [status for _, status in pack.failures()] == ["missing"]
    np.testing.assert_allclose(pack.values["arousal"], [-0.055556, 0.5, -0.5, -0.5], rtol=1e-6)
    np.testing.assert_allclose(pack.values["valence"], [0.785714, np.nan, 0.25, 0.25], rtol=1e-6)
    inside = (np.array(five_points(points_of().ravel().tolist())) - (4, 6)) / (36, 38)
    np.testing.assert_allclose(pack.landmarks[0], inside, atol=1e-5)
    assert pack.boxes[0].tolist() == [4, 6, 40, 44]
    newer = pack_of(open_reader(parse_spec(str(write_newer(tmp_path / "new", SETS)))), tmp_path / "newer")
    np.testing.assert_allclose(newer.values["valence"], [-0.5, np.nan, 0.785714, -0.1, np.nan], rtol=1e-6)
    whole = picture(1, 48).reshape(24, 2, 24, 2, 3).mean((1, 3))
    assert np.abs(newer.faces[0] - whole).mean() < 5


@pytest.mark.parametrize("form", ["older", "older, in one folder", "newer", "capitals", "above"])
def test_each_layout_is_found_without_a_name(tmp_path: Path, form: str) -> None:
    root = tmp_path / "AffectNet" if form == "above" else tmp_path
    if form.startswith("older"):
        write_older(root)
        if form != "older":
            (root / "Manually_Annotated").mkdir()
            (root / "Manually_Annotated_Images").rename(root / "Manually_Annotated" / "Manually_Annotated_Images")
            for name in ("training.csv", "validation.csv"):
                (root / "Manually_Annotated_file_lists" / name).rename(root / name)
    else:
        write_newer(root, SETS)
        if form == "capitals":
            (root / "train_set").rename(root / "Train_Set")
            (root / "val_set" / "annotations").rename(root / "val_set" / "Annotations")
    assert set(recognised(tmp_path)) == {"affectnet"}
    reader = open_reader(parse_spec(str(tmp_path)))
    assert all(reader.load(sample).shape == (48, 48, 3) for sample in reader.selected())


def test_one_half_alone_is_read(tmp_path: Path) -> None:
    reader = open_reader(parse_spec(str(write_newer(tmp_path, {"val_set": SETS["val_set"]}))))
    assert len(list(reader.selected())) == 2
    with pytest.raises(DataError, match="has no split 'train'; its splits are: test"):
        list(reader_of(tmp_path, "?split=train").selected())


def test_the_kaggle_derivative_says_that_it_is_one(tmp_path: Path) -> None:
    root = tmp_path / "in" / "archive (3)"
    for index, folder in enumerate(("Train/anger", "Train/contempt", "Train/happy", "Test/Anger", "Test/Surprise")):
        write_picture(root / folder / f"image{index:07d}.jpg", index, 96)
    write_picture(root / "Train" / "cats" / "image0000009.jpg")
    assert recognised(root) == {}
    (root / "labels.csv").write_text(",pth,label,relFCs\n0,anger/image0000006.jpg,surprise,0.873142\n")
    reader = open_reader(parse_spec(str(tmp_path / "in")))
    assert (reader.name, reader.layout) == ("affectnet", "Kaggle derivative")
    assert [(s.path, reader.classes[s.label], s.split) for s in reader.selected()] == [
        ("Train/anger/image0000000.jpg", "anger", "train"),
        ("Train/contempt/image0000001.jpg", "contempt", "train"),
        ("Train/happy/image0000002.jpg", "happiness", "train"),
        ("Test/Anger/image0000003.jpg", "anger", "test"),
        ("Test/Surprise/image0000004.jpg", "surprise", "test"),
    ]
    assert reader.skipped == {"folder 'cats' is no expression": 1}
    assert reader.official() == {}
    pack = pack_of(reader, tmp_path / "out")
    assert any("re-labelled" in warning and "not the official" in warning for warning in pack.info.warnings)
    seven = reader_of(root, "?contempt=false")
    assert len(list(seven.selected())) == 4
    assert seven.skipped["contempt"] == 1


def test_the_official_numbers_add_up(tmp_path: Path) -> None:
    newer, older = write_newer(tmp_path / "newer", SETS), write_older(tmp_path / "older")
    totals = {
        (root.name, query): {split: sum(counts.values()) for split, counts in reader_of(root, query).official().items()}
        for root in (newer, older)
        for query in ("", "?contempt=false")
    }
    assert totals == {
        ("newer", ""): {"train": 287_651, "test": 3_999},
        ("newer", "?contempt=false"): {"train": 283_901, "test": 3_500},
        ("older", ""): {"train": 287_651, "test": 4_000},
        ("older", "?contempt=false"): {"train": 283_901, "test": 3_500},
    }
    assert list(reader_of(newer, "?split=train").official()) == ["train"]
    assert reader_of(newer).official()["train"]["happiness"] == 134_415


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1/a.jpg,1,2,3", "4 columns instead of 9"),
        (row_of("../a.jpg", 1), "leads out"),
        (row_of("/a.jpg", 1), "leads out"),
        (row_of("", 1), "no name of a picture"),
        (row_of("1/a.jpg", 11), "none of 0 to 10"),
        (row_of("1/a.jpg", 1.5), "none of 0 to 10"),
        (row_of("1/a.jpg", "nan"), "none of 0 to 10"),
        (row_of("1/a.jpg", "happy"), "could not convert"),
        (row_of("1/a.jpg", 1, "x"), "could not convert"),
        (row_of("1/a.jpg", 1, "inf"), "not finite"),
        (row_of("1/a.jpg", 1, box="a,b,c,d"), "could not convert"),
        ("1/a.jpg,1,2,30,30,5;6;7,1,0,0", "3 landmark coordinates instead of 136"),
    ],
)
def test_a_damaged_row_is_named_by_line(tmp_path: Path, row: str, reason: str) -> None:
    root = write_older(tmp_path, TRAINING[:2])
    (root / "Manually_Annotated_file_lists" / "training.csv").write_text(
        "\r\n".join([HEADER, TRAINING[0], row, "", *TRAINING[1:2]])
    )
    reader = reader_of(root, "?split=train")
    assert len(list(reader.selected())) == 2
    assert reader.skipped == {"damaged rows": 1}
    assert reader.notes[0].startswith("line 3 of training.csv was left out: ")
    assert reason in reader.notes[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=60)), min_size=1, max_size=12))
def test_whatever_stands_between_the_good_rows_they_are_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes | None]
) -> None:
    root = tmp_path_factory.mktemp("noise")
    (root / "Manually_Annotated_Images").mkdir()
    good = {n: row_of(f"1/good{n}.jpg", n % 8) for n, line in enumerate(lines) if line is None}
    text = [
        good[n].encode() if line is None else line.replace(b"\n", b"").replace(b"\r", b"")
        for n, line in enumerate(lines)
    ]
    (root / "training.csv").write_bytes(b"\n".join([HEADER.encode(), *text]))
    reader = reader_of(root)
    found = {sample.path: sample.label for sample in reader.selected()}
    for n in good:
        assert found[f"Manually_Annotated_Images/1/good{n}.jpg"] == reader.classes.index(NAMES[n % 8])
    bad = [n + 2 for n, row in enumerate(text) if row.decode("utf-8", "replace").strip() and n not in good]
    assert [note.split(" of ")[0] for note in reader.notes] == [f"line {line}" for line in bad]


def test_odd_lists(tmp_path: Path) -> None:
    order = ["expression", "note", "subDirectory_filePath", "valence"]
    root = write_older(tmp_path, TRAINING[:1])
    table = root / "Manually_Annotated_file_lists" / "training.csv"
    table.write_text(",".join(order) + '\n3.0,"x","1\\a.jpg",-2\n')
    (sample,) = reader_of(root, "?split=train").selected()
    assert (sample.path, sample.label) == ("Manually_Annotated_Images/1/a.jpg", EXPRESSIONS.index("surprise"))
    assert (sample.box, sample.landmarks, dict(sample.values)) == (None, None, {})
    table.write_text("subDirectory_filePath,valence\n1/a.jpg,0\n")
    with pytest.raises(DataError, match="should have a column expression"):
        list(reader_of(root).selected())


def test_a_face_without_a_usable_box_or_eyes_has_none() -> None:
    columns = {name: place for place, name in enumerate(COLUMNS)}
    for box in ("0,0,-1,-1", ",,,", "3,4,0,9"):
        assert from_row(row_of("a.jpg", 1, box=box).split(","), columns).box is None
    assert five_points([1.0] * 136) is None
    with pytest.raises(ValueError, match="or one is not finite"):
        five_points([1.0] * 135 + [np.nan])


def test_damaged_files_are_named_and_nothing_is_unpickled(tmp_path: Path) -> None:
    root = write_newer(tmp_path, SETS)
    annotations = root / "train_set" / "annotations"
    sentinel = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(sentinel),)

    bad: dict[str, bytes] = {
        "20_exp": b"",
        "21_exp": b"\x93NUMPY\x01\x00",
        "22_exp": b"PK\x03\x04 a zip file",
        "23_exp": pickle.dumps(Attack()),
        "24_exp": _npy("'<i8'", (), b"\x01"),
        "25_exp": _npy("'<i8'", (1 << 40,), b""),
        "26_exp": _npy("()", (), b""),
        "27_exp": _npy("'|O'", (), pickle.dumps(Attack())),
        "28_exp": _npy("'<i8'", (2,), bytes(16)),
        "29_exp": _npy("[" * 500, (), b""),
        "30_exp": _npy("'<f8'", (), np.float64(np.nan).tobytes()),
        "31_exp": bytes(1 << 17),
        "2_lnd": _npy("'<f8'", (3,), bytes(24)),
    }
    for name, content in bad.items():
        (annotations / f"{name}.npy").write_bytes(content)
    np.save(annotations / "32_exp.npy", np.array("puzzled"))
    np.save(annotations / "33_exp.npy", np.array([Attack()], object), allow_pickle=True)
    reader = reader_of(root, "?split=train")
    assert [sample.path for sample in reader.selected()] == ["train_set/images/7.jpg", "train_set/images/10.jpg"]
    assert reader.skipped["damaged rows"] == len(bad) + 2
    named = {note.split(" ")[0] for note in reader.notes}
    assert named == {"2_exp.npy", *(f"{number}_exp.npy" for number in range(20, 34))}
    assert not sentinel.exists()


def _npy(descr: str, shape: tuple[int, ...], data: bytes) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, allow_nan=False, width=32), min_size=1, max_size=6),
    st.sampled_from(["float64", "float32", "int64", "uint8", "U", "S"]),
)
def test_small_files_are_read_as_numpy_reads_them(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.npy"
    array = np.array([abs(value) % 200 for value in values]).astype(kind)
    np.save(path, array)
    expected = np.load(path, allow_pickle=False).astype(np.float64)
    np.testing.assert_array_equal(read_numbers(path), expected)
    np.save(path, array[0])
    assert read_number(path) == expected[0]
    table = np.asfortranarray(np.stack([array, array[::-1]]))
    np.save(path, table)
    np.testing.assert_array_equal(read_numbers(path), np.concatenate([expected, expected[::-1]]))


def test_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "value.npy", np.array("3"))
    content = (tmp_path / "value.npy").read_bytes()
    (tmp_path / "value.npy").write_bytes(content[:-4] + b"\xff" * 4)
    with pytest.raises(ValueError, match="its text is no text"):
        read_numbers(tmp_path / "value.npy")


def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(DataError, match=r"AffectNet needs Manually_Annotated_Images and its lists, .* found: holiday"):
        reader_of(tmp_path)
    (tmp_path / "train_set" / "images").mkdir(parents=True)
    assert AffectNet.recognise(tmp_path) is None


def test_five_points_are_the_eye_centres_the_nose_tip_and_the_mouth_corners() -> None:
    """T: order of left and right, by hand. Point n lies at (n, 100 + n)."""
    flat = [float(value) for number in range(68) for value in (number, 100 + number)]
    assert five_points(flat) == ((38.5, 138.5), (44.5, 144.5), (30, 130), (48, 148), (54, 154))
