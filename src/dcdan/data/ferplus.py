"""FERPlus: the FER2013 crops with ten votes each (Barsoum et al., ICMI 2016; votes under MIT).

The three readings of the votes follow the authors' released code: single votes are taken for mistakes and dropped in
*majority* and *probability*; *argmax* keeps them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from dcdan.data.reader import Reader, ReaderOptions, Sample, readable, register
from dcdan.errors import DataError
from dcdan.expressions import EXPRESSIONS

VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
_HEADER = ("Usage", "Image name", *VOTE_COLUMNS)
_SPLITS = {"Training": ("train", "Train"), "PublicTest": ("validation", "Valid"), "PrivateTest": ("test", "Test")}
_KNOWN = 8
_TO_CANONICAL = np.array([VOTE_COLUMNS.index(name) for name in EXPRESSIONS])
Rule = Literal["majority", "argmax", "probability"]


def without_single_votes(votes: np.ndarray) -> np.ndarray:
    """Return votes (N, 10) with the entries of one vote set to zero."""
    return np.where(votes > 1, votes, 0)


def majority(votes: np.ndarray) -> np.ndarray:
    """Return the winning column (N,) of votes (N, 10), -1 where none has over half once single votes are gone."""
    kept = without_single_votes(votes)
    return np.where(2 * kept.max(1) > kept.sum(1), kept.argmax(1), -1)


def plain_argmax(votes: np.ndarray) -> np.ndarray:
    """Return the column with most votes (N,); the first of them on a tie."""
    return np.asarray(votes.argmax(1))


def probability(votes: np.ndarray) -> np.ndarray:
    """Return the top column (N,) of the authors' "probability" reading, -1 where it is refused.

    The highest votes are added level by level until three columns or three quarters of the votes are in. A level with
    unknown or not-a-face ends it, and counts only when nothing came before. It is refused when half of the votes or
    less are in, or more than three columns.
    """
    left = without_single_votes(votes)
    total = left.sum(1)
    taken = np.zeros_like(left)
    going = np.ones(len(left), bool)
    for _ in range(3):
        going &= (4 * taken.sum(1) < 3 * total) & ((taken > 0).sum(1) < 3)
        level = left.max(1, keepdims=True)
        tied = (left == level) & (level > 0) & going[:, None]
        odd = tied[:, _KNOWN:].any(1)
        first_odd = _KNOWN + tied[:, _KNOWN:].argmax(1)
        tied[:, _KNOWN:] = False
        alone = odd & ~tied.any(1) & ~taken.any(1)
        tied[alone, first_odd[alone]] = True
        taken = np.where(tied, left, taken)
        left = np.where(tied, 0, left)
        going &= ~odd
    refused = (2 * taken.sum(1) <= total) | ((taken > 0).sum(1) > 3)
    return np.where(refused, -1, taken.argmax(1))


_RULES = {"majority": majority, "argmax": plain_argmax, "probability": probability}


class FERPlusOptions(ReaderOptions):
    """`votes`: how ten votes become a label; `contempt`: whether contempt is a class."""

    split: Literal["train", "validation", "test"] | None = None
    votes: Rule = "majority"
    contempt: bool = True


@register
class FERPlus(Reader):
    """`fer2013new.csv` beside `data/FER2013{Train,Valid,Test}/fer#######.png`; grey crops of 48 x 48."""

    name = "ferplus"
    title = "FERPlus"
    licence = "votes: MIT (microsoft/FERPlus); images: FER2013, for research, not to be redistributed"
    Options = FERPlusOptions
    cropped = True
    channels = 1
    options: FERPlusOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        self.table, self.root = self._find(self.folder)
        self.classes = EXPRESSIONS if self.options.contempt else EXPRESSIONS[:-1]

    @staticmethod
    def _find(given: Path) -> tuple[Path, Path]:
        """Return the vote table and the folder of the three picture folders, given either of them or their parent."""
        tables = [place / "fer2013new.csv" for place in (given, given.parent, given / "FERPlus", given / "data")]
        table = next((path for path in tables if path.is_file()), None)
        folders = [given / "data", given, given / "FERPlus" / "data", given.parent / "data"]
        pictures = next((path for path in folders if (path / "FER2013Train").is_dir()), None)
        if table is None or pictures is None:
            missing = "fer2013new.csv" if table is None else "data/FER2013Train"
            found = ", ".join(sorted(child.name for child in given.iterdir())[:6]) if given.is_dir() else "a file"
            raise DataError(f"FERPlus looked for {missing} in '{given}' and found {found or 'an empty folder'}.")
        return table, pictures

    def samples(self) -> Iterator[Sample]:
        rows, votes = self._read()
        label = _RULES[self.options.votes](votes)
        kept = votes if self.options.votes == "argmax" else without_single_votes(votes)
        soft = kept[:, _TO_CANONICAL[: len(self.classes)]].astype(np.float64)
        soft /= np.maximum(soft.sum(1, keepdims=True), 1e-12)
        for (usage, name), column, weights in zip(rows, label, soft, strict=True):
            if not name:
                self.skip("no image name")
            elif column < 0:
                self.skip(f"no {self.options.votes}")
            elif VOTE_COLUMNS[column] not in self.classes:
                self.skip("contempt" if column < _KNOWN else "unknown or not a face")
            else:
                split, folder = _SPLITS[usage]
                index = self.classes.index(VOTE_COLUMNS[column])
                yield Sample(f"FER2013{folder}/{name}", index, tuple(weights.tolist()), split)

    def _read(self) -> tuple[list[tuple[str, str]], np.ndarray]:
        """Return usage and picture name of each good row, and the votes (N, 10); damaged rows are counted by line."""
        rows: list[tuple[str, str]] = []
        votes: list[list[int]] = []
        with self.table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            if tuple(cell.strip() for cell in header) != _HEADER:
                raise DataError(f"'{self.table}' should begin with the columns {', '.join(_HEADER)}; it has {header}.")
            for cells in readable(lines, self.table):
                try:
                    rows.append(_named(cells))
                    votes.append(_counts(cells))
                except ValueError as reason:
                    del rows[len(votes) :]
                    self.damaged(self.table, lines.line_num, reason)
        return rows, np.array(votes, np.int64).reshape(-1, len(VOTE_COLUMNS))


def _named(cells: list[str]) -> tuple[str, str]:
    if len(cells) != len(_HEADER):
        raise ValueError(f"{len(cells)} columns instead of {len(_HEADER)}")
    usage, name = cells[0].strip(), cells[1].strip()
    if usage not in _SPLITS:
        raise ValueError(f"usage '{usage}'")
    if name != Path(name).name:
        raise ValueError(f"image name '{name}'")
    return usage, name


def _counts(cells: list[str]) -> list[int]:
    counts = [int(cell) for cell in cells[2:]]
    if min(counts) < 0 or max(counts) > 100:
        raise ValueError("votes out of range")
    return counts
