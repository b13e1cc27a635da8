"""FERPlus: the faces of FER2013 with ten votes each (Barsoum et al., "Training Deep Networks for FER", ICMI 2016).

Layouts that are read, in this order:
    `fer2013new.csv` with `data/FER2013{Train,Valid,Test}/fer#######.png`, as the authors' script writes them.
    `fer2013new.csv` with `fer2013.csv` (beside it, in `data/` or in `fer2013/`), in the same order of rows.
    `{train,test,validation}/{angry,contempt,disgust,fear,happy,neutral,sad,suprise}/`, the copy on Kaggle, spelt so. It
    has one label a picture, its uploader's, and no votes.

Codes:
    The columns of `fer2013new.csv`: `Usage`, `Image name`, then the votes for neutral, happiness, surprise, sadness,
    anger, disgust, fear, contempt, unknown and NF (not a face).

Rules, by which ten votes become a label (option `votes`):
    majority: single votes are dropped as mistakes; the label needs more than half of the rest.
    argmax: the column with most votes. A face for which unknown or NF has most is left out.
    probability: the highest votes until three columns or three quarters of the votes are in.
    all: every face with at least one vote for an expression. The label is the expression with most votes, even where
    unknown or NF has more, and the weights are the votes for expressions, divided by their number. That number is
    stored as the value `expression_votes`, since two of ten votes say less than ten of ten.
    The first three are the readings of the authors' code, `all` is the project's own.

Splits and counts:
    Training, PublicTest and PrivateTest are train, validation and test. majority 25,060 / 3,199 / 3,153; without
    contempt 24,941 / 3,186 / 3,137; argmax 28,389 / 3,553 / 3,546; probability 27,956 / 3,505 / 3,505. All were
    recomputed on the release. 173 of the 35,887 rows have no image name and are left out.

Licence:
    Votes: MIT (microsoft/FERPlus). Pictures: FER2013, for research, not to be redistributed.

Unverified:
    No subject is known. The labels of the copy on Kaggle cannot be checked.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.layout import below, labelled_pictures, picture_names, root_with, wrong_layout
from dcdan.datasets.reader import Reader, ReaderOptions, Sample, lines_of, readable
from dcdan.datasets.readers.fer2013_table import SPLITS, PixelTable, pixel_file, split_of
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS

VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
KNOWN = 8
VoteRule = Literal["majority", "argmax", "probability", "all"]
_HEADER = ("Usage", "Image name", *VOTE_COLUMNS)
_MOST_VOTES = 100


@dataclass(frozen=True)
class VoteTable:
    """The good rows of `fer2013new.csv`.

    Attributes:
        usages: usage of each row.
        names: image name of each row.
        votes: (N, 10) int64.
        rows: number of each row in the file, from 0.
        lines: line of each row, from 1.
        length: rows in the file, including damaged ones, without blank lines.
    """

    usages: list[str]
    names: list[str]
    votes: np.ndarray
    rows: list[int]
    lines: list[int]
    length: int


def read_votes(table: Path, damaged: Callable[[Path, int, object], None]) -> VoteTable:
    """Read `fer2013new.csv`.

    Args:
        table: the file.
        damaged: called with file, line and reason of each row that cannot be read.

    Returns:
        The good rows.

    Raises:
        DataError: the columns are others.
    """
    usages: list[str] = []
    names: list[str] = []
    votes: list[list[int]] = []
    rows: list[int] = []
    at: list[int] = []
    length = 0
    lines = csv.reader(lines_of(table))
    header = next(lines, [])
    if tuple(cell.strip() for cell in header) != _HEADER:
        raise DataError(f"'{table}' should begin with the columns {', '.join(_HEADER)}; it has {header}.")
    for cells in filter(None, readable(lines, table)):
        try:
            usage, name, counts = _parsed(cells)
        except ValueError as reason:
            damaged(table, lines.line_num, reason)
        else:
            usages.append(usage)
            names.append(name)
            votes.append(counts)
            rows.append(length)
            at.append(lines.line_num)
        length += 1
    return VoteTable(usages, names, np.array(votes, np.int64).reshape(-1, len(VOTE_COLUMNS)), rows, at, length)


def without_single_votes(votes: np.ndarray) -> np.ndarray:
    """Set entries of one vote to zero.

    Args:
        votes: (N, 10).

    Returns:
        (N, 10).
    """
    return np.where(votes > 1, votes, 0)


def majority(votes: np.ndarray) -> np.ndarray:
    """Return the column with more than half of the votes, after single votes are dropped.

    Args:
        votes: (N, 10).

    Returns:
        (N,) indices; -1 where there is no majority.

    Example:
        >>> majority(np.array([[6, 4, 0, 0, 0, 0, 0, 0, 0, 0], [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]])).tolist()
        [0, -1]
    """
    kept = without_single_votes(votes)
    return np.where(2 * kept.max(1) > kept.sum(1), kept.argmax(1), -1)


def plain_argmax(votes: np.ndarray) -> np.ndarray:
    """Return the column with most votes, the first of them on a tie.

    Args:
        votes: (N, 10).

    Returns:
        (N,) indices.
    """
    return np.asarray(votes.argmax(1))


def probability(votes: np.ndarray) -> np.ndarray:
    """Return the top column under the authors' "probability" rule.

    The highest votes are added level by level until three columns or three quarters of the votes are included. A level
    with unknown or not-a-face ends the process, and counts only when nothing came before. A face is rejected when at
    most half of the votes, or more than three columns, are included.

    Args:
        votes: (N, 10).

    Returns:
        (N,) indices; -1 where the face is rejected.
    """
    left = without_single_votes(votes)
    total = left.sum(1)
    taken = np.zeros_like(left)
    going = np.ones(len(left), bool)
    for _ in range(3):
        going &= (4 * taken.sum(1) < 3 * total) & ((taken > 0).sum(1) < 3)
        level = left.max(1, keepdims=True)
        tied = (left == level) & (level > 0) & going[:, None]
        odd = tied[:, KNOWN:].any(1)
        first_odd = KNOWN + tied[:, KNOWN:].argmax(1)
        tied[:, KNOWN:] = False
        alone = odd & ~tied.any(1) & ~taken.any(1)
        tied[alone, first_odd[alone]] = True
        taken = np.where(tied, left, taken)
        left = np.where(tied, 0, left)
        going &= ~odd
    refused = (2 * taken.sum(1) <= total) | ((taken > 0).sum(1) > 3)
    return np.where(refused, -1, taken.argmax(1))


def any_expression(votes: np.ndarray) -> np.ndarray:
    """Return the expression with most votes, ignoring unknown and not-a-face.

    The first expression wins a tie.

    Args:
        votes: (N, 10).

    Returns:
        (N,) indices; -1 where no expression has a vote.

    Example:
        >>> any_expression(np.array([[1, 0, 0, 0, 0, 0, 0, 0, 9, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 10]])).tolist()
        [0, -1]
    """
    expressions = votes[:, :KNOWN]
    return np.where(expressions.sum(1) > 0, expressions.argmax(1), -1)


VOTE_RULES: dict[VoteRule, Callable[[np.ndarray], np.ndarray]] = {
    "majority": majority,
    "argmax": plain_argmax,
    "probability": probability,
    "all": any_expression,
}
_NO_LABEL: dict[VoteRule, str] = {
    "majority": "no majority",
    "argmax": "no argmax",
    "probability": "no probability",
    "all": "no vote for an expression",
}


def _parsed(cells: list[str]) -> tuple[str, str, list[int]]:
    """Parse a row into usage, image name and votes."""
    if len(cells) != len(_HEADER):
        raise ValueError(f"{len(cells)} columns instead of {len(_HEADER)}")
    usage, name = cells[0].strip(), cells[1].strip()
    if usage not in SPLITS:
        raise ValueError(f"usage '{usage}'")
    if name != Path(name).name:
        raise ValueError(f"image name '{name}'")
    counts = [int(cell) for cell in cells[2:]]
    if min(counts) < 0 or max(counts) > _MOST_VOTES:
        raise ValueError("votes out of range")
    return usage, name, counts


_TABLE = "fer2013new.csv"
_FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
_COPY_SPLITS = ("train", "validation", "test")
# `suprise` is how the copy spells it, which distinguishes it from other folders.
_COPY_CLASSES = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "suprise")
_COPY_MARKERS = [f"{split}/{name}" for split in _COPY_SPLITS for name in _COPY_CLASSES]
_PUBLISHED: dict[tuple[VoteRule, bool], tuple[int, int, int]] = {
    ("majority", True): (25060, 3199, 3153),
    ("majority", False): (24941, 3186, 3137),
    ("argmax", True): (28389, 3553, 3546),
    ("probability", True): (27956, 3505, 3505),
}
_TO_CANONICAL = np.array([VOTE_COLUMNS.index(name) for name in EXPRESSIONS])


class FERPlusOptions(ReaderOptions):
    """Options of the reader: the rule for votes, and whether contempt is a class."""

    split: Literal["train", "validation", "test"] | None = None
    votes: VoteRule = Field(
        "majority", description="how ten votes become a label: majority, argmax, probability or all"
    )
    contempt: bool = Field(True, description="whether contempt is a class")


@dataclass(frozen=True)
class _Found:
    """The location of a layout: the root of the samples, the table of votes, the file of pixels."""

    layout: str
    root: Path
    votes: Path | None = None
    pixels: Path | None = None


@register
class FERPlus(Reader):
    """The reader of FERPlus; see the module for layouts, rules, splits and licence.

    Example:
        `dcdan pack 'ferplus:/data/FERPlus?votes=all' --out packs/ferplus-all`
    """

    name = "ferplus"
    title = "FERPlus"
    licence = "votes: MIT (microsoft/FERPlus); images: FER2013, for research, not to be redistributed"
    extent = "35,887 grey faces of 48 x 48, ten votes each, 8 expressions"
    obtain = "votes: github.com/microsoft/FERPlus; pictures: fer2013.csv from Kaggle, put beside fer2013new.csv"
    Options = FERPlusOptions
    classes = EXPRESSIONS
    cropped = True
    channels = 1
    options: FERPlusOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        found = _found(self.folder if self.folder.is_dir() else self.folder.parent)
        if isinstance(found, str):
            raise wrong_layout(self.title, found, self.folder)
        self.root, self.layout, self._votes = found.root, found.layout, found.votes
        self._pixels = None if found.pixels is None else PixelTable(found.pixels)
        self.classes = EXPRESSIONS if self.options.contempt else EXPRESSIONS[:-1]
        if self._votes is None:
            if "votes" in self.options.model_fields_set and self.options.votes != "majority":
                raise UsageError(
                    f"votes={self.options.votes} is not possible with the folders in '{found.root}', which hold labels "
                    f"and no votes: leave it out, or get {_TABLE}."
                )
            self.split_rule = "as in the uploader's folders"
            self.warnings.append("the labels are the uploader's, without votes: the published counts do not apply")

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        found = _found(folder)
        return None if isinstance(found, str) else found.layout

    def official(self) -> Mapping[str, Mapping[str, int]]:
        """Return the published counts; see :meth:`Reader.official`.

        Returns:
            split -> class -> images.
        """
        counts = _PUBLISHED.get((self.options.votes, self.options.contempt))
        if counts is None or self._votes is None:
            return {}
        return {split: {"": count} for split, count in zip(SPLITS.values(), counts, strict=True)}

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        if self._votes is None:
            yield from self._copied()
            return
        table = read_votes(self._votes, self.damaged)
        paths = self._rows(self._votes, table) if self._pixels is not None else self._files(table)
        rule = self.options.votes
        counted = table.votes if rule in ("argmax", "all") else without_single_votes(table.votes)
        if rule == "all" and not self.options.contempt:
            counted = np.where(np.arange(len(VOTE_COLUMNS)) == VOTE_COLUMNS.index("contempt"), 0, counted)
        label = VOTE_RULES[rule](counted if rule == "all" else table.votes)
        soft = counted[:, _TO_CANONICAL[: len(self.classes)]].astype(np.float64)
        numbers = soft.sum(1)
        soft /= np.maximum(numbers[:, None], 1e-12)
        rows = zip(paths, table.names, table.usages, label, soft, numbers, strict=True)
        for path, name, usage, column, weights, number in rows:
            if path is None:
                continue
            if not name:
                self.skip("no image name")
            elif column < 0:
                self.skip(_NO_LABEL[rule])
            elif VOTE_COLUMNS[column] not in self.classes:
                self.skip("contempt" if column < KNOWN else "unknown or not a face")
            else:
                index, shares = self.classes.index(VOTE_COLUMNS[column]), tuple(weights.tolist())
                values = {"expression_votes": float(number)} if rule == "all" else {}
                yield Sample(path, index, shares, SPLITS[usage], values=values)

    def _files(self, table: VoteTable) -> Iterator[str]:
        """Yield the paths of the PNG files."""
        there = {usage: below(self.folder, name) for usage, name in _FOLDERS.items()}
        names = {usage: place.name if place else _FOLDERS[usage] for usage, place in there.items()}
        return (f"{names[usage]}/{name}" for usage, name in zip(table.usages, table.names, strict=True))

    def _rows(self, votes: Path, table: VoteTable) -> list[str | None]:
        """Return each row's name in the pixel file, None where the two tables say different usages."""
        assert self._pixels is not None
        usages = [row.usage for row in self._pixels.rows()]
        compared = self._pixels.has_usage
        if len(usages) != table.length:
            raise DataError(
                f"'{self._pixels.file}' has {len(usages)} rows and '{votes}' {table.length}: they must be the same "
                "pictures in the same order, so get both files again."
            )
        paths: list[str | None] = []
        for row, line, usage in zip(table.rows, table.lines, table.usages, strict=True):
            same = not compared or split_of(usages[row]) == SPLITS[usage]
            paths.append(self._pixels.name(row) if same else None)
            if not same:
                self.damaged(votes, line, f"usage '{usage}', in {self._pixels.file.name} '{usages[row][:40]}'")
        return paths

    def _copied(self) -> Iterator[Sample]:
        """Yield the samples of the Kaggle copy."""
        for split in _COPY_SPLITS:
            place = below(self.folder, split)
            for path, expression in labelled_pictures(place, self) if place is not None else ():
                name = path.relative_to(self.folder).as_posix()
                yield Sample(name, self.classes.index(expression), split=split)

    def load(self, sample: Sample) -> np.ndarray:
        """Load the picture of a sample; see :meth:`Reader.load`.

        Args:
            sample: a sample of this reader.

        Returns:
            `(H, W, 3) uint8` RGB.
        """
        return super().load(sample) if self._pixels is None else self._pixels.load(sample.path)


