"""Find the pictures of a folder by their suffix, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dcdan.errors import DataError
from dcdan.faces.name_order import in_order

PICTURE_SUFFIXES: frozenset[str] = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
)

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
