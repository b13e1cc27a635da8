"""Whole files or none: atomic writes, and the checks of what a command may write to.

Files that are there whole or not at all: written beside their place, flushed to the disk, then renamed.

What a command may write to, and in which form: the suffix of a file's name decides.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import IO

from dcdan.core.errors import MissingExtraError, OutputError, UsageError

_BESIDE = re.compile(r"\..+\.\d+\.partial")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes its name only when the block ends without an error.

    An old file of that name is replaced at once, and missing folders on the way are made.

    Raises:
        OutputError: when the folder cannot be written or the disk is full; nothing is left behind.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        with beside.open("r+b") as handle:
            os.fsync(handle.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    except BrokenPipeError:
        raise  # of the standard output, not of this file
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"'{path}' cannot be written ({reason}): free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink()


@contextmanager
def atomic_text(path: Path, *, newline: str | None = None) -> Iterator[IO[str]]:
    """Open a UTF-8 text file for writing in the manner of :func:`atomic_write`.

    File names that are not valid Unicode are written with backslashes.
    """
    with (
        atomic_write(path) as beside,
        beside.open("w", encoding="utf-8", errors="backslashreplace", newline=newline) as file,
    ):
        yield file


def write_text(path: Path, text: str) -> None:
    """Write a whole text file in the manner of :func:`atomic_text`."""
    with atomic_text(path) as file:
        file.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file in the manner of :func:`atomic_write`."""
    with atomic_write(path) as beside:
        beside.write_bytes(content)


def half_written(path: Path) -> bool:
    """Return whether a path has the name of a file that :func:`atomic_write` had begun when its process was killed."""
    return bool(_BESIDE.fullmatch(path.name))


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written in a folder; only for one where nobody else is at work."""
    for path in folder.rglob(".*.partial"):
        if half_written(path):
            path.unlink(missing_ok=True)


def copy_file(source: Path, path: Path) -> None:
    """Copy a file in the manner of :func:`atomic_write`."""
    with atomic_write(path) as beside:
        shutil.copyfile(source, beside)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, read in pieces so that memory stays flat."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Form(StrEnum):
    """Forms of a table of results; the value is the suffix of its file."""

    CSV = ".csv"
    JSONL = ".jsonl"
    PARQUET = ".parquet"


def form_of(path: Path, *, json: bool = False) -> Form:
    """Return the form that a file's name asks for; with ``json`` any name but that of another form may hold JSON lines.

    Raises:
        UsageError: when the suffix is none of the three, or another than ``json`` asks for.
        MissingExtraError: when the form needs a package that is not installed.
    """
    suffix = path.suffix.lower()
    known = [form.value for form in Form]
    if json and suffix not in (Form.CSV, Form.PARQUET):
        return Form.JSONL
    if json:
        raise UsageError(f"--json writes JSON lines and '{path}' asks for {suffix}: give a name that ends in .jsonl.")
    if suffix not in known:
        raise UsageError(f"'{path}' has no known suffix: give a name that ends in {', '.join(known)}.")
    if suffix == Form.PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("Parquet needs the package 'pyarrow': pip install pyarrow, or write .csv or .jsonl.")
    return Form(suffix)


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
