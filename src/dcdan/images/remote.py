"""Files at URLs that fsspec supports (s3://, gs://, az://, https://, file://, ...): list and read them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcdan.core.errors import DataError, MissingExtraError, Unreachable, UsageError, first_line
from dcdan.core.offline import FORBIDDEN, is_offline
from dcdan.images.discover import is_foreign_folder, is_picture_name
from dcdan.images.status import Status, UndecodableImage

_HERE = ("file", "local", "memory")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Keys under which the file systems of fsspec report the version of a file.
_VERSION = ("size", "ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")


def is_url(text: str) -> bool:
    """Return whether a path is a URL.

    Example:
        >>> is_url("s3://bucket/faces"), is_url("/data/faces"), is_url("folder:/data/faces")
        (True, False, False)
    """
    return _URL.match(text) is not None


def find_remote(
    url: str,
    left_out: Callable[[str], None] | None = None,
    *,
    wanted: Callable[[str], bool] = is_picture_name,
    other: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield the files under a folder at a URL in the order of ``find_pictures``; one listing is in memory at a time.

    Args:
        url: URL of the folder.
        left_out: Called with the reason for each file that is skipped, except hidden ones.
        wanted: Selects the file names that are yielded.
        other: Called with the name of each file that is skipped, except hidden ones.

    Yields:
        (path relative to ``url``, text that changes when the file changes).

    Raises:
        DataError: The folder cannot be listed.
        UsageError: See :func:`remote_state`.
        MissingExtraError: See :func:`remote_state`.
    """
    system, root = _opened(url)
    system.invalidate_cache()

    def walk(place: str, below: str) -> Iterator[tuple[str, str]]:
        entries = {str(each["name"]).rstrip("/").rpartition("/")[2]: each for each in system.ls(place, detail=True)}
        folders = {name for name, each in entries.items() if each["type"] == "directory"}
        for name in sorted(entries.keys() - folders):
            if wanted(name):
                yield below + name, _state(entries[name])
            elif not name.startswith("."):
                if left_out is not None:
                    left_out("file without a picture's suffix")
                if other is not None:
                    other(name)
        for name in sorted(folders):
            if not is_foreign_folder(name):
                yield from walk(entries[name]["name"], f"{below}{name}/")

    try:
        yield from walk(root, "")
    except Exception as error:  # each file system raises what its library raises
        raise DataError(f"'{url}' cannot be listed ({_reason(error)}): check the address and your access.") from error


def remote_state(url: str) -> str | None:
    """Return a text that changes when the file at a URL changes.

    Args:
        url: URL of a file or folder.

    Returns:
        The state of the file, ``"missing"`` if nothing exists there, or None for a folder.

    Raises:
        DataError: The server cannot be reached.
        UsageError: The kind of URL is unknown, or network access is forbidden.
        MissingExtraError: fsspec, or a package that it needs for this kind of URL, is not installed.
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
    """Return the content of a file at a URL.

    Args:
        url: URL of the file.

    Returns:
        The bytes of the file.

    Raises:
        UndecodableImage: MISSING, NOT_AN_IMAGE (a folder) or UNREADABLE (no permission).
        Unreachable: The download failed for another reason.
        UsageError: See :func:`remote_state`.
        MissingExtraError: See :func:`remote_state`.
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
        raise Unreachable(f"'{url}' cannot be fetched ({_reason(error)}): run the same command to resume.") from error
    return content


def _opened(url: str) -> tuple[Any, str]:
    if is_offline() and ("::" in url or url.partition("://")[0].lower() not in _HERE):
        raise UsageError(f"'{url}' may need the network, and {FORBIDDEN}.")
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise MissingExtraError(f"'{url}' needs the package 'fsspec': pip install 'dcdan[remote]'.") from None
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise MissingExtraError(f"'{url}' needs another package of fsspec ({_reason(error)}).") from None
    except ValueError as error:
        raise UsageError(f"'{url}' is not a URL that fsspec supports ({_reason(error)}).") from None
    return system, str(path)


def _state(info: Mapping[str, Any]) -> str:
    return " ".join(str(info[name]) for name in _VERSION if name in info)


def _reason(error: Exception) -> str:
    return first_line(error).rstrip(".") or type(error).__name__


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """Download the file at a URL to a temporary file with the same suffix, which is removed afterwards.

    Args:
        url: URL of the file.

    Yields:
        The temporary file.

    Raises:
        DataError: The file cannot be downloaded.
        UsageError: See :func:`remote_state`.
        MissingExtraError: See :func:`remote_state`.
    """
    system, path = _opened(url)
    with tempfile.TemporaryDirectory(prefix="dcdan-") as folder:
        target = Path(folder) / ("video" + Path(path).suffix)
        try:
            with system.open(path, "rb") as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        except Exception as error:  # each file system raises what its library raises
            raise DataError(
                f"'{url}' cannot be fetched ({_reason(error)}): check the address and your access."
            ) from error
        yield target
