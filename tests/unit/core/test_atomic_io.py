"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from dcdan.core.atomic_io import atomic_text, atomic_write, write_bytes, write_text
from dcdan.core.errors import OutputError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(file: Path, error: BaseException) -> None:
    """Write half a file, then fail."""
    file.write_text("half")
    raise error


def test_a_file_takes_its_name_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.bin"
    with atomic_write(target) as beside:
        assert beside.parent == target.parent
        beside.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert names_in(target.parent) == ["a.bin"]


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with atomic_write(target) as beside:
        beside.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize(
    "error", [ValueError("a fault"), KeyboardInterrupt(), OSError(errno.EIO, "input/output error")]
)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), atomic_write(target) as beside:
        failing(beside, error)
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.txt.*cannot be written"), atomic_write(tmp_path / "a.txt"):
        pass
    assert names_in(tmp_path) == []


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught, atomic_write(tmp_path / "a.bin") as beside:
        failing(beside, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    told = str(caught.value)
    assert "No space left" in told
    assert "free some space" in told
    assert "\n" not in told
    assert names_in(tmp_path) == []


def test_a_pipe_that_closes_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), atomic_text(tmp_path / "a.csv"):
        raise BrokenPipeError(errno.EPIPE, "broken pipe")
    assert names_in(tmp_path) == []


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_bytes(tmp_path / "a", b"x")
    assert names_in(tmp_path) == ["a"]


def test_text_is_utf_8_and_line_ends_are_as_asked(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "é\n")
    assert (tmp_path / "a").read_bytes() == "é\n".encode()
    with atomic_text(tmp_path / "b", newline="") as file:
        file.write("1\r\n2\r\n")
    assert (tmp_path / "b").read_bytes() == b"1\r\n2\r\n"


def test_bytes_are_flushed_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(handle: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noting_replace(self: Path, target: Path) -> Path:
        seen.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    write_bytes(tmp_path / "a", b"x")
    assert seen == ["file", "rename", "folder"]
