"""Images and videos in a zip file, read without unpacking it: `faces.zip` and `faces.zip/anna/1.jpg`."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dcdan.images.decode import MAX_BYTES
from dcdan.images.discover import is_foreign_folder
from dcdan.images.status import Status, UndecodableImage

SUFFIX = ".zip"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip archive.

    Attributes:
        name: Path in the archive, with forward slashes.
        state: Text that changes when the content of the file changes.
    """

    name: str
    state: str


def split_member(path: str) -> tuple[Path, str] | None:
    """Split a path such as ``faces.zip/anna/1.jpg`` into the archive and the name of the member.

    Args:
        path: The path.

    Returns:
        (archive, member name), or None if no part of the path is an existing zip file.

    Example:
        >>> split_member("nowhere.zip/a.jpg") is None
        True
    """
    lower = path.lower()
    place = lower.find(SUFFIX + "/")
    while place >= 0:
        end = place + len(SUFFIX)
        if _is_file(path[:end]):
            return Path(path[:end]), path[end + 1 :]
        place = lower.find(SUFFIX + "/", end)
    return None


def is_archive(path: str) -> bool:
    """Return whether a path is an existing file with the suffix ``.zip``."""
    return path.lower().endswith(SUFFIX) and _is_file(path)


def members(archive: Path) -> list[Member]:
    """Return the files of a zip archive, sorted by folder and name.

    Hidden files and files of operating systems are omitted.

    Args:
        archive: The zip file.

    Returns:
        The members.

    Raises:
        UndecodableImage: UNREADABLE: the archive is damaged or cannot be read.
    """
    with _opened(archive) as file:
        found = [
            Member(each.filename, f"{each.file_size} {each.CRC}")
            for each in file.infolist()
            if not each.is_dir() and not _is_foreign(each.filename)
        ]
    return sorted(found, key=lambda each: (PurePosixPath(each.name).parent.parts, each.name))


def read_member(archive: Path, name: str, most: int = MAX_BYTES) -> bytes:
    """Return the content of a file in a zip archive.

    Args:
        archive: The zip file.
        name: Name of the member.
        most: Maximum size in bytes after decompression.

    Returns:
        The decompressed bytes.

    Raises:
        UndecodableImage: MISSING, TOO_LARGE (more than ``most`` bytes) or UNREADABLE (damaged or encrypted).
    """
    with _member(archive, name) as file:
        content: bytes = file.read(most + 1)
    if len(content) > most:
        raise UndecodableImage(Status.TOO_LARGE, f"it unpacks to more than {most} bytes")
    return content


@contextmanager
def unpacked(archive: Path, name: str) -> Iterator[Path]:
    """Extract a file of a zip archive to a temporary file with the same suffix, which is removed afterwards.

    Args:
        archive: The zip file.
        name: Name of the member.

    Yields:
        The temporary file.

    Raises:
        UndecodableImage: As for :func:`read_member`.
    """
    with tempfile.TemporaryDirectory(prefix="dcdan-") as folder:
        target = Path(folder) / ("video" + PurePosixPath(name).suffix)
        with _member(archive, name) as file, target.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        yield target


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as file:
            yield file
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UndecodableImage(Status.UNREADABLE, f"the zip file cannot be read: {reason}") from None


@contextmanager
def _member(archive: Path, name: str) -> Iterator[zipfile.ZipExtFile]:
    import zlib

    with _opened(archive) as whole:
        try:
            file = whole.open(name)
        except KeyError:
            raise UndecodableImage(Status.MISSING, "the zip file has no such file") from None
        with file:
            try:
                yield file  # type: ignore[misc]
            except zlib.error as error:
                raise UndecodableImage(Status.UNREADABLE, f"damaged: {error}") from None


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _is_foreign(name: str) -> bool:
    return any(is_foreign_folder(part) for part in PurePosixPath(name).parts if part != "..")
