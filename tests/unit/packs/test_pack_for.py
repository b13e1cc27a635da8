"""`pack_for`: packs by path, packs from the cache, and when the cache is stale."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dcdan.core.errors import OutputError, PackError, UsageError
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.packs.build import build_pack, pack_for
from dcdan.packs.cache import cache_folder
from dcdan.packs.pack import Pack
from drawn_data import write_classes, write_picture


def get(spec: str, cache: Path, size: int = 16, labelled: bool = True) -> Pack:
    return pack_for(spec, size, "none", cache, labelled=labelled, workers=1, progress=False)


def test_the_cache_is_used_until_anything_changes(tmp_path: Path) -> None:
    root, cache = write_classes(tmp_path / "in", {"happy": 2, "sad": 1}), tmp_path / "cache"
    first = get(str(root), cache)
    stamp = (first.folder / "faces.npy").stat().st_mtime_ns
    again = get(str(root), cache)
    assert again.folder == first.folder
    assert (again.folder / "faces.npy").stat().st_mtime_ns == stamp  # pack.json is touched with each use
    assert get(str(root), cache, size=24).folder != first.folder
    assert get(f"folder:{root}", cache).folder != first.folder
    assert get(f"class_folders:{root}?limit=2", cache).folder != first.folder
    write_picture(root / "sad" / "new.png", 99)
    assert len(get(str(root), cache)) == 4
    os.utime(root / "sad" / "new.png", ns=(1, 1))
    assert get(str(root), cache).folder not in (first.folder, again.folder)


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCDAN_CACHE", str(tmp_path / "elsewhere"))
    assert cache_folder() == tmp_path / "elsewhere"
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("DCDAN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "dcdan" / "packs"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "in", {"happy": 1, "sad": 1})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="name another in DCDAN_CACHE"):
        get(str(root), tmp_path / "file")


def test_a_pack_by_its_path_with_options(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / "in" / split, {"happy": 2, "sad": 1})
    reader = open_reader(parse_spec(f"class_folders:{tmp_path / 'in'}"))
    build_pack(reader, tmp_path / "pack", size=16, align="none", workers=1, progress=False)
    pack = get(f"{tmp_path / 'pack'}?split=test&limit=2", tmp_path / "cache")
    assert pack.splits[pack.select()].tolist() == ["test", "test"]
    assert not (tmp_path / "cache").exists()
    assert not hasattr(get(str(tmp_path / "pack"), tmp_path / "cache", labelled=False), "labels")
    with pytest.raises(PackError, match="has faces of 16 pixels, not 64: pack the data with 64"):
        get(str(tmp_path / "pack"), tmp_path / "cache", size=64)
    with pytest.raises(UsageError, match="Unknown option of a pack 'votes'"):
        get(f"{tmp_path / 'pack'}?votes=all", tmp_path / "cache")
    with pytest.raises(UsageError, match="is a pack already"):
        open_reader(parse_spec(str(tmp_path / "pack")))


def test_a_target_from_the_cache_has_no_labels(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "in", {"happy": 1, "sad": 1})
    assert not hasattr(get(str(root), tmp_path / "cache", labelled=False), "labels")
