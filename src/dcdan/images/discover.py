"""Finding pictures in folders and at URLs, in an order that does not depend on the file system.

Find the pictures of a folder by their suffix, in an order that does not depend on the file system.

Names in order, however many: sorted runs go to a temporary file and are merged, so that memory stays flat.

Pictures at a URL that fsspec knows (s3://, gs://, az://, https://, file://, ...): listed in order, and read.

A source that goes away while it is read, such as a drive: told apart from pictures that are missing or damaged.
"""

from __future__ import annotations

import heapq
import io
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from dcdan.core.errors import DataError, MissingExtraError, Unreachable, UsageError, first_line
from dcdan.core.offline import FORBIDDEN, is_offline
from dcdan.images.decode import PICTURE_SUFFIXES, UndecodableImage
from dcdan.images.status import Status

_FOREIGN_FOLDERS = frozenset({"__MACOSX", "@eaDir"})


def is_picture_name(name: str) -> bool:
    """Return whether a file name has a picture's suffix (any case) and is not hidden.

    >>> is_picture_name("Anna.JPG"), is_picture_name("._Anna.jpg"), is_picture_name("notes.txt")
    (True, False, False)
    """
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122


def is_foreign_folder(name: str) -> bool:
    """Return whether a folder is hidden, or holds what a system and not a person put there."""
    return name.startswith(".") or name in _FOREIGN_FOLDERS


def find_pictures(
    folder: Path,
    left_out: Callable[[str], None] | None = None,
    wanted: Callable[[str], bool] = is_picture_name,
) -> Iterator[Path]:
    """Yield the pictures under a folder: each folder's files by name, then its sub-folders by name.

    However many names a folder has, few are in memory at a time. Hidden files and folders are left out, and so are
    folders that cannot be listed. Linked files are followed, linked folders are not, since they may lead in a circle.

    left_out: called with the reason for each file and folder that is passed over, hidden ones aside.
    wanted: which file names count as pictures.

    Raises:
        DataError: the folder does not exist or is a file.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"'{folder}' {what}; give a folder of pictures.")
    return _walk(folder, left_out or _nothing, wanted)


def _walk(folder: Path, left_out: Callable[[str], None], wanted: Callable[[str], bool]) -> Iterator[Path]:
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            files = in_order(_files(entries, folders, left_out, wanted))
            # The names are all read with the first one, so a folder that cannot be read gives none.
            first = next(files, None)
    except OSError:
        left_out("folder that cannot be listed")
        return
    if first is not None:
        yield folder / first
    for name in files:
        yield folder / name
    for name in sorted(folders):
        yield from _walk(folder / name, left_out, wanted)


def _files(
    entries: Iterable[os.DirEntry[str]],
    folders: list[str],
    left_out: Callable[[str], None],
    wanted: Callable[[str], bool],
) -> Iterator[str]:
    """Yield the names of the wanted files among a folder's entries, and collect its sub-folders."""
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not is_foreign_folder(entry.name):
                folders.append(entry.name)
        elif wanted(entry.name):
            yield entry.name
        elif not entry.name.startswith("."):
            left_out("linked folder" if entry.is_dir() else "file without a picture's suffix")


def _nothing(reason: str) -> None:
    """Forget the reason."""


# So many names at a time are sorted in memory, about 1.5 MB of them.
_RUN = 16_384
_BLOCK = 8_192


def in_order(names: Iterable[str]) -> Iterator[str]:
    """Yield file names in the order of `sorted`; all of them are read before the first one comes.

    A name may hold anything that a file's name can: no slash and no zero byte, whatever else.
    """
    names = iter(names)
    first = sorted(itertools.islice(names, _RUN))
    if len(first) < _RUN:
        yield from first
        return
    with _scratch() as file:
        runs: list[tuple[int, int]] = []
        while first:
            start = file.tell()
            file.writelines(os.fsencode(name) + b"\0" for name in first)
            runs.append((start, file.tell()))
            first = sorted(itertools.islice(names, _RUN))
        yield from heapq.merge(*(_read(file, start, end) for start, end in runs))


