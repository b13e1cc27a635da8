"""Published sets that say the expression by the folder: its pictures, and a look at the first of them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

from dcdan.data.layout import folders_in, names_in, some_names
from dcdan.data.reader import Reader
from dcdan.expressions import canonical
from dcdan.faces.find import find_pictures, is_picture_name

_FOLDERS = 200


def labelled_pictures(place: Path, reader: Reader) -> Iterator[tuple[Path, str]]:
    """Yield every picture below the expression folders of `place`, and its expression, one of `reader.classes`.

    Pictures elsewhere, and those of expressions that are no classes, are counted by `reader.skip`.
    """
    reader.skip("picture in no class folder", sum(1 for name in names_in(place) if is_picture_name(name)))
    for child in folders_in(place):
        expression = canonical(child.name)
        if expression is None:
            reader.skip(f"folder '{child.name}' is no expression", sum(1 for _ in find_pictures(child)))
        elif expression not in reader.classes:
            reader.skip(expression, sum(1 for _ in find_pictures(child)))
        else:
            yield from ((path, expression) for path in find_pictures(child))


def expressions_in(place: Path) -> dict[str, Path]:
    """Return expression -> folder of the folders in `place` that are called by one, looking at few names."""
    named = {canonical(name): place / name for name in some_names(place, _FOLDERS)}
    return {name: child for name, child in named.items() if name is not None and child.is_dir()}


def picture_names(folder: Path) -> list[str]:
    """Return the names of some pictures directly in a folder, looking at few."""
    return [name for name in some_names(folder) if is_picture_name(name)]


def header(picture: Path) -> tuple[int, int, str] | None:
    """Return width, height and mode ("L" is grey) by the header of a picture, or None where it cannot be read."""
    from PIL import Image

    try:
        # Pillow warns of pictures with very many pixels; none is decoded here.
        with warnings.catch_warnings(action="ignore"), Image.open(picture) as image:
            return *image.size, image.mode
    except Exception:  # A damaged file can make Pillow raise anything.
        return None


def first_header(folders: Collection[Path]) -> tuple[int, int, str] | None:
    """Return the `header` of the first picture in the first of the folders that has one, or None."""
    for folder in folders:
        for name in picture_names(folder):
            return header(folder / name)
    return None
