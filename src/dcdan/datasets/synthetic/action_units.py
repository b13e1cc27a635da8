"""Facial action units (FACS) and the combinations that form the eight expressions.

The intensity of a unit is a pair (left, right) in 0..1; left means left in the image.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Units = Mapping[int, FloatArray]

ACTION_UNITS: dict[int, str] = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    25: "lips part",
    26: "jaw drop",
}

EXPRESSION_UNITS: dict[str, tuple[int, ...]] = {
    "surprise": (1, 2, 5, 26),
    "fear": (1, 2, 4, 5, 20, 26),
    "disgust": (9, 15, 17),
    "happiness": (6, 12),
    "sadness": (1, 4, 15),
    "anger": (4, 5, 7, 23),
    "neutral": (),
    "contempt": (12, 14),
}

ONE_SIDED = frozenset({"contempt"})
INTENSITY = (0.35, 1.0)
_IDLE = 0.045
_ASYMMETRY = 0.06


def no_units() -> dict[int, FloatArray]:
    """Return a face at rest: unit number -> ``(2,) float64`` zeros."""
    return {number: np.zeros(2) for number in ACTION_UNITS}


def units_of(expression: str, intensity: float = 1.0, side: int = 0) -> dict[int, FloatArray]:
    """Return the action units of an expression at one intensity; all other units are zero.

    Args:
        expression: One of the eight expressions.
        intensity: 0..1.
        side: Side that a one-sided expression (contempt) moves: 0 left, 1 right in the image.

    Returns:
        Unit number -> ``(2,) float64`` intensities (left, right).

    Example:
        >>> units = units_of("happiness", 0.5)
        >>> units[12].tolist(), units[4].tolist()
        ([0.5, 0.5], [0.0, 0.0])
    """
    units = no_units()
    for number in EXPRESSION_UNITS[expression]:
        if expression in ONE_SIDED:
            units[number][side] = intensity
        else:
            units[number][:] = intensity
    return units


def draw_units(rng: np.random.Generator, expression: str) -> dict[int, FloatArray]:
    """Sample the action units of one face.

    The units of the expression share an intensity in 0.35..1, with small variations between units and between the two
    sides. All other units have a small intensity, because no real face is completely at rest.

    Args:
        rng: Random number generator.
        expression: One of the eight expressions.

    Returns:
        Unit number -> ``(2,) float64`` intensities (left, right).
    """
    low, high = INTENSITY
    strength = rng.uniform(low, high)
    side = int(rng.integers(2))
    idle = np.minimum(rng.exponential(_IDLE, len(ACTION_UNITS)), 4 * _IDLE)
    own = rng.uniform(0.85, 1.15, len(ACTION_UNITS))
    sides = rng.normal(0.0, _ASYMMETRY, (len(ACTION_UNITS), 2))
    target = units_of(expression, 1.0, side)
    units: dict[int, FloatArray] = {}
    for row, number in enumerate(ACTION_UNITS):
        level = np.clip(strength * own[row] * (1.0 + sides[row]), low, high) * target[number]
        units[number] = np.maximum(level, idle[row])
    return units
