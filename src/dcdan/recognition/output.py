"""Files that are there whole or not at all: written beside the target, flushed to the disk, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from dcdan.errors import OutputError


def check_target(path: Path, *, force: bool = False) -> None:
    """Refuse an output file that exists, unless forced, and one that is no file.

    Raises:
        OutputError: see above.
    """
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder: give the name of a file.")
    if path.exists() and not path.is_file():
        raise OutputError(f"'{path}' is not a regular file: give the name of a file.")
    if path.exists() and not force:
        raise OutputError(f"'{path}' exists already: give another name, or --force to replace it.")


@contextmanager
def atomic_text(path: Path, *, newline: str | None = None) -> Iterator[IO[str]]:
    """Open a text file for writing that takes its name only when the block ends without an error.

    An old file of that name is replaced at once, and missing folders on the way are made. File names that are not
    valid Unicode are written with backslashes.

    Raises:
        OutputError: when the folder cannot be written or the disk is full; nothing is left behind.
    """
    with _replacing(path, "w", encoding="utf-8", errors="backslashreplace", newline=newline) as file:
        yield file


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file in the manner of :func:`atomic_text`."""
    with _replacing(path, "wb") as file:
        file.write(content)


@contextmanager
def _replacing(path: Path, mode: str, **options: Any) -> Iterator[IO[Any]]:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except BrokenPipeError:
        raise  # of the standard output, not of this file
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"'{path}' cannot be written ({reason}): free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
