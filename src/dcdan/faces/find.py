"""Find the pictures of a folder by their suffix, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dcdan.errors import DataError

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


def find_pictures(folder: Path) -> Iterator[Path]:
    """Yield the pictures under a folder: each folder's files by name, then its sub-folders by name.

    Only one folder's names are in memory at a time. Hidden files and folders are left out, and so are folders that
    cannot be listed. Linked files are followed, linked folders are not, since they may lead in a circle.

    Raises:
        DataError: the folder does not exist or is a file.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"'{folder}' {what}; give a folder of pictures.")
    return _walk(folder)


def _walk(folder: Path) -> Iterator[Path]:
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _FOREIGN_FOLDERS:
                        folders.append(entry.name)
                elif is_picture_name(entry.name):
                    files.append(entry.name)
    except OSError:
        return
    for name in sorted(files):
        yield folder / name
    for name in sorted(folders):
        yield from _walk(folder / name)
