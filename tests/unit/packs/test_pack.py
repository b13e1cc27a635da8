"""Packs opened: what they give, what a target hides, and how damage is told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from dcdan.core.errors import MissingExtraError, PackError
from dcdan.core.limits import small_batches
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.packs.build import build_pack
from dcdan.packs.format import HEADER_BYTES, npy_header
from dcdan.packs.pack import HiddenLabelsError, Pack
from drawn_data import picture, write_classes, write_picture


def make(spec: str, out: Path, size: int = 16) -> Pack:
    reader = open_reader(parse_spec(spec))
    return build_pack(reader, out, size=size, align="none", workers=1, progress=False, spec_text=spec)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    for index, split in enumerate(("train", "test")):
        write_classes(root / "in" / split, {"happy": 2 + index, "sad": 1}, side=16)
    (root / "in" / "test" / "sad" / "bad.png").write_bytes(b"bad")
    make(f"class_folders:{root / 'in'}", root / "pack")
    return root / "pack"


@pytest.fixture
def pack_folder(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "pack")
    return tmp_path / "pack"


def test_columns_belong_to_the_faces(built: Path) -> None:
    pack = Pack.open(built)
    assert len(pack) == 7
    assert pack.size == 16
    assert pack.classes == ("happiness", "sadness")
    assert pack.labels.dtype == np.int64
    assert pack.labels.tolist() == [0, 0, 0, 1, 0, 0, 1]
    assert pack.splits.tolist() == ["test"] * 4 + ["train"] * 3
    assert pack.votes is None
    assert pack.face_numbers.tolist() == [0] * 7
    assert pack.boxes.shape == (7, 4)
    assert pack.subjects.tolist() == [""] * 7
    assert pack.failures() == [("test/sad/bad.png", "not_an_image")]
    assert isinstance(pack.faces, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        pack.faces[0] = 0
    pack.verify()


def test_select_and_views(built: Path) -> None:
    pack = Pack.open(built)
    assert pack.select().tolist() == list(range(7))
    assert pack.select("train").tolist() == [4, 5, 6]
    assert pack.select("validation").tolist() == []
    view = Pack.open(built, split="test", limit=2, seed=3)
    assert len(view.select()) == 2
    assert set(view.select().tolist()) < set(pack.select("test").tolist())
    assert view.select().tolist() == Pack.open(built, split="test", limit=2, seed=3).select().tolist()
    with pytest.raises(PackError, match="has no split 'dev'; its splits are: test, train"):
        Pack.open(built, split="dev")


def test_a_target_has_no_labels(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def watched(file: object, columns: list[str]) -> object:
        asked.extend(columns)
        return small_batches(file, columns)

    monkeypatch.setattr("dcdan.packs.pack.small_batches", watched)
    target = Pack.open(built, labelled=False)
    assert not target.labelled
    assert target.info.counts.classes == {}
    for name in ("labels", "votes", "values"):
        assert not hasattr(target, name)
        with pytest.raises(HiddenLabelsError, match="opened as a target, which has no"):
            getattr(target, name)
    public = [name for name in dir(target) if not name.startswith("_")]
    for name in public:
        if name not in ("labels", "votes", "values"):
            value = getattr(target, name)
            if callable(value) and name in ("failures", "select", "verify"):
                value()
    with pytest.raises(HiddenLabelsError):
        target.table(["path", "label"])
    assert asked
    assert not {"label", "votes", "values"} & set(asked)


def test_unlabelled_data_have_no_label_column(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "a.png")
    pack = make(f"folder:{tmp_path / 'in'}", tmp_path / "out")
    assert pack.labels.tolist() == [-1]
    assert pack.votes is None
    assert not pack.labelled
    assert pack.classes == ()
    assert not {"label", "votes"} & set(parquet.read_schema(tmp_path / "out" / "table.parquet").names)


def test_groups_and_subjects(tmp_path: Path) -> None:
    for name in "abc":
        write_picture(tmp_path / f"{name}.png")
    rows = ["path,subject,group.age,group.sex", "a.png,s1,20-39,f", "b.png,s2,,m", "c.png,,60+,"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    pack = make(f"manifest:{tmp_path / 'm.csv'}", tmp_path / "out")
    assert pack.subjects.tolist() == ["s1", "s2", ""]
    assert {name: values.tolist() for name, values in pack.groups.items()} == {
        "age": ["20-39", "", "60+"],
        "sex": ["f", "m", ""],
    }


def test_the_header_is_numpys_own_and_of_one_length(tmp_path: Path) -> None:
    for shape in ((0, 112, 112, 3), (7, 64, 64), (10**12, 1024, 1024, 3)):
        assert len(npy_header(shape)) == HEADER_BYTES
    array = np.stack([picture(seed, 16) for seed in range(3)])
    (tmp_path / "a.npy").write_bytes(npy_header(array.shape) + array.tobytes())
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), array)


def test_no_pack_and_another_schema(tmp_path: Path, pack_folder: Path) -> None:
    with pytest.raises(PackError, match=r"is no pack: it has no pack\.json"):
        Pack.open(tmp_path)
    info = json.loads((pack_folder / "pack.json").read_text())
    (pack_folder / "pack.json").write_text(json.dumps({**info, "schema": 7, "surprise": True}))
    with pytest.raises(PackError, match="is of schema 7 and this dcdan reads 1: a newer version"):
        Pack.open(pack_folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pack.json", b"{", r"pack\.json cannot be read"),
        ("pack.json", b"[1]", r"pack\.json cannot be read"),
        ("pack.json", b'{"schema": 1}', "'data_set' in pack.json is not right"),
        ("table.parquet", b"", "table.parquet: its SHA-256 is not the one in pack.json"),
        ("table.parquet", None, "table.parquet: it is missing"),
        ("faces.npy", b"", "faces.npy: it has 0 bytes instead of 5504"),
        ("faces.npy", None, "faces.npy: it is missing"),
        ("faces.npy", b"\0" * 5504, "faces.npy: its header is not that of this pack"),
    ],
)
def test_damage_is_told(pack_folder: Path, name: str, content: bytes | None, message: str) -> None:
    (pack_folder / name).unlink()
    if content is not None:
        (pack_folder / name).write_bytes(content)
    with pytest.raises(PackError, match=message):
        Pack.open(pack_folder)


def test_verify_finds_one_changed_pixel(pack_folder: Path) -> None:
    content = bytearray((pack_folder / "faces.npy").read_bytes())
    content[-1] ^= 1
    (pack_folder / "faces.npy").write_bytes(content)
    pack = Pack.open(pack_folder)
    with pytest.raises(PackError, match=r"faces\.npy: its SHA-256 is not the one in pack.json"):
        pack.verify()


def test_verify_returns_the_checksums_of_what_was_read_and_reads_once(
    pack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S6, S21: a training verifies its packs; a report names the checksum of the faces that were read."""
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("dcdan.packs.pack.sha256", counted)
    found = Pack.open(pack_folder).verify()
    assert found == {
        name: hashlib.sha256((pack_folder / name).read_bytes()).hexdigest() for name in ("faces.npy", "table.parquet")
    }
    assert Pack.open(pack_folder).verify() == found
    assert sorted(read) == ["faces.npy", "table.parquet"]
    # A file of the same size that was written later is read again.
    content = bytearray((pack_folder / "faces.npy").read_bytes())
    content[-1] ^= 1
    (pack_folder / "faces.npy").write_bytes(content)
    os.utime(pack_folder / "faces.npy", ns=(0, 7))
    with pytest.raises(PackError, match=r"faces\.npy: its SHA-256 is not the one in pack\.json, so .*; pack the data"):
        Pack.open(pack_folder).verify()
    assert len(read) == 3


