"""What AffectNet says of one picture: a row of the older release's lists, or the newer release's `.npy` files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dcdan.data.layout import inside
from dcdan.data.npy_annotation import read_number, read_numbers

CODES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
LEFT_OUT = ("none", "uncertain", "no face")
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_POINTS = 68
_UNKNOWN = -2.0
_EMPTY = ("", "null", "nan", "none")

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class Annotation(NamedTuple):
    """path: of the picture, as the list has it. code: 0 to 10. The rest as in a Sample, and empty for codes above 7."""

    path: str
    code: int
    box: Box | None = None
    landmarks: tuple[Point, ...] | None = None
    values: Mapping[str, float] = {}


def five_points(flat: Sequence[float]) -> tuple[Point, ...] | None:
    """Return eye centres, nose tip and mouth corners of 68 points x0, y0, x1, ...; None when the eyes are one point.

    The points are those of iBUG 300-W, counted from 0: eyes 36 to 41 and 42 to 47, nose tip 30, mouth corners 48 and
    54, the left in the picture first. Raises ValueError for another number of them, or one that is not finite.
    """
    if len(flat) != 2 * _POINTS or not all(map(math.isfinite, flat)):
        raise ValueError(f"{len(flat)} landmark coordinates instead of {2 * _POINTS}, or one is not finite")
    left, right = (_centre(flat, 36), _centre(flat, 42))
    if left == right:
        return None
    return left, right, *((flat[2 * point], flat[2 * point + 1]) for point in (30, 48, 54))


def _centre(flat: Sequence[float], first: int) -> Point:
    """Return the mean of the six points of an eye."""
    span = slice(2 * first, 2 * first + 12)
    return sum(flat[span][::2]) / 6, sum(flat[span][1::2]) / 6


def code_of(number: float) -> int:
    """Return the code 0 to 10 of an expression; raise ValueError for any other number."""
    last = len(CODES) + len(LEFT_OUT) - 1
    if number not in range(last + 1):
        raise ValueError(f"expression {number:g} is none of 0 to {last}")
    return int(number)


def columns_in(cells: Sequence[str]) -> dict[str, int] | None:
    """Return column -> place for the cells of a header; None when they are a row already."""
    known = {name.lower(): name for name in COLUMNS}
    found = {known[cell.lower()]: place for place, cell in enumerate(cells) if cell.lower() in known}
    return found if COLUMNS[0] in found else None


def from_row(cells: Sequence[str], columns: Mapping[str, int]) -> Annotation:
    """Return what a row of a list says; raise ValueError when it is damaged.

    Only path and expression must be there: a face without a box has negative sides, and -2 is no valence or arousal.
    """
    row = {name: cells[place] for name, place in columns.items()}
    path, code = inside(row[COLUMNS[0]]), code_of(float(row["expression"]))
    if code >= len(CODES):
        return Annotation(path, code)
    sides = [_number(row.get(name, "")) for name in COLUMNS[1:5]]
    x, y, width, height = (0.0 if side is None else side for side in sides)
    box = (x, y, x + width, y + height) if width > 0 and height > 0 else None
    marks = row.get("facial_landmarks", "").strip("; ")
    points = None if marks.lower() in _EMPTY else five_points([float(mark) for mark in marks.split(";")])
    values = {name: _number(row.get(name, "")) for name in ("valence", "arousal")}
    return Annotation(path, code, box, points, _known(values))


def from_files(folder: Path, stem: str, path: str) -> Annotation:
    """Return what the files `stem_{exp,val,aro,lnd}.npy` of a folder say; only the first must be there.

    Raises OSError or ValueError when one is damaged.
    """
    code = code_of(read_number(folder / f"{stem}_exp.npy"))
    if code >= len(CODES):
        return Annotation(path, code)
    values: dict[str, float | None] = {}
    for name, ending in (("valence", "val"), ("arousal", "aro")):
        try:
            values[name] = read_number(folder / f"{stem}_{ending}.npy")
        except FileNotFoundError:
            values[name] = None
    try:
        points = five_points(read_numbers(folder / f"{stem}_lnd.npy"))
    except FileNotFoundError:
        points = None
    return Annotation(path, code, None, points, _known(values))


def _number(cell: str) -> float | None:
    """Return the finite number in a cell, None when it is empty; raise ValueError for anything else."""
    if cell.lower() in _EMPTY:
        return None
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError(f"'{cell}' is not finite")
    return number


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None and value != _UNKNOWN}
