"""An inconsistency of the paper: the record that every rule writes, and what counts as the same figure in print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dcdan.evaluation.paper.published import PaperTable

Tables = Sequence[PaperTable]


@dataclass(frozen=True, slots=True)
class Finding:
    """An inconsistency: which rule found it, the tables it touches, what is printed, what comes out, in a sentence."""

    rule: str
    tables: tuple[int, ...]
    printed: float | None
    recomputed: float | None
    sentence: str


def prints_as(value: float, printed: float, decimals: int) -> bool:
    """Return whether a value rounds to what is printed, either way on a tie."""
    return abs(value - printed) <= 0.5 * 10.0**-decimals + 1e-9
