"""One process at a time: locks that the system lets go of when their process ends, however it ends."""

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
    """Lock an open file until it is closed; return False when another process has it and we do not ``wait`` for it.

    Where the file system knows no locks, nothing is locked.
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
    """Hold ``folder``, which is made where it is missing, for this process by a file in it that is gone afterwards.

    Raises:
        OutputError: when another process holds it, or when it cannot be made or written.
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


def _taken(path: Path) -> IO[bytes] | None:
    """Return the locked file, or None when another process has it."""
    while True:
        file = path.open("a+b")
        if not try_lock(file):
            file.close()
            return None
        # The one who held it has removed the file that we opened: a third may hold another of the same name.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


def _lock(file: IO[bytes], wait: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        # Locks are of bytes there, and nobody else can read these: one far behind the content.
        place = file.tell()
        file.seek(0x7FFF_FFF0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        finally:
            file.seek(place)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