def _scratch() -> IO[bytes]:
    """Return a temporary file without a name, or memory where the system has no room for one."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return io.BytesIO()


def _read(file: IO[bytes], start: int, end: int) -> Iterator[str]:
    """Yield the names of one run; the runs take turns with the file, so each knows its own place."""
    rest = b""
    while start < end:
        file.seek(start)
        block = file.read(min(_BLOCK, end - start))
        start += len(block)
        *whole, rest = (rest + block).split(b"\0")
        yield from map(os.fsdecode, whole)


_HERE = ("file", "local", "memory")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# What the file systems call the version of a file, whichever of them they know.
_VERSION = ("size", "ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")


def is_url(text: str) -> bool:
    """Return whether a path is written as a URL.

    >>> is_url("s3://bucket/faces"), is_url("/data/faces"), is_url("folder:/data/faces")
    (True, False, False)
    """
    return _URL.match(text) is not None


def find_remote(url: str, left_out: Callable[[str], None] | None = None) -> Iterator[tuple[str, str]]:
    """Yield (way below ``url``, state) of the pictures under a folder, in the order of ``find_pictures``.

    The state is a text that changes with the file. The listing of one folder is in memory at a time. ``left_out`` is
    called with the reason for each file that is passed over, hidden ones aside.

    Raises:
        DataError: it cannot be listed.
        UsageError, MissingExtraError: see :func:`remote_state`.
    """
    system, root = _opened(url)
    system.invalidate_cache()

    def walk(place: str, below: str) -> Iterator[tuple[str, str]]:
        entries = {str(each["name"]).rstrip("/").rpartition("/")[2]: each for each in system.ls(place, detail=True)}
        folders = {name for name, each in entries.items() if each["type"] == "directory"}
        for name in sorted(entries.keys() - folders):
            if is_picture_name(name):
                yield below + name, _state(entries[name])
            elif left_out is not None and not name.startswith("."):
                left_out("file without a picture's suffix")
        for name in sorted(folders):
            if not is_foreign_folder(name):
                yield from walk(entries[name]["name"], f"{below}{name}/")

    try:
        yield from walk(root, "")
    except Exception as error:  # each file system raises what its library raises
        raise DataError(f"'{url}' cannot be listed ({_reason(error)}): check the address and your access.") from error


def remote_state(url: str) -> str | None:
    """Return the state of the file at a URL, "missing" where there is nothing, None for a folder.

    Raises:
        DataError: the place cannot be reached.
        UsageError: a kind of URL that is unknown, or the network is forbidden.
        MissingExtraError: fsspec, or the package that it needs for this kind of URL, is not installed.
    """
    system, path = _opened(url)
    try:
        system.invalidate_cache()
        return None if system.isdir(path) else _state(system.info(path))
    except FileNotFoundError:
        return "missing"
    except Exception as error:
        raise DataError(f"'{url}' cannot be reached ({_reason(error)}): check the address and your access.") from error


def read_remote(url: str) -> bytes:
    """Return the bytes of a file.

    Raises:
        UndecodableImage: MISSING, NOT_AN_IMAGE (a folder) or UNREADABLE (no permission).
        Unreachable: for any other reason.
        UsageError, MissingExtraError: see :func:`remote_state`.
    """
    system, path = _opened(url)
    try:
        content: bytes = system.cat_file(path)
    except FileNotFoundError:
        raise UndecodableImage(Status.MISSING, "the file does not exist") from None
    except IsADirectoryError:
        raise UndecodableImage(Status.NOT_AN_IMAGE, "it is a folder, not a file") from None
    except PermissionError as error:
        raise UndecodableImage(Status.UNREADABLE, f"the file cannot be read: {_reason(error)}") from None
    except Exception as error:
        raise Unreachable(
            f"'{url}' cannot be fetched ({_reason(error)}): repeat the command, which then goes on."
        ) from error
    return content


def _opened(url: str) -> tuple[Any, str]:
    if is_offline() and ("::" in url or url.partition("://")[0].lower() not in _HERE):
        raise UsageError(f"'{url}' may need the network, and {FORBIDDEN}.")
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise MissingExtraError(f"'{url}' needs the package 'fsspec': pip install 'dcdan[ray]'.") from None
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise MissingExtraError(f"'{url}' needs another package of fsspec ({_reason(error)}).") from None
    except ValueError as error:
        raise UsageError(f"'{url}' is no URL that fsspec knows ({_reason(error)}).") from None
    return system, str(path)


def _state(info: Mapping[str, Any]) -> str:
    return " ".join(str(info[name]) for name in _VERSION if name in info)


def _reason(error: Exception) -> str:
    return first_line(error).rstrip(".") or type(error).__name__


def refuse_vanished(places: Iterable[Path]) -> None:
    """Raise DataError when a file or folder that held data is gone, cannot be reached, or is empty now."""
    for place in places:
        if not holds_data(place):
            raise DataError(
                f"'{place}' is no longer there: bring it back (a drive, a share?) and repeat the command, which then "
                "goes on."
            )


def holds_data(place: Path) -> bool:
    """Return whether a place is a file, or a folder that can be read and is not empty."""
    try:
        if place.is_file():
            return True
        with os.scandir(place) as entries:
            return any(entries)
    except OSError:
        return False
