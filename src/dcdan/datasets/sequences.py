"""Options and frame selection of data sets with short sequences, from a neutral face to the apex of an expression.

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
    """Options of data sets of sequences: how many last frames are read, and whether the first one is, as neutral."""

    frames: int = Field(3, ge=1, le=10, description="read so many last frames, which show the expression")
    neutral: bool = Field(True, description="read the first frame as neutral")


def chosen_frames(frames: Sequence[_T], last: int, neutral: bool) -> Iterator[tuple[_T, bool]]:
    """Choose the frames of a sequence.

    Args:
        frames: the frames in the order of time.
        last: how many last frames show the expression.
        neutral: whether to choose the first frame as neutral. A sequence of `last` frames or fewer has none.

    Yields:
        Each chosen frame, with whether it is the neutral one.

    Example:
        >>> list(chosen_frames("abcde", last=2, neutral=True))
        [('a', True), ('d', False), ('e', False)]
    """
    if neutral and len(frames) > last:
        yield frames[0], True
    yield from ((frame, False) for frame in frames[-last:])


def without_neutral(names: Iterable[str] = EXPRESSIONS) -> tuple[str, ...]:
    """Return the names in their order, without neutral.

    Args:
        names: names of expressions.

    Returns:
        The others.
    """
    return tuple(name for name in names if name != "neutral")
