"""Find the files of a folder by suffix, in an order that is independent of the file system."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dcdan.core.errors import DataError
from dcdan.images.media import PICTURE_SUFFIXES, suffix_of
from dcdan.images.name_order import in_order

_FOREIGN_FOLDERS = frozenset({"__MACOSX", "@eaDir"})


def is_picture_name(name: str) -> bool:
    """Return whether a file name has the suffix of an image format (in any case) and is not hidden.

    Example:
        >>> is_picture_name("Anna.JPG"), is_picture_name("._Anna.jpg"), is_picture_name("notes.txt")
        (True, False, False)
    """
    return not name.startswith(".") and suffix_of(name) in PICTURE_SUFFIXES


def is_foreign_folder(name: str) -> bool:
    """Return whether a folder is hidden or was created by an operating system.

    Example:
        >>> is_foreign_folder(".git"), is_foreign_folder("__MACOSX"), is_foreign_folder("faces")
        (True, True, False)
    """
    return name.startswith(".") or name in _FOREIGN_FOLDERS


def find_pictures(
    folder: Path,
    left_out: Callable[[str], None] | None = None,
    wanted: Callable[[str], bool] = is_picture_name,
) -> Iterator[Path]:
    """Yield the images under a folder: the files of each folder by name, then its subfolders by name.

    Memory use is constant for folders of any size. Hidden files and folders are skipped. Links to files are followed;
    links to folders are not, because they may form a cycle.

    Args:
        folder: The folder to search.
        left_out: Called with the reason for each file or folder that is skipped, except hidden ones.
        wanted: Selects the file names that are yielded.

    Yields:
        Paths that begin with ``folder``.

    Raises:
        DataError: The folder does not exist or is a file.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"'{folder}' {what}; give a folder of pictures.")
    return _wanted(folder, left_out or (lambda _: None), wanted)


def _wanted(folder: Path, left_out: Callable[[str], None], wanted: Callable[[str], bool]) -> Iterator[Path]:
    for found in walk(str(folder), wanted, lambda _: left_out("file without a picture's suffix")):
        if found.problem:
            left_out(found.problem)
        else:
            yield Path(found.path)


@dataclass(frozen=True, slots=True)
class Found:
    """A file found by :func:`walk`, or a folder that could not be entered.

    Attributes:
        path: Path of the file or folder.
        problem: Why the folder was not entered; empty for a file.
        reason: The error message of the operating system.
    """

    path: str
    problem: str = ""
    reason: str = ""


LINKED_FOLDER = "linked folder"
CLOSED_FOLDER = "folder that cannot be listed"


@dataclass
class _Level:
    """A folder whose files were yielded, with its remaining subfolders in reverse order."""

    path: str
    folders: list[str] = field(default_factory=list)


def walk(folder: str, wanted: Callable[[str], bool], other: Callable[[str], None]) -> Iterator[Found]:
    """Yield the selected files under a folder in order, and the folders that cannot be entered.

    The search is iterative, so folders may be nested to any depth that the operating system allows.

    Args:
        folder: The folder to search.
        wanted: Selects the file names that are yielded.
        other: Called with the name of every other file that is not hidden.

    Yields:
        Files, and folders with a ``problem``: those that are links or cannot be listed.
    """
    levels = [_Level("", [folder])]
    while levels:
        level = levels[-1]
        if not level.folders:
            levels.pop()
            continue
        name = level.folders.pop()
        path = os.path.join(level.path, name) if level.path else name  # noqa: PTH118
        entered = _Level(path)
        links: list[str] = []
        try:
            with os.scandir(path) as entries:
                files = in_order(_files(entries, entered.folders, links, wanted, other))
                # Sorting reads all names before the first one is yielded, so an unreadable folder yields none.
                first = next(files, None)
        except OSError as error:
            yield Found(path, CLOSED_FOLDER, error.strerror or str(error))
            continue
        if first is not None:
            yield Found(os.path.join(path, first))  # noqa: PTH118
        for file in files:
            yield Found(os.path.join(path, file))  # noqa: PTH118
        for link in sorted(links):
            yield Found(os.path.join(path, link), LINKED_FOLDER)  # noqa: PTH118
        entered.folders.sort(reverse=True)
        levels.append(entered)


def _files(
    entries: Iterable[os.DirEntry[str]],
    folders: list[str],
    links: list[str],
    wanted: Callable[[str], bool],
    other: Callable[[str], None],
) -> Iterator[str]:
    """Yield the selected file names of a folder and collect its subfolders and links."""
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not is_foreign_folder(entry.name):
                folders.append(entry.name)
        elif wanted(entry.name):
            yield entry.name
        elif not entry.name.startswith("."):
            if _leads_to_folder(entry):
                links.append(entry.name)
            else:
                other(entry.name)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False


def refuse_vanished(places: Iterable[Path]) -> None:
    """Raise an error if an input that existed at the start of a run is now missing, unreachable or empty.

    Args:
        places: Files and folders.

    Raises:
        DataError: One of them is gone.
    """
    for place in places:
        if not holds_data(place):
            raise DataError(
                f"'{place}' is no longer there: restore it (a drive, a share?), then run the same command to resume."
            )


def holds_data(place: Path) -> bool:
    """Return whether a path is a file, or a readable folder that is not empty."""
    try:
        if place.is_file():
            return True
        with os.scandir(place) as entries:
            return any(entries)
    except OSError:
        return False
