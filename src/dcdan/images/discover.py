"""Find the files of a folder by their suffix, in an order that does not depend on the file system."""

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
    """Return whether a file name has the suffix of a picture (any case) and is not hidden.

    Example:
        >>> is_picture_name("Anna.JPG"), is_picture_name("._Anna.jpg"), is_picture_name("notes.txt")
        (True, False, False)
    """
    return not name.startswith(".") and suffix_of(name) in PICTURE_SUFFIXES


def is_foreign_folder(name: str) -> bool:
    """Return whether a folder is hidden, or was made by an operating system and not by a person.

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
    """Yield the pictures under a folder: the files of each folder by name, then its sub-folders by name.

    Few names are in memory at a time, however many a folder has. Hidden files and folders are left out. Linked files
    are followed, linked folders are not, since they may lead in a circle.

    Args:
        folder: where to begin.
        left_out: called with the reason for each file and folder that is passed over, hidden ones aside.
        wanted: which file names count as pictures.

    Yields:
        The paths, each beginning with ``folder``.

    Raises:
        DataError: the folder does not exist or is a file.
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
    """A file that a walk has found, or a folder that it could not enter.

    Attributes:
        path: of the file or folder.
        problem: why a folder was not entered; empty for a file.
        reason: what the system says of it.
    """

    path: str
    problem: str = ""
    reason: str = ""


LINKED_FOLDER = "linked folder"
CLOSED_FOLDER = "folder that cannot be listed"


@dataclass
class _Level:
    """A folder whose files were yielded, with the sub-folders that are still to be entered, the last first."""

    path: str
    folders: list[str] = field(default_factory=list)


def walk(folder: str, wanted: Callable[[str], bool], other: Callable[[str], None]) -> Iterator[Found]:
    """Yield the wanted files under a folder in order, and the folders that cannot be entered.

    Not recursive, so that folders may be nested as deep as the system allows.

    Args:
        folder: where to begin.
        wanted: which names of files are yielded.
        other: called with the name of each other file that is not hidden.

    Yields:
        Files; and folders that cannot be listed or are links, with their ``problem``.
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
                # All names are read with the first one, so a folder that cannot be read gives none.
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
    """Yield the names of the wanted files among the entries of a folder, and collect its sub-folders and links."""
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
