"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dcdan.core.atomic_io import (
    atomic_text,
    atomic_write,
    fitting_name,
    partial_path,
    sweep,
    write_bytes,
    write_text,
)
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


def test_a_folder_in_the_place_of_the_file_is_not_a_full_disk(tmp_path: Path) -> None:
    """S22: the sentence names the folder and does not ask for free space."""
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match=r"\(it is a folder\): give the name of a file") as caught:
        write_bytes(tmp_path / "a", b"x")
    assert "space" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "a folder that you may write to"),
        (errno.EACCES, "a folder that you may write to"),
        (errno.ENAMETOOLONG, "a shorter name"),
        (errno.EIO, "choose another folder"),
    ],
)
def test_each_reason_has_its_cure(tmp_path: Path, number: int, cure: str) -> None:
    """S22."""
    with pytest.raises(OutputError, match=cure), atomic_write(tmp_path / "a.bin") as beside:
        failing(beside, OSError(number, os.strerror(number)))


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
def test_every_file_has_the_mode_of_any_new_file_or_of_the_one_it_replaces(tmp_path: Path) -> None:
    """S22: also what a library has written with mode 0600."""
    with atomic_write(tmp_path / "new") as beside:
        os.close(os.open(beside, os.O_CREAT | os.O_WRONLY, 0o600))
    (tmp_path / "plain").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(0o640)
    write_text(tmp_path / "old", "x")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["n" * 255, "n" * 251 + ".jpg", "é" * 127 + "n"])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    """S1: the temporary name stays below the limit of the file system."""
    write_bytes(tmp_path / name, b"x")
    assert names_in(tmp_path) == [name]
    assert len(os.fsencode(partial_path(tmp_path / name).name + ".mp4")) <= 255
    assert partial_path(tmp_path / name) != partial_path(tmp_path / (name[:-1] + "m"))


def test_long_names_are_cut_between_letters_and_keep_their_suffix() -> None:
    """S1."""
    cut = fitting_name("é" * 200 + ".jpg", 100)
    assert len(os.fsencode(cut)) <= 100
    assert cut.encode().decode() == cut
    assert cut.endswith(".jpg")
    assert fitting_name("a" * 255) == "a" * 255
    assert fitting_name("a" * 300) != fitting_name("a" * 299 + "b")


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    """P5: pictures and videos in the making of a killed `--draw`; those of a process that runs stay."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    (tmp_path / "in").mkdir()
    dead = [tmp_path / f".a.jpg.{ended.pid}.partial", tmp_path / "in" / f".b.mp4.{ended.pid}.partial.mp4"]
    alive = tmp_path / f".c.jpg.{os.getppid()}.partial"
    mine = tmp_path / ".mine.partial"
    for path in (*dead, alive, mine):
        path.touch()
    sweep(tmp_path)
    sweep(tmp_path / "nowhere")
    assert [path.exists() for path in (*dead, alive, mine)] == [False, False, True, True]