def test_a_damaged_file_says_what_to_do(pack_folder: Path) -> None:
    """S14: "its checksum is another" was the whole answer."""
    (pack_folder / "table.parquet").write_bytes(b"PAR1")
    with pytest.raises(PackError, match=r"was changed or copied incompletely; pack the data again\.$"):
        Pack.open(pack_folder)


def test_without_pyarrow_the_extra_is_named(pack_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """U1: the core install said that the pack is damaged."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    pack = Pack.open(pack_folder)
    assert pack.faces.shape == (7, 16, 16, 3)
    for name in ("labels", "values", "paths"):
        with pytest.raises(MissingExtraError, match=r"pip install 'dcdan\[parquet\]'"):
            getattr(pack, name)
    write_classes(tmp_path / "new", {"happy": 1, "sad": 1})
    with pytest.raises(MissingExtraError, match="pyarrow"):
        make(f"class_folders:{tmp_path / 'new'}", tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtraError, match="pyarrow"):
        open_reader(parse_spec(f"manifest:{tmp_path / 'm.parquet'}"))


def test_a_pipe_in_a_pack_is_damage(pack_folder: Path) -> None:
    """S17: the opening of a pipe would wait for ever."""
    for name in ("faces.npy", "table.parquet", "pack.json"):
        (pack_folder / name).unlink()
        os.mkfifo(pack_folder / name)
        with pytest.raises(PackError, match=r"is missing|a pipe or a device"):
            Pack.open(pack_folder)


def test_landmarks_are_x_then_y_left_before_right(tmp_path: Path) -> None:
    """T: the order of left and right, and of x and y, in what a pack stores."""
    write_picture(tmp_path / "a.png", side=40)
    points = [8, 10, 30, 11, 20, 20, 12, 31, 27, 32]
    header = ",".join(f"l{axis}{number}" for number in range(5) for axis in "xy")
    (tmp_path / "m.csv").write_text(f"path,faces,{header}\na.png,,{','.join(map(str, points))}\n")
    pack = make(f"manifest:{tmp_path / 'm.csv'}", tmp_path / "out")
    np.testing.assert_allclose(pack.landmarks[0] * 40, np.array(points).reshape(5, 2), atol=1e-4)
    assert pack.landmarks.dtype == np.float32
    names = ("left eye", "right eye", "nose", "left corner", "right corner")
    place = dict(zip(names, pack.landmarks[0].tolist(), strict=True))
    assert place["left eye"][0] < place["nose"][0] < place["right eye"][0]
    assert place["left corner"][0] < place["right corner"][0]
    assert place["nose"][1] < place["left corner"][1]


def test_the_groups_of_a_hold_out(tmp_path: Path) -> None:
    """D1: a pack knows which faces a hold-out must keep together."""
    for name in "abcd":
        write_picture(tmp_path / f"{name}.png")
    rows = ["path,subject,group.film", "a.png,s1,", "b.png,,Amelie", "c.png,,", "d.png,s1,Amelie"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    found = make(f"manifest:{tmp_path / 'm.csv'}", tmp_path / "out").holdout_groups
    assert found.kind == "subject"
    assert found.names.tolist() == ["subject s1", "film Amelie", "picture c.png", "subject s1"]


def rewritten(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the rows of a pack's table, and its checksum in pack.json, as another program could."""
    table = parquet.read_table(folder / "table.parquet")
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(arrow.Table.from_pylist(rows, schema=table.schema), folder / "table.parquet")
    info = json.loads((folder / "pack.json").read_text())
    info["sha256"]["table.parquet"] = hashlib.sha256((folder / "table.parquet").read_bytes()).hexdigest()
    (folder / "pack.json").write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", 2, "a label is none of the classes"),
        ("label", -2, "a label is none of the classes"),
        ("landmarks", [0.0] * 9, "the column landmarks is of another shape"),
        ("box", [0.0, 0.0, float("inf"), 1.0], "the column box is not all numbers"),
        ("status", "fine", "a status is unknown"),
        ("row", -1, "it has 6 faces and pack.json 7"),
    ],
)
def test_a_table_that_contradicts_the_pack_is_damage(
    pack_folder: Path, column: str, value: object, message: str
) -> None:
    rewritten(pack_folder, lambda rows: rows[0].update({column: value}))
    pack = Pack.open(pack_folder)
    with pytest.raises(PackError, match=message):
        _ = pack.labels, pack.landmarks, pack.boxes, pack.statuses, pack.paths


def test_a_face_without_votes_has_its_label_or_even_weights(pack_folder: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        faces = [row for row in rows if row["row"] >= 0]
        faces[0]["votes"] = [0.25, 0.75]
        faces[1]["label"] = -1

    rewritten(pack_folder, change)
    votes = Pack.open(pack_folder).votes
    assert votes is not None
    assert votes[:4].tolist() == [[0.25, 0.75], [0.5, 0.5], [1, 0], [0, 1]]
