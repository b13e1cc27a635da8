"""The small text files that RAF-DB keeps for each picture: landmarks, gender, race and age; and a box.

The release describes them nowhere in full; they are read as the published code of others reads them, by their numbers
alone, whatever stands between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from dcdan.bounded import read_text
from dcdan.data.layout import below

Point = tuple[float, float]
_T = TypeVar("_T")

_POINTS = 5
_WORDS: Mapping[str, tuple[str, ...]] = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}


class Attributes(NamedTuple):
    """landmarks: five points in pixels, as in a Sample. groups: gender, race and age in words, where they are known."""

    landmarks: tuple[Point, ...]
    groups: dict[str, str]


def read_attributes(text: str) -> Attributes:
    """Return what `*_manu_attri.txt` says: five lines of x and y, then a code each for gender, race and age.

    A code that has no word is left out. Raises ValueError for anything but 13 finite numbers.
    """
    numbers = _numbers(text, 2 * _POINTS + len(_WORDS))
    points = [(numbers[2 * i], numbers[2 * i + 1]) for i in range(_POINTS)]
    groups = {}
    for (name, words), code in zip(_WORDS.items(), numbers[2 * _POINTS :], strict=True):
        if code in range(len(words)):
            groups[name] = words[int(code)]
    return Attributes(left_first(points), groups)


def read_box(text: str) -> tuple[float, float, float, float]:
    """Return what `*_boundingbox.txt` says: x0, y0, x1, y1 in pixels; raise ValueError when it is no box."""
    x0, y0, x1, y1 = _numbers(text, 4)
    if x0 >= x1 or y0 >= y1:
        raise ValueError("the box has no area")
    return x0, y0, x1, y1


def left_first(points: list[Point]) -> tuple[Point, ...]:
    """Return eye, eye, nose, mouth corner, mouth corner with the one that is left in the picture first.

    The side of the line between the eyes on which the mouth lies tells left, also in a tilted or inverted face.
    """
    first, second, nose, *mouth = points
    across = (second[0] - first[0], second[1] - first[1])
    down = (mouth[0][0] + mouth[1][0] - 2 * first[0], mouth[0][1] + mouth[1][1] - 2 * first[1])
    if across[0] * down[1] - across[1] * down[0] < 0:
        first, second, across = second, first, (-across[0], -across[1])
    wide = (mouth[1][0] - mouth[0][0], mouth[1][1] - mouth[0][1])
    if across[0] * wide[0] + across[1] * wide[1] < 0:
        mouth = mouth[::-1]
    return first, second, nose, *mouth


class Annotations:
    """The annotations of a subset's folder; each of its two folders may be absent, and so may any file in them.

    `damaged` counts the files that are there and cannot be read.
    """

    def __init__(self, home: Path) -> None:
        self._manual = below(home, "Annotation/manual")
        self._boxes = below(home, "Annotation/boundingbox")
        self.damaged = 0

    def attributes(self, stem: str) -> Attributes | None:
        """Return landmarks and groups of the picture `stem`, or None."""
        return self._read(self._manual, f"{stem}_manu_attri.txt", read_attributes)

    def box(self, stem: str) -> tuple[float, float, float, float] | None:
        """Return the box of the picture `stem`, or None."""
        return self._read(self._boxes, f"{stem}_boundingbox.txt", read_box)

    def _read(self, folder: Path | None, name: str, reading: Callable[[str], _T]) -> _T | None:
        if folder is None:
            return None
        try:
            return reading(read_text(folder / name).removeprefix("\ufeff"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            self.damaged += 1
            return None


def _numbers(text: str, count: int) -> list[float]:
    numbers = [float(word) for word in text.split()]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{len(numbers)} numbers instead of {count}, or one is not finite")
    return numbers
