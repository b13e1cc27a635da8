"""Learning rates as pure functions of the share of a stage that is done."""

from __future__ import annotations

import math

RISE = 0.25
START = 0.1


def learning_rate(schedule: str, progress: float, cycles: int = 1) -> float:
    """Return the factor in [0, 1] on the highest learning rate at ``progress`` in [0, 1].

    ``one-cycle`` (Smith, 2018): cosine rise from a tenth over the first quarter, cosine fall to 0. ``cosine``: the fall
    alone, after a short rise over the first fiftieth. Of several ``cycles`` of equal length each has half the height of
    the one before (``triangular2``; Smith, 2017).
    """
    if cycles > 1:
        cycle = min(int(progress * cycles), cycles - 1)
        return learning_rate(schedule, progress * cycles - cycle) * 0.5**cycle
    rise = RISE if schedule == "one-cycle" else 0.02
    if progress < rise:
        return START + (1 - START) * (1 - math.cos(math.pi * progress / rise)) / 2
    return (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2
