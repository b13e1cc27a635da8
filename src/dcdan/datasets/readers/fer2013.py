"""FER2013: web thumbnails found by emotion words, 48 x 48 and grey (Goodfellow et al., ICONIP 2013)."""

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
from dcdan.datasets.readers.fer2013_table import SIDE, SPLITS, PixelTable, pixel_file
from dcdan.datasets.readers.ferplus import FERPlus
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS

_INNER = ("fer2013", "fer-2013")
_CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_CLASSES = EXPRESSIONS[:7]
_FOLDERS = ("train", "test")
_FOLDER_NAMES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
_PUBLISHED = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}


class FER2013Options(ReaderOptions):
    """`split`: Training, PublicTest and PrivateTest; the folders have no validation."""

    split: Literal["train", "validation", "test"] | None = None


@register
class FER2013(Reader):
    """`fer2013.csv` (emotion, pixels, Usage), or `{train,test}/{angry,disgust,fear,happy,neutral,sad,surprise}/`."""

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
        super().__init__(root, options)
        given = self.folder if self.folder.is_dir() else self.folder.parent
        file = pixel_file(given, _INNER)
        self._table = None if file is None else PixelTable(file)
        place = file.parent if file is not None else root_with(given, _markers(), _INNER)
        if place is None:
            raise wrong_layout(self.title, "fer2013.csv or the folders train and test", self.folder)
        self.root = place
        self.layout = "folders" if file is None else file.name
        if file is None:
            self.split_rule = "as in the folders: test is PublicTest and PrivateTest together"

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        # With the votes beside it, fer2013.csv is FERPlus.
        if FERPlus.recognise(folder) is not None:
            return None
        file = pixel_file(folder, _INNER)
        if file is not None:
            return file.name
        place = root_with(folder, _markers(), _INNER)
        return "folders" if place is not None and _certain(place) else None

    def official(self) -> Mapping[str, Mapping[str, int]]:
        counts = {split: dict(zip(_CODES, row, strict=True)) for split, row in _PUBLISHED.items()}
        if self._table is not None:
            return counts
        both = {name: counts["validation"][name] + counts["test"][name] for name in _CODES}
        return {"train": counts["train"], "test": both}

    def samples(self) -> Iterator[Sample]:
        if self._table is not None:
            yield from self._rows(self._table)
            return
        for split in SPLITS.values():
            place = below(self.folder, split)
            for path, expression in labelled_pictures(place, self) if place is not None else ():
                name = path.relative_to(self.folder).as_posix()
                yield Sample(name, self.classes.index(expression), split=split)

    def _rows(self, table: PixelTable) -> Iterator[Sample]:
        codes = {str(code): self.classes.index(name) for code, name in enumerate(_CODES)}
        for row in table.rows():
            label, split = codes.get(row.emotion), SPLITS.get(row.usage)
            if label is None or split is None:
                self.damaged(table.file, row.line, f"emotion '{row.emotion[:40]}', usage '{row.usage[:40]}'")
            else:
                yield Sample(table.name(row.index), label, split=split)

    def load(self, sample: Sample) -> np.ndarray:
        return super().load(sample) if self._table is None else self._table.load(sample.path)


def _markers() -> list[str]:
    return [f"{split}/{name}" for split in _FOLDERS for name in _FOLDER_NAMES]


def _certain(place: Path) -> bool:
    """True when the folders hold nothing but the seven, and grey thumbnails: a user's own may be called the same."""
    splits = [below(place, split) for split in _FOLDERS]
    if any(split is None or len(folders_in(split)) != len(_FOLDER_NAMES) for split in splits):
        return False
    return all(
        split is not None and first_header(list(expressions_in(split).values())) == (SIDE, SIDE, "L")
        for split in splits
    )
