"""Shifts in specs and packs: the same faces with and without, hidden labels, the cache, and answers to mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dcdan.core.errors import PackError, UsageError
from dcdan.corruptions.shifts import SHIFT_KINDS, Shift, ShiftKind, shifted
from dcdan.datasets.spec import open_reader, parse_spec, view_options
from dcdan.packs.build import build_pack, pack_for
from dcdan.packs.cache import shifted_copy
from dcdan.packs.pack import HiddenLabelsError, Pack
from dcdan.training.run_metadata import run_metadata
from drawn_data import file_bytes, write_classes, write_picture


def get(spec: str, cache: Path, labelled: bool = True) -> Pack:
    return pack_for(spec, 24, "none", cache, labelled=labelled, workers=1, progress=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shifted") / "in"
    for index, split in enumerate(("train", "test")):
        write_classes(root / split, {"happy": 3 + index, "sad": 2})
    write_picture(root / "train" / "happy" / "é.png", 77)
    (root / "test" / "sad" / "bad.png").write_bytes(b"bad")
    return root


@pytest.fixture
def plain(data: Path, tmp_path: Path) -> Pack:
    spec = f"class_folders:{data}"
    reader = open_reader(parse_spec(spec))
    return build_pack(reader, tmp_path / "plain", size=24, align="none", workers=1, progress=False, spec_text=spec)


def applied(pack: Pack, shift: Shift) -> np.ndarray:
    return shifted(np.asarray(pack.faces), shift, pack.paths.tolist(), pack.face_numbers.tolist())


@pytest.mark.parametrize("kind", SHIFT_KINDS)
def test_reader_and_pack_give_the_plain_faces_shifted(kind: ShiftKind, data: Path, plain: Pack, tmp_path: Path) -> None:
    options = f"shift={kind}&severity=4"
    expected = applied(plain, Shift(kind=kind, severity=4))
    assert not np.array_equal(expected, plain.faces)
    read = get(f"class_folders:{data}?{options}", tmp_path / "cache")
    copied = get(f"{plain.folder}?{options}", tmp_path / "cache")
    for pack in (read, copied):
        assert np.array_equal(pack.faces, expected)
        assert pack.paths.tolist() == plain.paths.tolist()
        assert pack.labels.tolist() == plain.labels.tolist()
        assert pack.info.counts == plain.info.counts
        assert pack.info.spec == f"class_folders:{data}?{options}"
        assert pack.info.shift == Shift(kind=kind, severity=4)
        assert run_metadata(pack, None)["shift"] == {"kind": kind, "severity": 4, "seed": 0, "recipe": 1}
        pack.verify()
    assert file_bytes(read.folder) == file_bytes(copied.folder)
    assert plain.info.shift is None
    assert run_metadata(plain, None)["shift"] is None


def test_a_part_of_the_data_is_shifted_as_in_the_whole(data: Path, tmp_path: Path) -> None:
    whole = get(f"class_folders:{data}?shift=noise&severity=2&seed=5", tmp_path)
    part = get(f"class_folders:{data}?shift=noise&severity=2&seed=5&split=test&limit=3", tmp_path)
    rows = [whole.paths.tolist().index(path) for path in part.paths]
    assert len(rows) >= 2
    assert np.array_equal(part.faces, whole.faces[rows])


def test_a_view_of_a_shifted_pack(plain: Pack, tmp_path: Path) -> None:
    view = get(f"{plain.folder}?shift=blur&severity=2&split=test&limit=2&seed=1", tmp_path)
    assert len(view) == len(plain)
    assert view.select().tolist() == Pack.open(plain.folder, split="test", limit=2, seed=1).select().tolist()
    assert get(f"{plain.folder}?shift=blur", tmp_path).info.shift == Shift(kind="blur", severity=3)


def test_a_target_stays_without_labels(data: Path, plain: Pack, tmp_path: Path) -> None:
    for spec in (f"{plain.folder}?shift=pose&severity=1", f"class_folders:{data}?shift=pose&severity=1"):
        target = get(spec, tmp_path, labelled=False)
        assert target.info.counts.classes == {}
        with pytest.raises(HiddenLabelsError, match="opened as a target"):
            target.labels  # noqa: B018


def test_a_copy_is_made_once_for_a_pack_and_a_shift(plain: Pack, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = shifted_copy(plain.folder, Shift(kind="noise", severity=1), cache, progress=False)
    stamp = (first / "pack.json").stat().st_mtime_ns
    assert shifted_copy(plain.folder, Shift(kind="noise", severity=1), cache, progress=False) == first
    moved = shutil.copytree(plain.folder, tmp_path / "moved")
    assert shifted_copy(moved, Shift(kind="noise", severity=1), cache, progress=False) == first
    assert (first / "pack.json").stat().st_mtime_ns == stamp
    others = [
        Shift(kind="noise", severity=2),
        Shift(kind="noise", severity=1, seed=1),
        Shift(kind="blur", severity=1),
        Shift(kind="noise", severity=1, recipe=0),
    ]
    folders = {shifted_copy(plain.folder, shift, cache, progress=False) for shift in others}
    assert len(folders | {first}) == 5
    assert not list(cache.glob("*.partial"))


def test_a_copy_that_was_broken_off_is_begun_anew(plain: Pack, tmp_path: Path) -> None:
    shift = Shift(kind="blur", severity=1)
    whole = shifted_copy(plain.folder, shift, tmp_path / "whole", progress=False)
    left = tmp_path / "cache" / f"{whole.name}.partial"
    left.mkdir(parents=True)
    (left / "faces.npy").write_bytes(b"half")
    again = shifted_copy(plain.folder, shift, tmp_path / "cache", progress=False)
    assert file_bytes(again) == file_bytes(whole)
    assert not left.exists()


def test_packs_from_before_there_were_shifts_open(plain: Pack) -> None:
    about = plain.folder / "pack.json"
    content = json.loads(about.read_text())
    content.pop("shift", None)
    about.write_text(json.dumps(content))
    assert Pack.open(plain.folder).info.shift is None


def test_damaged_faces_are_not_shifted(plain: Pack, tmp_path: Path) -> None:
    faces = plain.folder / "faces.npy"
    content = bytearray(faces.read_bytes())
    content[-1] ^= 1
    faces.write_bytes(content)
    with pytest.raises(PackError, match=r"damaged: faces.npy: its SHA-256 is .*; pack the data again\.$"):
        get(f"{plain.folder}?shift=blur&severity=1", tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_no_pack_is_shifted_twice(plain: Pack, tmp_path: Path) -> None:
    once = get(f"{plain.folder}?shift=blur&severity=2", tmp_path)
    with pytest.raises(PackError, match=r"under a shift already \(blur, severity 2\): name the pack that it was made"):
        get(f"{once.folder}?shift=noise", tmp_path)
    with pytest.raises(PackError, match="has faces of 24 pixels, not 64"):
        pack_for(f"{plain.folder}?shift=noise", 64, cache=tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("shift=blurr", r"shift=blurr of .* is not valid: input should be .* Did you mean 'blur'\?"),
        ("shift=lowlihgt&severity=2", r"Did you mean 'lowlight'\?"),
        ("shift=blur&severity=6", r"severity=6 of .* is not valid: input should be less than or equal to 5\."),
        ("shift=blur&severity=0", r"greater than or equal to 1\."),
        ("shift=blur&severity=hard", r"severity=hard of .* is not valid: input should be a valid integer"),
        ("severity=3", r"do not go together: severity is the strength of a shift, so add shift=b.* or contrast\.$"),
        ("shfit=blur", r"Did you mean 'shift'\?"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(options: str, message: str, data: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_reader(parse_spec(f"class_folders:{data}?{options}"))
    with pytest.raises(UsageError, match=message):
        open_reader(parse_spec(f"synthetic:street?{options}"))
    with pytest.raises(UsageError, match=message):
        view_options(parse_spec(f"pack?{options}").options)
