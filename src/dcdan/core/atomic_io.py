"""Atomic writes: a file is written under a temporary name, flushed to disk and renamed, so it is never incomplete.

This module also maps the suffix of an output to its format (CSV, JSON lines or Parquet) and validates output paths.
"""

from __future__ import annotations

import errno
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

_PARTIAL = re.compile(r"\..+\.(\d+)\.partial(\.[A-Za-z0-9]+)?")
# Most file systems allow 255 bytes in a name; some callers add a suffix to the temporary one.
_LONGEST_NAME = 255
_ROOM = 16


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that is renamed to ``path`` when the block ends without an error.

    An existing file is replaced and its permissions are preserved; a new file gets the default permissions of the
    process (its umask). Missing parent folders are created.

    Args:
        path: The file to write.

    Yields:
        The temporary path to write to.

    Raises:
        OutputError: The file cannot be written; the temporary file is removed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [each.name for each in folder.iterdir()]
        ['a.txt']
    """
    temporary = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as handle:
            _set_mode(handle.fileno(), path)
            os.fsync(handle.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BrokenPipeError:
        raise  # of the standard output, not of this file
    except OSError as error:
        raise write_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def partial_path(path: Path) -> Path:
    """Return the temporary path that this process uses while it writes ``path``; a very long name is shortened.

    Args:
        path: The final path.

    Returns:
        A path in the same folder, with a hidden name that contains the process id.

    Example:
        >>> partial_path(Path("a.csv")).name == f".a.csv.{os.getpid()}.partial"
        True
        >>> len(os.fsencode(partial_path(Path("n" * 255)).name)) < 255
        True
    """
    end = f".{os.getpid()}.partial"
    return path.with_name(f".{fitting_name(path.name, _LONGEST_NAME - len(end) - 1 - _ROOM)}{end}")


def fitting_name(name: str, most: int = _LONGEST_NAME) -> str:
    """Shorten a file name to at most ``most`` bytes by replacing its end with a checksum; the suffix is preserved.

    Args:
        name: The file name.
        most: Maximum length in bytes.

    Returns:
        The name itself if it is short enough, otherwise the shortened name.

    Example:
        >>> fitting_name("anna.jpg"), len(fitting_name("a" * 300 + ".jpg")), fitting_name("a" * 300 + ".jpg")[-4:]
        ('anna.jpg', 255, '.jpg')
    """
    whole = os.fsencode(name)
    if len(whole) <= most:
        return name
    suffix = os.fsencode(Path(name).suffix)[:_ROOM]
    check = b"-" + hashlib.sha256(whole).hexdigest()[:8].encode()
    start = whole[: most - len(check) - len(suffix)]
    # A letter of several bytes is not cut in the middle.
    while start and whole[len(start)] & 0xC0 == 0x80:
        start = start[:-1]
    return os.fsdecode(start + check + suffix)


def write_error(error: OSError, path: Path) -> OutputError:
    """Convert the error of a failed write into one with a sentence that gives the reason and a remedy.

    Args:
        error: The error of the operating system.
        path: The file that was being written.

    Returns:
        The error to raise.

    Example:
        >>> str(write_error(OSError(errno.ENOSPC, "No space left on device"), Path("a.csv")))
        "'a.csv' cannot be written (No space left on device): free some space or choose another folder."
    """
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        cure = "free some space or choose another folder"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        cure = "choose a folder that you may write to"
    elif error.errno == errno.ENAMETOOLONG:
        cure = "give a shorter name"
    elif error.errno in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST) or path.is_dir():
        return OutputError(f"'{path}' cannot be written (it is a folder): give the name of a file.")
    elif error.errno == errno.ENOTDIR:
        cure = "a file is where a folder should be; choose another folder"
    else:
        cure = "choose another folder"
    return OutputError(f"'{path}' cannot be written ({reason}): {cure}.")


def _set_mode(handle: int, path: Path) -> None:
    """Give a temporary file the permissions of the file it replaces, or the default permissions of a new file."""
    if os.name != "posix":
        return
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        mode = 0o666 & ~_umask()
    with suppress(OSError):
        os.fchmod(handle, mode)


def _umask() -> int:
    """Return the umask; Linux reports it without a change that another thread could notice."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except (OSError, ValueError):
        pass
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@contextmanager
def atomic_text(path: Path, *, newline: str | None = None) -> Iterator[IO[str]]:
    """Open a UTF-8 text file for writing; it is replaced atomically as in :func:`atomic_write`.

    File names that are not valid Unicode are written with backslash escapes.

    Args:
        path: The file to write.
        newline: As in :func:`open`.

    Yields:
        The open text file.

    Raises:
        OutputError: The file cannot be written.
    """
    with (
        atomic_write(path) as beside,
        beside.open("w", encoding="utf-8", errors="backslashreplace", newline=newline) as file,
    ):
        yield file


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; see :func:`atomic_text`.

    Args:
        path: The file to write.
        text: Its complete content.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_text(path) as file:
        file.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file atomically; see :func:`atomic_write`.

    Args:
        path: The file to write.
        content: Its complete content.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_write(path) as beside:
        beside.write_bytes(content)


