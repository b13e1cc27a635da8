"""Atomic writes: a file is written under a temporary name, flushed to the disk, then renamed; it is whole or not there.

Also here: which form (CSV, JSON lines, Parquet) an output has by its suffix, and the checks of an output's name.
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
    """Yield a temporary path beside ``path``; what is written there takes its name when the block ends without error.

    A file of that name is replaced, and keeps its permissions; a new one has those of the process (its umask). Missing
    folders on the way are made.

    Args:
        path: the file to write.

    Yields:
        Where to write.

    Raises:
        OutputError: when the file cannot be written; nothing is left behind.

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
    """Return the temporary name of a file that this process writes; a very long name is shortened.

    Example:
        >>> partial_path(Path("a.csv")).name == f".a.csv.{os.getpid()}.partial"
        True
        >>> len(os.fsencode(partial_path(Path("n" * 255)).name)) < 255
        True
    """
    end = f".{os.getpid()}.partial"
    return path.with_name(f".{fitting_name(path.name, _LONGEST_NAME - len(end) - 1 - _ROOM)}{end}")


def fitting_name(name: str, most: int = _LONGEST_NAME) -> str:
    """Return a name of at most ``most`` bytes: a longer one loses its end to a checksum and keeps its suffix.

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
    """Return the sentence for an output that cannot be written: the reason and what to do about it.

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
    """Give a temporary file the permissions of the file that it replaces, or those of any new file."""
    if os.name != "posix":
        return
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        mode = 0o666 & ~_umask()
    with suppress(OSError):
        os.fchmod(handle, mode)


def _umask() -> int:
    """The mask of this process; Linux tells it without changing it, which another thread could notice."""
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


def is_partial(path: Path) -> bool:
    """Return whether a path has the temporary name of a file that :func:`atomic_write` had begun.

    Example:
        >>> is_partial(Path("out/.a.csv.123.partial")), is_partial(Path("out/a.csv"))
        (True, False)
    """
    return _PARTIAL.fullmatch(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove what killed processes have left half written in a folder; files of processes that run are left alone.

    Args:
        folder: searched with its sub-folders; it need not exist.
    """
    for path in folder.rglob(".*.partial*"):
        found = _PARTIAL.fullmatch(path.name)
        if found is not None and not _runs(int(found[1])):
            with suppress(OSError):
                path.unlink()


def _runs(process: int) -> bool:
    """Whether another process of this number runs on this machine."""
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
    """Copy a file in the manner of :func:`atomic_write`."""
    with atomic_write(path) as beside:
        shutil.copyfile(source, beside)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file as 64 hexadecimal digits, read in pieces so that memory stays flat.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a pipe or a device, which could wait for ever.
    """
    from dcdan.core.limits import open_regular

    with open_regular(path) as file:
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
