"""File locks that exclude other processes; the operating system releases them when the process exits."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dcdan.core.errors import OutputError

LOCK = ".lock"
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


def try_lock(file: IO[bytes], *, wait: bool = False) -> bool:
    """Lock an open file until it is closed.

    On a file system without locks this succeeds without locking.

    Args:
        file: The open file.
        wait: Whether to wait until another process releases its lock.

    Returns:
        False if another process has the lock and ``wait`` is false, otherwise True.
    """
    while True:
        try:
            _lock(file, wait)
        except OSError as error:
            if error.errno not in _TAKEN:
                return True
            if not wait:
                return False
        else:
            return True


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock a folder for this process while the block runs; the folder is created if it does not exist.

    The lock is the file ``LOCK`` in the folder. The file is removed at the end, and so is a folder that this function
    created and that is still empty.

    Args:
        folder: The folder to lock.

    Raises:
        OutputError: Another process has the lock, or the folder cannot be created or written to.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _taken(folder / LOCK)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"The folder '{folder}' cannot be made or written ({reason}): choose another --out."
        ) from error
    if file is None:
        raise OutputError(f"Another process is at work in '{folder}': wait for it, or choose another --out.")
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        file.close()
        if made:
            with suppress(OSError):
                folder.rmdir()


def check_folder(folder: Path) -> None:
    """Check that an output folder can be made and written, before slow work; nothing is left of the check.

    Args:
        folder: The folder to check.

    Raises:
        OutputError: Another process has the folder, or it cannot be created or written to.
    """
    with folder_lock(folder):
        pass


def _taken(path: Path) -> IO[bytes] | None:
    """Return the locked file, or None if another process has the lock."""
    while True:
        file = path.open("a+b")
        if not try_lock(file):
            file.close()
            return None
        # The previous owner may have removed this file after it was opened here, and a third process may have
        # locked a new one of the same name.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


def _lock(file: IO[bytes], wait: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        # Windows locks byte ranges, which other processes then cannot read: use a byte far behind the content.
        place = file.tell()
        file.seek(0x7FFF_FFF0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        finally:
            file.seek(place)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