def is_partial(path: Path) -> bool:
    """Return whether a path is a temporary file of :func:`atomic_write`.

    Example:
        >>> is_partial(Path("out/.a.csv.123.partial")), is_partial(Path("out/a.csv"))
        (True, False)
    """
    return _PARTIAL.fullmatch(path.name) is not None


def sweep(folder: Path, *, below: bool = True) -> None:
    """Remove the temporary files of processes that no longer run on this machine.

    Args:
        folder: The folder; it need not exist.
        below: Whether to search its sub-folders too.
    """
    for path in folder.rglob(".*.partial*") if below else folder.glob(".*.partial*"):
        found = _PARTIAL.fullmatch(path.name)
        if found is not None and not _runs(int(found[1])):
            with suppress(OSError):
                path.unlink()


def _runs(process: int) -> bool:
    """Return whether another process with this id is running on this machine."""
    if process == os.getpid() or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def copy_file(source: Path, path: Path) -> None:
    """Copy a file atomically; see :func:`atomic_write`.

    Args:
        source: The file to copy.
        path: The file to write.

    Raises:
        OutputError: A file cannot be read or written.
    """
    with atomic_write(path) as beside:
        shutil.copyfile(source, beside)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file; the file is read in blocks, so memory use is constant.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
        ValueError: The path is a pipe or a device, which could block forever.
    """
    from dcdan.core.limits import open_regular

    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a rename in it survives a power failure; does nothing on Windows.

    Args:
        folder: The folder that contains the renamed file.
    """
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Form(StrEnum):
    """Format of a table of results; the value is the suffix of its file."""

    CSV = ".csv"
    JSONL = ".jsonl"
    PARQUET = ".parquet"


def form_of(path: Path, *, json: bool = False) -> Form:
    """Return the format that an output path implies.

    Args:
        path: The output file.
        json: Whether JSON lines were requested; then any suffix except that of another format is accepted.

    Returns:
        The format.

    Raises:
        UsageError: The suffix is unknown, or contradicts ``json``.
        MissingExtraError: The format needs a package that is not installed.

    Example:
        >>> form_of(Path("faces.CSV")), form_of(Path("faces.txt"), json=True)
        (<Form.CSV: '.csv'>, <Form.JSONL: '.jsonl'>)
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
    """Check that an output path can be written without overwriting anything by accident.

    Args:
        path: The output file.
        force: Whether an existing file may be replaced.

    Raises:
        OutputError: The path exists and ``force`` is false, or it is not a regular file.
    """
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder: give the name of a file.")
    if path.exists() and not path.is_file():
        raise OutputError(f"'{path}' is not a regular file: give the name of a file.")
    if path.exists() and not force:
        raise OutputError(f"'{path}' exists already: give another name, or --force to replace it.")
