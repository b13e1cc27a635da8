"""File locks that exclude other processes; the operating system releases them when the process exits."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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


class FolderBusyError(OutputError):
    """Another process has the lock of a folder."""


def is_locked(folder: Path) -> bool:
    """Return whether another process has the lock of a folder.

    Args:
        folder: The folder; it need not exist.

    Returns:
        False where nobody has it, and on a file system without locks.
    """
    try:
        file = (folder / LOCK).open("r+b")
    except OSError:
        return False
    with file:
        return not try_lock(file)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock a folder for this process while the block runs; the folder is created if it does not exist.

    The lock is the file ``LOCK`` in the folder. The file is removed at the end, and so is a folder that this function
    created and that is still empty.

    Args:
        folder: The folder to lock.

    Raises:
        FolderBusyError: Another process has the lock.
        OutputError: The folder cannot be created or written to.
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
        raise FolderBusyError(f"Another process is at work in '{folder}': wait for it, or choose another --out.")
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        file.close()
        if made:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def waiting_lock(folder: Path, seconds: float = 600.0) -> Iterator[None]:
    """Lock a folder as :func:`folder_lock` does, but wait for another process that has it.

    Args:
        folder: The folder to lock.
        seconds: How long to wait.

    Raises:
        FolderBusyError: Another process still has the lock.
        OutputError: The folder cannot be created or written to.
    """
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(folder_lock(folder))
                break
            except FolderBusyError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        yield


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