def _found(given: Path) -> _Found | str:
    """Return the location of the parts, given the folder, its `data` or its parent; or what is missing."""
    home = below(given, "FERPlus") or given / "FERPlus"
    in_data = below(given, "FER2013Train") is not None
    near = (given, home, below(given, "data"), given.parent if in_data else None)
    tables = [below(place, _TABLE) for place in near if place is not None]
    table = next((path for path in tables if path is not None and path.is_file()), None)
    if table is None:
        copy = root_with(given, _COPY_MARKERS, ("FERPlus",))
        return _Found("folders of the Kaggle copy", copy) if copy else f"{_TABLE} or the folders train/suprise etc."
    holders = (below(given, "data"), below(home, "data"), given)
    places = [place for place in holders if place is not None and below(place, "FER2013Train") is not None]
    pixels = pixel_file(table.parent, ("data", "fer2013")) or pixel_file(given, ("data", "fer2013"))
    # A clone of the authors' repository has the folders, but no picture in them.
    filled = [place for place in places if picture_names(below(place, "FER2013Train") or place)]
    if filled or (places and pixels is None):
        return _Found("PNG files", (filled or places)[0], table)
    return "data/FER2013Train or fer2013.csv" if pixels is None else _Found("fer2013.csv", pixels.parent, table, pixels)
