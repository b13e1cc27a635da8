"""Locate the parts of a released data set in a folder, in any letter case, and build the error for a wrong folder.

"below" means a path relative to a folder, written with forward slashes, such as "basic/EmoLabel".
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path, PureWindowsPath

from dcdan.core.errors import DataError
from dcdan.core.limits import refuse_device
from dcdan.datasets.reader import Reader
from dcdan.expressions import canonical
from dcdan.images.discover import find_pictures, is_picture_name

LeftOut = Callable[[str], None]
UNLISTED = "folder that cannot be listed"
_SHOWN = 6
# Detection tries about a hundred names, and a folder may hold a million pictures.
_MOST_NAMES = 2000


def below(folder: Path, way: str) -> Path | None:
    """Return the path of a file or folder below a folder, in any case of letters.

    Args:
        folder: where to start.
        way: the path below it, such as "a/b/c". An exact name is preferred to one in another case of letters, and the
            other case is searched among the first 2,000 names of a folder only.

    Returns:
        The path as it is spelt on disk, or None.
    """
    place = folder
    for part in way.split("/"):
        exact = place / part
        if not exact.exists():
            same = [name for name in some_names(place, _MOST_NAMES) if name.lower() == part.lower()]
            if not same:
                return None
            exact = place / same[0]
        place = exact
    return place


def root_with(given: Path, markers: Iterable[str], inner: Iterable[str] = ()) -> Path | None:
    """Return the first folder that contains all markers: the given one or a named inner folder.

    Args:
        given: the folder that a user named.
        markers: paths that must exist below the folder, in any letter case.
        inner: paths of inner folders to try after `given`.

    Returns:
        The folder, or None.
    """
    inside = (below(given, way) for way in inner)
    wanted = tuple(markers)
    for place in (given, *(place for place in inside if place is not None)):
        if place.is_dir() and all(below(place, way) is not None for way in wanted):
            return place
    return None


def names_in(folder: Path, left_out: LeftOut | None = None) -> list[str]:
    """Return the names in a folder, sorted, without hidden ones.

    Args:
        folder: the folder.
        left_out: called with a reason for a folder that exists and cannot be listed, such as one without permission.

    Returns:
        The names; [] for a file or a missing folder.
    """
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        if left_out is not None:
            left_out(UNLISTED)
        return []


def some_names(folder: Path, most: int = 64) -> list[str]:
    """Return some of the names in a folder, sorted, without hidden ones; fast in a folder of any size.

    Args:
        folder: the folder.
        most: largest number of names.

    Returns:
        The names; [] where the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(islice((entry.name for entry in entries if not entry.name.startswith(".")), most))
    except OSError:
        return []


def folders_in(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """Return the folders directly in a folder, by name.

    Args:
        folder: the folder.
        left_out: as in `names_in`.

    Returns:
        The folders.
    """
    return [folder / name for name in names_in(folder, left_out) if (folder / name).is_dir()]


def inside(way: str) -> str:
    r"""Return the path of a picture that a label file names, with forward slashes, without reading the disk.

    Args:
        way: the path as written.

    Returns:
        The path relative to the folder.

    Raises:
        ValueError: the path is empty, impossible, or leads out of the folder that it starts from.

    Example:
        >>> inside("689\\737db2.jpg"), inside("./a.jpg")
        ('689/737db2.jpg', 'a.jpg')
    """
    # The Windows flavour knows drives, both slashes and everything that POSIX takes for absolute.
    path = PureWindowsPath(way)
    if path.drive or path.root or ".." in path.parts:
        raise ValueError(f"'{way}' leads out of the folder")
    if not path.parts or "\0" in way:
        raise ValueError(f"'{way}' is no name of a picture")
    return path.as_posix()


def wrong_layout(title: str, wanted: str, folder: Path) -> DataError:
    """Return the error for a folder that is not a reader's data set.

    Args:
        title: the data set.
        wanted: what the reader expects.
        folder: the folder; the first names in it are quoted.

    Returns:
        The error, to be raised.
    """
    names = names_in(folder)
    found = ", ".join(islice(names, _SHOWN)) + (" and more" if len(names) > _SHOWN else "")
    what = found or ("an empty folder" if folder.is_dir() else "a file")
    return DataError(f"{title} needs {wanted} in '{folder}'; found: {what}.")


_FOLDERS = 200


def labelled_pictures(place: Path, reader: Reader) -> Iterator[tuple[Path, str]]:
    """Yield the pictures of a folder that has one folder for each expression.

    Pictures in other folders, and those of expressions that are not among the classes, are counted by `reader.skip`.

    Args:
        place: the folder with the expression folders, in any usual spelling.
        reader: its classes decide, and its `skipped` counts.

    Yields:
        The path and the expression of each picture.
    """
    names = names_in(place, reader.skip)
    reader.skip("picture in no class folder", sum(1 for name in names if is_picture_name(name)))
    for child in (place / name for name in names if (place / name).is_dir()):
        expression = canonical(child.name)
        if expression is None:
            reader.skip(f"folder '{child.name}' is no expression", pictures_below(child, reader))
        elif expression not in reader.classes:
            reader.skip(expression, pictures_below(child, reader))
        else:
            yield from ((path, expression) for path in find_pictures(child, reader.skip))


def pictures_below(folder: Path, reader: Reader) -> int:
    """Count the pictures below a folder; other files are counted by `reader.skip`.

    Args:
        folder: the folder.
        reader: its `skipped` counts.

    Returns:
        The number of pictures.
    """
    return sum(1 for _ in find_pictures(folder, reader.skip))


def expressions_in(place: Path) -> dict[str, Path]:
    """Return the folders in a folder that are named like an expression, among its first 200 names.

    Args:
        place: the folder.

    Returns:
        expression -> folder.
    """
    named = {canonical(name): place / name for name in some_names(place, _FOLDERS)}
    return {name: child for name, child in named.items() if name is not None and child.is_dir()}


def picture_names(folder: Path) -> list[str]:
    """Return the names of the pictures among the first 64 names in a folder.

    Args:
        folder: the folder.

    Returns:
        The names.
    """
    return [name for name in some_names(folder) if is_picture_name(name)]


def header(picture: Path) -> tuple[int, int, str] | None:
    """Read the header of a picture.

    Args:
        picture: the file.

    Returns:
        Width, height and mode ("L" is grey), or None where it cannot be read.
    """
    from PIL import Image

    try:
        refuse_device(picture)
        # Pillow warns of pictures with very many pixels; none is decoded here.
        with warnings.catch_warnings(action="ignore"), Image.open(picture) as image:
            return *image.size, image.mode
    except Exception:  # A damaged file can make Pillow raise anything.
        return None


def first_header(folders: Collection[Path]) -> tuple[int, int, str] | None:
    """Read the header of the first picture in the first of the folders that has one.

    Args:
        folders: the folders.

    Returns:
        As `header`.
    """
    for folder in folders:
        for name in picture_names(folder):
            return header(folder / name)
    return None
