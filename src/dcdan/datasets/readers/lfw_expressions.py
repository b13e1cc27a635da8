"""LFW expressions: press photographs with labels by students (github.com/muxspace/facial_expressions).

Layouts that are read:
    `data/legend.csv` (user.id, image, emotion, in upper and lower case) with `images/*.jpg`. Images without a row, rows
    without an image, repeated rows and images with two different labels are counted as left out.

Codes:
    Words: anger, contempt, disgust, fear, happiness, neutral, sadness, surprise, in any case of letters.

Splits and counts:
    None was released. The project's rule: SHA-256 of the person's name modulo 100, below 80 train, else test. The
    person is the image's name without its number. 13,718 photographs, half neutral, nine of contempt.

Licence:
    Apache-2.0 for the labels; the photographs are LFW's.

Unverified:
    Nothing: the reader was tried on the release.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dcdan.core.errors import DataError
from dcdan.datasets.folds import hashed_percent
from dcdan.datasets.layout import root_with, wrong_layout
from dcdan.datasets.reader import Reader, ReaderOptions, Sample, lines_of, readable
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS, canonical
from dcdan.images.discover import find_pictures

_TRAIN_PERCENT = 80
_COLUMNS = ("image", "emotion")
_MARKERS = ("data/legend.csv", "images")


def person(name: str) -> str:
    """Return the person in an image, from its name.

    Args:
        name: name of the image.

    Returns:
        The name without its number.

    Example:
        >>> person("Abba_Eban_0001.jpg"), person("facial-expressions_2868588k.jpg")
        ('Abba_Eban', 'facial-expressions_2868588k')
    """
    return re.sub(r"_\d{4}$", "", Path(name).stem)


def split_of(name: str) -> str:
    """Return the split of an image: train where SHA-256(person) modulo 100 is below 80, else test.

    Args:
        name: name of the image.

    Returns:
        "train" or "test".

    Example:
        >>> split_of("Abba_Eban_0001.jpg"), split_of("Aaron_Guiel_0001.jpg")
        ('train', 'test')
    """
    return "train" if hashed_percent(person(name)) < _TRAIN_PERCENT else "test"


class LFWExpressionsOptions(ReaderOptions):
    """Options of the reader. The split is the project's rule."""

    split: Literal["train", "test"] | None = None


@register
class LFWExpressions(Reader):
    """The reader of LFW expressions; see the module for layouts, splits and licence. Faces are detected.

    Example:
        `dcdan pack lfw_expressions:/data/facial_expressions --out packs/lfw`
    """

    name = "lfw_expressions"
    title = "LFW expressions"
    extent = "13,718 photographs of 160 or 350 pixels, mostly of one person each; labels by students, very uneven"
    obtain = "Free: github.com/muxspace/facial_expressions; give the folder that holds data/ and images/."
    licence = "Apache-2.0 (muxspace/facial_expressions); the photographs are LFW's"
    Options = LFWExpressionsOptions
    channels = 1
    classes = EXPRESSIONS
    split_rule = (
        "train when SHA-256(image name without number) mod 100 < 80, else test (the project's; none was released)"
    )

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        given = self.folder
        found = root_with(given, _MARKERS, ("facial_expressions", "..")) if given.is_dir() else None
        if found is None:
            raise wrong_layout(self.title, " and ".join(_MARKERS), given)
        self.root = found

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        return "as released" if root_with(folder, _MARKERS, ("facial_expressions",)) else None

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        images = self.folder / "images"
        present = {path.relative_to(images).as_posix() for path in find_pictures(images, self.skip)}
        labels = self._labels()
        self.skip("image without row", len(present - labels.keys()))
        for name in sorted(labels):
            if name not in present:
                self.skip("row without image")
            elif len(labels[name]) > 1:
                self.skip("image with two different labels")
            else:
                (label,) = labels[name]
                yield Sample(f"images/{name}", EXPRESSIONS.index(label), split=split_of(name), subject=person(name))

    def _labels(self) -> dict[str, set[str]]:
        """Return image name -> the different expressions of its rows; damaged rows are reported with their line."""
        labels: dict[str, set[str]] = {}
        table = self.folder / "data" / "legend.csv"
        rows = csv.DictReader(lines_of(table))
        if not set(_COLUMNS) <= set(rows.fieldnames or ()):
            raise DataError(f"'{table}' should have the columns image and emotion; it has {rows.fieldnames}.")
        for row in readable(rows, table):
            name, word = (row[column] or "" for column in _COLUMNS)
            label = canonical(word)
            if label is None or not name or name != Path(name).name:
                self.damaged(table, rows.line_num, f"image '{name}', emotion '{word}'")
            elif label in labels.setdefault(name, set()):
                self.skip("repeated row")
            else:
                labels[name].add(label)
        return labels
