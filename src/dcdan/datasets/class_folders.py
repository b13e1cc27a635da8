"""The reader of a folder with one sub-folder per expression, in any usual spelling, with or without split folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from dcdan.core.errors import DataError
from dcdan.datasets.folder import no_pictures
from dcdan.datasets.layout import UNLISTED, LeftOut, pictures_below
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.registry import register
from dcdan.expressions import SPELLINGS, canonical, ordered
from dcdan.images.discover import find_pictures, is_picture_name

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


class ClassFoldersOptions(ReaderOptions):
    """Options of the reader."""

    faces: Literal["photographs", "crops"] = Field(
        "photographs", description="photographs are searched for a face; crops show one face each already"
    )


@register
class ClassFolders(Reader):
    """Reads `{expression}/*.jpg` or `{train,validation,test}/{expression}/*.jpg`; the rest is counted as left out.

    Example:
        `dcdan pack class_folders:/data/mine --out packs/mine`
    """

    name = "class_folders"
    title = "A folder of expressions"
    licence = "your own"
    follows_links = True
    Options = ClassFoldersOptions
    split_rule = "the folders train, validation and test, where there are any"
    options: ClassFoldersOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        self.cropped = self.options.faces == "crops"
        if not self.folder.is_dir():
            raise DataError(f"'{self.folder}' is a file: give the folder that holds one folder per expression.")
        self._splits = _split_folders(self.folder)
        names = [canonical(child.name) for _, place in self._splits for child in _children(place)]
        self.classes = ordered([name for name in names if name])
        if not self.classes:
            raise self._wrong_layout()

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        empty = True
        for split, place in self._splits:
            self.skip("picture in no class folder", _pictures_in(place))
            for child in _children(place, self.skip):
                label = canonical(child.name)
                if label is None:
                    self.skip(f"folder '{child.name}' is no expression", pictures_below(child, self))
                    continue
                for path in find_pictures(child, self.skip):
                    empty = False
                    name = path.relative_to(self.folder).as_posix()
                    yield Sample(name, self.classes.index(label), split=split)
        if empty:
            raise no_pictures(self.folder)

    def _wrong_layout(self) -> DataError:
        """Return the error for a folder without expression folders."""
        found = ", ".join(f"'{child.name}'" for child in _children(self.folder)[:6]) or "none"
        known = ", ".join(sorted(SPELLINGS)[:6])
        return DataError(
            f"'{self.folder}' should have one folder per expression ({known}, ...); the folders found are: {found}."
        )


def _pictures_in(folder: Path) -> int:
    """Return the number of pictures directly in a folder, 0 where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sum(1 for entry in entries if is_picture_name(entry.name) and entry.is_file())
    except OSError:
        return 0


def _children(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """Return the folders in a folder, by name. The names of files, of which there may be a million, are not stored.

    `left_out` is called with a reason where the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        if left_out is not None:
            left_out(UNLISTED)
        return []


def _split_folders(folder: Path) -> list[tuple[str, Path]]:
    """Return (split, folder) of each folder for a split, or ("", folder) where there is none."""
    splits = [
        (SPLIT_NAMES[child.name.lower()], child) for child in _children(folder) if child.name.lower() in SPLIT_NAMES
    ]
    return splits or [("", folder)]


def holds_classes(folder: Path) -> bool:
    """Return whether all folders with pictures are named like expressions, and there are at least two of them.

    Args:
        folder: the folder.

    Returns:
        True when they are.
    """
    places = [place for _, place in _split_folders(folder)]
    children = [child for place in places for child in _children(place)]
    named = {canonical(child.name) for child in children if next(find_pictures(child), None) is not None}
    return None not in named and len(named) >= 2
