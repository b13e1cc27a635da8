"""Learning rates as pure functions of the share of a stage that is done."""

from __future__ import annotations

import math

RISE = 0.25
START = 0.1


def learning_rate(schedule: str, progress: float) -> float:
    """Return the factor in [0, 1] on the highest learning rate at ``progress`` in [0, 1].

    ``one-cycle`` (Smith, 2018): cosine rise from a tenth over the first quarter, cosine fall to 0. ``cosine``: the fall
    alone, after a short rise over the first fiftieth.
    """
    rise = RISE if schedule == "one-cycle" else 0.02
    if progress < rise:
        return START + (1 - START) * (1 - math.cos(math.pi * progress / rise)) / 2
    return (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2
