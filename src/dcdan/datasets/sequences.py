"""Data sets of short sequences from a neutral face to the apex of an expression: which frames are read, and as what.

CK+ and Oulu-CASIA are such sets. The last frames show the expression; the first one is neutral.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from pydantic import Field

from dcdan.datasets.folds import FoldOptions
from dcdan.expressions import EXPRESSIONS

_T = TypeVar("_T")


class SequenceOptions(FoldOptions):
    """`frames`: how many last frames show the expression; `neutral`: whether the first frame is taken as neutral."""

    frames: int = Field(3, ge=1, le=10, description="the last so many frames show the expression")
    neutral: bool = Field(True, description="take the first frame as neutral")


def chosen_frames(frames: Sequence[_T], last: int, neutral: bool) -> Iterator[tuple[_T, bool]]:
    """Yield the first frame, if `neutral`, and the `last` frames, each with whether it is the neutral one.

    A sequence that is too short for both keeps its last frames only.
    """
    if neutral and len(frames) > last:
        yield frames[0], True
    yield from ((frame, False) for frame in frames[-last:])


def without_neutral(names: Iterable[str] = EXPRESSIONS) -> tuple[str, ...]:
    """Return the names but neutral, in their order."""
    return tuple(name for name in names if name != "neutral")
