"""The cache's entries, and which of them its limit deletes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dcdan.core.errors import OutputError, UsageError
from dcdan.core.locks import try_lock
from dcdan.packs.cache_store import cache_entries, cache_limit, clear_cache, evict, mark_used, parse_size
from dcdan.packs.format import INFO

NOW = 2_000_000_000.0


def entry(folder: Path, key: str, size: int, used: float) -> Path:
    path = folder / f"folder-112-{key * 20}"
    path.mkdir(parents=True)
    (path / INFO).write_bytes(b"")
    (path / "faces.npy").write_bytes(bytes(size))
    for each in (path / "faces.npy", path / INFO, path):
        os.utime(each, (used, used))
    return path


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    """P8. Of 100, 200 and 300 bytes under a limit of 400, the oldest go until it is met."""
    oldest, middle, newest = (
        entry(tmp_path, key, size, used) for key, size, used in (("a", 300, 1), ("b", 100, 2), ("c", 200, 3))
    )
    assert [each.path for each in cache_entries([tmp_path])] == [newest, middle, oldest]
    assert evict(600, [tmp_path]) == []
    assert [each.path for each in evict(300, [tmp_path])] == [oldest]
    assert not oldest.exists()
    assert middle.exists()
    mark_used(middle)
    assert [each.path for each in evict(0, [tmp_path])] == [newest]
    assert middle.exists(), "it was used just now"
    assert [each.path for each in evict(0, [tmp_path], in_use=0)] == [middle]


def test_only_what_the_cache_has_made_is_deleted(tmp_path: Path) -> None:
    """P8. A user's own packs, files and links in the folder are no entries."""
    own = tmp_path / "mine"
    own.mkdir()
    (own / INFO).write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    made = entry(tmp_path, "a", 10, 1)
    (tmp_path / ("link-" + "b" * 20)).symlink_to(own)
    assert [each.path for each in clear_cache([], [tmp_path])] == [made]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link-" + "b" * 20, "mine", "notes.txt"]


def test_a_pack_that_is_being_built_stays(tmp_path: Path) -> None:
    path = entry(tmp_path, "a", 10, 1)
    with (tmp_path / f"{'a' * 20}.lock").open("a+b") as file:
        assert try_lock(file)
        # The lock belongs to the open file, so a second one in this process is refused as another process would be.
        with pytest.raises(OutputError, match="is building"):
            clear_cache([], [tmp_path])
    assert path.exists()
    clear_cache([], [tmp_path])
    assert list(tmp_path.iterdir()) == []


def test_unfinished_packs_are_entries(tmp_path: Path) -> None:
    (tmp_path / f"folder-112-{'a' * 20}.partial").mkdir()
    assert [each.kind for each in cache_entries([tmp_path])] == ["unfinished"]


@pytest.mark.parametrize(("text", "size"), [("12B", 12), ("1kB", 1000), ("2.5 MB", 2_500_000), ("20GB", 20 * 10**9)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "5", "GB", "-1GB", "1 XB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)


def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """P8. 20 GB unless DCDAN_CACHE_LIMIT names another size."""
    monkeypatch.delenv("DCDAN_CACHE_LIMIT", raising=False)
    assert cache_limit() == 20 * 10**9
    monkeypatch.setenv("DCDAN_CACHE_LIMIT", "3MB")
    assert cache_limit() == 3_000_000
