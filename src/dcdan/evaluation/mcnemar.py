"""McNemar's test: whether two models differ on the same faces (McNemar, Psychometrika 1947; the exact form)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class McNemar(NamedTuple):
    """Faces that only one of two models names rightly, and the two-sided probability of such a difference by chance."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Compare which of N faces two models name rightly, both ``(N,)`` bool in the same order.

    Under the null hypothesis a face on which they differ is as likely to be right for one as for the other.

    Raises:
        ValueError: when the two are not of the same faces.
    """
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} answers cannot be of the same faces")
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if not only_first + only_second:
        return McNemar(0, 0, 1.0)
    from scipy.stats import binomtest

    return McNemar(only_first, only_second, float(binomtest(only_first, only_first + only_second, 0.5).pvalue))
