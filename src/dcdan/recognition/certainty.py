"""What the calibration of a model says of its answers: which are unsure, and which classes cannot be ruled out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dcdan.errors import UsageError
from dcdan.recognition.model_file import Calibration


def set_threshold(calibration: Calibration, level: float) -> float:
    """Return the probability from which on a class is in the conformal set of a level, 0..1.

    Raises:
        UsageError: when the model was not calibrated for that level; its levels are named.
    """
    found = calibration.conformal.get(f"{level:g}")
    if found is None:
        known = ", ".join(sorted(calibration.conformal)) or "none, as it was trained without a calibration"
        raise UsageError(f"The model has no sets for the level {level:g}. It has: {known}.")
    return found


def candidate_sets(
    probabilities: NDArray[np.float32], threshold: float, classes: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the classes of each face's conformal set, the likeliest first.

    Args:
        probabilities: (N, K) calibrated.
        threshold: see :func:`set_threshold`.
        classes: K names.

    Returns:
        N tuples; the likeliest class is always in, which no promise of coverage forbids.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sizes = np.maximum((probabilities >= threshold).sum(axis=1), 1)
    return [
        tuple(classes[index] for index in row[:size]) for row, size in zip(order.tolist(), sizes.tolist(), strict=True)
    ]
