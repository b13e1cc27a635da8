"""Answers and naive sums that the tests of corrections share."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral", "contempt")


def answers(count: int, classes: int = 8, seed: int = 0, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities (N, K) that lean to the last class, and labels (N,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    z = scale * np.eye(classes)[labels] + rng.normal(size=(count, classes)) + np.eye(classes)[-1]
    return naive_log_softmax(z), labels


def naive_log_softmax(z: np.ndarray) -> np.ndarray:
    """Row by row, with Python's own sum."""
    out = np.array(z, np.float64)
    for row in out:
        high = max(row)
        row -= high + math.log(math.fsum(math.exp(value - high) for value in row))
    return out


log_answers = st.integers(2, 6).flatmap(
    lambda classes: st.integers(0, 40).flatmap(
        lambda count: arrays(np.float64, (count, classes), elements=st.floats(-20, 20)).map(naive_log_softmax)
    )
)


def shares_of(draw: np.ndarray) -> np.ndarray:
    """Return positive shares of any positive numbers."""
    return np.asarray(draw / draw.sum())
