"""SFEW 2.0: frames of feature films (Dhall et al., ICCV workshops 2011 and ICMI 2015), whole or as aligned faces.

Layouts that are read:
    `{Train,Val}/{Train,Val}_Aligned_Faces/{Angry,...}/*.png`, also without the outer `Train` and `Val`, also
    `Val_Aligned_Faces_new`; or the class folders directly under `Train` and `Val`, which hold aligned faces where the
    first picture is 143 x 181, and whole frames otherwise. Aligned faces are preferred.

Codes:
    The folder names Angry, Disgust, Fear, Happy, Neutral, Sad, Surprise.

Splits and counts:
    Train is train (891 aligned, 958 frames). Val is test (431, 436), because the labels of Test are withheld.

Groups:
    `movie`, from the file's name. Hold-outs keep a film on one side, since no subject is given.

Licence:
    By signed agreement with its authors; not to be redistributed.

Unverified:
    Written from the description and from published code, without the release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcdan.datasets.layout import (
    below,
    expressions_in,
    first_header,
    labelled_pictures,
    picture_names,
    pictures_below,
    wrong_layout,
)
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS

_ALIGNED_SIZE = (143, 181)
_INNER = ("SFEW", "SFEW_2", "SFEW2", "SFEW_2.0", "SFEW 2.0", "SFEW2.0")
# Val serves as the test set, since the labels of Test are withheld.
_SPLITS = {"train": "Train", "test": "Val"}
_ALIGNED_NAMES = ("Aligned_Faces", "Aligned_Faces_new")
_FILM = re.compile(r"(.+?)_\d+_\d+")
_FRAME = re.compile(r".+_\d{9}_\d{8}\.")
_FRAMES = "whole frames in class folders"
_PUBLISHED = {True: (891, 431), False: (958, 436)}


def film(name: str) -> str:
    """Return the film of a frame, from its name.

    Args:
        name: name of the file.

    Returns:
        The film; "" for another name.

    Example:
        >>> film("AboutABoy_000155240_00000001.png"), film("holiday.png")
        ('AboutABoy', '')
    """
    match = _FILM.fullmatch(Path(name).stem)
    return match[1] if match else ""


class SFEWOptions(ReaderOptions):
    """Options of the reader: Train is train, Val is test."""

    split: Literal["train", "test"] | None = None


@dataclass(frozen=True)
class _Found:
    """The location of the parts.

    Attributes:
        root: the folder that paths start from.
        places: split -> folder with the class folders.
        named_aligned: whether the folders are named as aligned faces.
    """

    root: Path
    places: Mapping[str, Path]
    named_aligned: bool


@register
class SFEW(Reader):
    """The reader of SFEW 2.0; see the module for layouts, splits and licence.

    Example:
        `dcdan pack sfew:/data/SFEW_2.0 --out packs/sfew`
    """

    name = "sfew"
    title = "SFEW 2.0"
    licence = "by signed agreement with its authors; not to be redistributed"
    extent = "1,394 frames of films, 7 expressions"
    obtain = "ask its authors for the agreement: users.cecs.anu.edu.au/~few_group/AFEW.html"
    Options = SFEWOptions
    classes = EXPRESSIONS[:7]
    split_rule = "Train is train and Val is test, since the labels of Test are withheld"
    options: SFEWOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        found = _found(self.folder)
        if found is None:
            raise wrong_layout(self.title, "Train/Train_Aligned_Faces/Angry (or Train/Angry) and Val", self.folder)
        self.root, self._places = found.root, found.places
        self.layout = _layout(found)
        self.cropped = self.layout != _FRAMES

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        found = _found(folder)
        if found is None:
            return None
        # A user's own folders may be named Train and Val too; the names of the pictures decide.
        folders = expressions_in(found.places["train"]).values()
        certain = found.named_aligned or any(_FRAME.match(name) for place in folders for name in picture_names(place))
        return _layout(found) if certain else None

    def official(self) -> Mapping[str, Mapping[str, int]]:
        """Return the published counts; see :meth:`Reader.official`.

        Returns:
            split -> class -> images.
        """
        return {split: {"": count} for split, count in zip(_SPLITS, _PUBLISHED[self.cropped], strict=True)}

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        self._skip_others()
        for split, place in self._places.items():
            for path, expression in labelled_pictures(place, self):
                movie = film(path.name)
                groups = {"movie": movie} if movie else {}
                name = path.relative_to(self.folder).as_posix()
                yield Sample(name, self.classes.index(expression), split=split, groups=groups)

    def _skip_others(self) -> None:
        """Count the pictures that are not read: Test, and the whole frames where aligned faces are read."""
        for way in ("Test", "Test_Aligned_Faces"):
            test = below(self.folder, way)
            if test is not None and test.is_dir():
                self.skip("Test, whose labels are withheld", pictures_below(test, self))
        for split, place in self._places.items():
            frames = below(self.folder, _SPLITS[split])
            for other in expressions_in(frames).values() if frames is not None and frames != place else ():
                self.skip("whole frame beside the aligned faces", pictures_below(other, self))


def _found(given: Path) -> _Found | None:
    """Return the location of SFEW in a folder."""
    inside = (below(given, way) for way in _INNER)
    for root in (given, *(place for place in inside if place is not None)):
        for aligned in (True, False):
            places = {split: _place(root, folder, aligned) for split, folder in _SPLITS.items()}
            there = {split: place for split, place in places.items() if place is not None}
            if len(there) == len(_SPLITS):
                return _Found(root, there, aligned)
    return None


def _layout(found: _Found) -> str:
    """Return the name of the layout."""
    if found.named_aligned:
        return "aligned faces"
    seen = first_header(list(expressions_in(found.places["train"]).values()))
    return "aligned faces in class folders" if seen is not None and seen[:2] == _ALIGNED_SIZE else _FRAMES


def _place(root: Path, folder: str, aligned: bool) -> Path | None:
    """Return the folder with the class folders of Train or Val; all seven must be there."""
    names = [f"{folder}_{name}" for name in _ALIGNED_NAMES]
    ways = [f"{folder}/{name}" for name in names] + names if aligned else [folder]
    for way in ways:
        place = below(root, way)
        if place is not None and len(expressions_in(place).keys() & set(EXPRESSIONS[:7])) == 7:
            return place
    return None
