"""Ten votes to one label: FERPlus's table of votes and its three readings (Barsoum et al., ICMI 2016; votes under MIT).

The readings follow the authors' released code: single votes are taken for mistakes and dropped in *majority* and
*probability*; *argmax* keeps them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dcdan.data.fer_pixels import SPLITS
from dcdan.data.reader import lines_of, readable
from dcdan.errors import DataError

VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
KNOWN = 8
Rule = Literal["majority", "argmax", "probability"]
_HEADER = ("Usage", "Image name", *VOTE_COLUMNS)
_MOST_VOTES = 100


@dataclass(frozen=True)
class VoteTable:
    """The good rows of `fer2013new.csv`.

    usages, names: of each row; votes: (N, 10); rows: number of each row in the file, from 0; lines: its line, from 1;
    length: rows in the file, damaged ones too, blank lines not.
    """

    usages: list[str]
    names: list[str]
    votes: np.ndarray
    rows: list[int]
    lines: list[int]
    length: int


def read_votes(table: Path, damaged: Callable[[Path, int, object], None]) -> VoteTable:
    """Read `fer2013new.csv`; `damaged` is told file, line and reason of each row that cannot be read.

    Raises DataError when the columns are others.
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


RULES: dict[Rule, Callable[[np.ndarray], np.ndarray]] = {
    "majority": majority,
    "argmax": plain_argmax,
    "probability": probability,
}


def _parsed(cells: list[str]) -> tuple[str, str, list[int]]:
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
