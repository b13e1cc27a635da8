"""FER2013: web thumbnails found by emotion words (Goodfellow et al., "Challenges in Representation Learning", 2013).

Layouts that are read:
    `fer2013.csv` or `icml_face_data.csv`, in the folder or in `fer2013/`, or the file itself: one row a face with the
    columns `emotion`, `pixels` (48 x 48 grey values) and `Usage`, in any order, with blanks or without.
    `{train,test}/{angry,disgust,fear,happy,neutral,sad,surprise}/*`: the folders of the copies on Kaggle.

Codes:
    0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise, 6 neutral. Words such as `Happy` are read too.

Splits and counts:
    Training 28,709, PublicTest 3,589 (validation), PrivateTest 3,589 (test), as released; the counts of the classes are
    in `_PUBLISHED`. The folders put the last two together as test, 7,178. A table without `Usage` has no split.

Licence:
    Kaggle challenge of ICML 2013, for research. The pictures are other people's and may not be redistributed.

Unverified:
    No subject is known, and the set holds doubled pictures across its splits (see `dcdan data check`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from dcdan.datasets.layout import (
    below,
    expressions_in,
    first_header,
    folders_in,
    labelled_pictures,
    root_with,
    wrong_layout,
)
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.readers.fer2013_table import (
    SIDE,
    SPLITS,
    PixelTable,
    pixel_file,
    split_of,
    unusable_pixel_file,
)
from dcdan.datasets.readers.ferplus import FERPlus
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS, canonical

CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_INNER = ("fer2013", "fer-2013")
_CLASSES = EXPRESSIONS[:7]
_FOLDERS = ("train", "test")
_FOLDER_NAMES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
_PUBLISHED = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}


class FER2013Options(ReaderOptions):
    """Options of the reader. The folders have no split `validation`."""

    split: Literal["train", "validation", "test"] | None = None


@register
class FER2013(Reader):
    """The reader of FER2013; see the module for layouts, codes, splits and licence.

    Example:
        `dcdan pack fer2013:/data/fer2013.csv --out packs/fer2013`
    """

    name = "fer2013"
    title = "FER2013"
    licence = "Kaggle challenge of ICML 2013: for research; the pictures are other people's, not to be redistributed"
    extent = "35,887 grey faces of 48 x 48, 7 expressions"
    obtain = "Kaggle: challenges-in-representation-learning-facial-expression-recognition-challenge (fer2013.tar.gz)"
    Options = FER2013Options
    cropped = True
    channels = 1
    classes = _CLASSES
    options: FER2013Options

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        """Find the layout in a folder, or open a table that is given itself; raise DataError for neither."""
        super().__init__(root, options)
        given = self.folder.parent if self.folder.is_file() else self.folder
        file = self.folder if self.folder.is_file() else pixel_file(given, _INNER)
        place = given if file is not None else root_with(given, _markers(), _INNER)
        if place is None:
            file = unusable_pixel_file(given, _INNER)
            if file is None:
                raise wrong_layout(self.title, "fer2013.csv or the folders train and test", self.folder)
        self._table = None if file is None else PixelTable(file)
        self.root = file.parent if file is not None else place
        self.layout = "folders" if file is None else file.name
        if self._table is None:
            self.split_rule = "as in the folders: test is PublicTest and PrivateTest together"
        elif not self._table.has_usage:
            self.split_rule = "none: the table has no column Usage"

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; with votes beside it a set is FERPlus.

        Args:
            folder: any folder.

        Returns:
            "fer2013.csv", "icml_face_data.csv" or "folders", or None.
        """
        if FERPlus.recognise(folder) is not None:
            return None
        file = pixel_file(folder, _INNER)
        if file is not None:
            return file.name
        place = root_with(folder, _markers(), _INNER)
        return "folders" if place is not None and _certain(place) else None

    def official(self) -> Mapping[str, Mapping[str, int]]:
        """Return the published counts.

        Returns:
            split -> class -> images; {} for a table without splits.
        """
        counts = {split: dict(zip(CODES, row, strict=True)) for split, row in _PUBLISHED.items()}
        if self._table is not None:
            return counts if self._table.has_usage else {}
        both = {name: counts["validation"][name] + counts["test"][name] for name in CODES}
        return {"train": counts["train"], "test": both}

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        if self._table is not None:
            yield from self._rows(self._table)
            return
        for split in SPLITS.values():
            place = below(self.folder, split)
            for path, expression in labelled_pictures(place, self) if place is not None else ():
                name = path.relative_to(self.folder).as_posix()
                yield Sample(name, self.classes.index(expression), split=split)

    def _rows(self, table: PixelTable) -> Iterator[Sample]:
        """Yield the samples of a table and report damaged rows."""
        for row in table.rows():
            fault = row.fault
            expression = _expression(row.emotion)
            split = split_of(row.usage) if table.has_usage else ""
            if not fault and expression is None:
                fault = (
                    f"its emotion '{row.emotion[:40]}' is none of 0 to {len(CODES) - 1} and no expression of the set"
                )
            if not fault and split is None:
                fault = f"its Usage '{row.usage[:40]}' is none of {', '.join(SPLITS)}"
            if fault or expression is None or split is None:
                self.damaged(table.file, row.line, fault)
            else:
                yield Sample(table.name(row.index), self.classes.index(expression), split=split)

    def load(self, sample: Sample) -> np.ndarray:
        """Load the picture of a sample; see :meth:`Reader.load`.

        Args:
            sample: a sample of this reader.

        Returns:
            `(H, W, 3) uint8` RGB.
        """
        return super().load(sample) if self._table is None else self._table.load(sample.path)


def _expression(text: str) -> str | None:
    """Return the expression of a code 0 to 6 or a word; None for another text, contempt included."""
    name = CODES[int(text)] if text in {str(code) for code in range(len(CODES))} else canonical(text)
    return name if name in _CLASSES else None


def _markers() -> list[str]:
    """Return the folders that must exist."""
    return [f"{split}/{name}" for split in _FOLDERS for name in _FOLDER_NAMES]


def _certain(place: Path) -> bool:
    """Return whether the folders hold nothing but the seven, and grey thumbnails: a user's own may have these names."""
    splits = [below(place, split) for split in _FOLDERS]
    if any(split is None or len(folders_in(split)) != len(_FOLDER_NAMES) for split in splits):
        return False
    return all(
        split is not None and first_header(list(expressions_in(split).values())) == (SIDE, SIDE, "L")
        for split in splits
    )
