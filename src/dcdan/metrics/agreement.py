"""Agreement of two people who label the same faces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dcdan.metrics.classification import confusion_matrix


class Agreement(NamedTuple):
    """Agreement of two labellers.

    Attributes:
        kappa: Cohen's kappa, -1..1: 1 full agreement, 0 that of chance; NaN without common faces, or where both
            always gave one and the same class.
        observed: share of equal labels, 0..1; NaN without common faces.
        faces: number of faces that both have labelled.
    """

    kappa: float
    observed: float
    faces: int


def cohen_kappa(first: ArrayLike, second: ArrayLike, classes: int) -> Agreement:
    """Return Cohen's kappa ``(p_o - p_e) / (1 - p_e)`` (Educational and Psychological Measurement 20, 1960).

    Args:
        first: ``(N,)`` class indices of one labeller.
        second: ``(N,)`` class indices of the other, of the same faces.
        classes: number of classes K.

    Returns:
        The agreement; ``p_e`` is the agreement by chance, from the shares of the classes in both.

    Example:
        >>> found = cohen_kappa([0, 0, 1, 1], [0, 0, 1, 0], 2)
        >>> found.kappa, found.observed, found.faces
        (0.5, 0.75, 4)
    """
    table = np.asarray(confusion_matrix(first, second, classes), np.float64)
    count = table.sum()
    if count == 0:
        return Agreement(float("nan"), float("nan"), 0)
    observed = float(np.trace(table) / count)
    chance = float(table.sum(0) @ table.sum(1) / count**2)
    kappa = (observed - chance) / (1 - chance) if chance < 1 else float("nan")
    return Agreement(float(kappa), observed, int(count))
