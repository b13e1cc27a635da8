"""Probabilities that mean what they say: the temperature, its error, the bar of "unsure", and sets of classes.

All of it follows from what a model chose for N held-out faces whose classes are known; numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BINS = 15
COLDEST, HOTTEST = 0.1, 10.0
"""Bounds of the temperature: where every held-out answer is right, the likeliest one would be 0."""
_HALVINGS = 60


class Bins(NamedTuple):
    """Equal-width bins of confidence, ``(B,)`` each: faces, mean confidence and accuracy; NaN in empty ones."""

    faces: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats

    @property
    def error(self) -> float:
        """Mean distance between confidence and accuracy, weighted by faces; NaN without faces."""
        total = int(self.faces.sum())
        gaps = self.faces * np.abs(np.nan_to_num(self.confidence) - np.nan_to_num(self.accuracy))
        return float(gaps.sum() / total) if total else math.nan


def tempered(probabilities: ArrayLike, temperature: float) -> Floats:
    """Return ``(N, K)`` probabilities raised to ``1 / temperature``, rows scaled to sum to 1 (models/selection.py)."""
    return _softmax(_logarithms(probabilities) / temperature)


def fit_temperature(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the temperature at which the labels are likeliest (Guo et al., ICML 2017, section 4.2).

    In ``1 / T`` the negative log-likelihood is convex, so the only place where its slope vanishes is found by halving.

    Args:
        probabilities: (N, K) chosen probabilities at temperature 1.
        labels: (N,) true class indices in ``[0, K)``.
        weights: (N,) of the faces, at least 0; None for all alike. With ratios of densities the likelihood is that of
            another domain (CPCS, Park et al., AISTATS 2020; TransCal, Wang et al., NeurIPS 2020).

    Returns:
        ``COLDEST`` .. ``HOTTEST``; 1 without a face of any weight.
    """
    logits = _logarithms(probabilities)
    given = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64)
    if not len(logits) or not given.sum() > 0:
        return 1.0
    of_truth = np.take_along_axis(logits, np.asarray(labels, np.int64)[:, None], axis=1)[:, 0]
    low, high = 1.0 / HOTTEST, 1.0 / COLDEST
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        expected = (_softmax(middle * logits) * logits).sum(axis=1)
        if float((given * (expected - of_truth)).sum()) < 0:
            low = middle
        else:
            high = middle
    return 1.0 / (0.5 * (low + high))


def matched_temperature(probabilities: ArrayLike, correct: ArrayLike, target: ArrayLike) -> tuple[float, float]:
    """Return a temperature for faces without labels, and the accuracy on them that it rests on: an estimate.

    The accuracy is that of ATC (Garg et al., ICLR 2022): the share of target answers that are as confident as the
    surest held-out ones, as many of those as are right. At the temperature the mean confidence on the target equals it.

    Args:
        probabilities: (N, K) chosen probabilities of held-out faces at temperature 1.
        correct: (N,) whether each of their answers is right.
        target: (M, K) chosen probabilities of target faces at temperature 1.
    """
    held_out = np.asarray(probabilities, np.float64).max(axis=1)
    logits = _logarithms(target)
    bar = np.quantile(held_out, 1.0 - float(np.asarray(correct, np.float64).mean()))
    wanted = float((np.asarray(target, np.float64).max(axis=1) >= bar).mean())
    low, high = 1.0 / HOTTEST, 1.0 / COLDEST
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if float(_softmax(middle * logits).max(axis=1).mean()) < wanted:
            low = middle
        else:
            high = middle
    return 1.0 / (0.5 * (low + high)), wanted


def binned(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> Bins:
    """Sort answers into equal-width bins of confidence; bin b holds those in ``(b / bins, (b + 1) / bins]``.

    Args:
        confidence: (N,) probability given to the predicted class, 0..1.
        correct: (N,) whether the prediction was right.
        bins: number of bins.

    Raises:
        ValueError: when the lengths differ or a confidence lies outside 0..1.
    """
    given = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if given.shape != right.shape or given.ndim != 1:
        raise ValueError(f"confidence {given.shape} and correct {right.shape} must be vectors of one length")
    if not np.all((given >= 0.0) & (given <= 1.0 + 1e-6)):
        raise ValueError("a confidence lies outside 0..1")
    index = np.clip(np.ceil(given * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    share = np.where(count > 0, 1.0 / np.maximum(count, 1), np.nan)
    said, found = (np.bincount(index, weights=values, minlength=bins).astype(np.float64) for values in (given, right))
    return Bins(count.astype(np.int64), said * share, found * share)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over the bins of :func:`binned`, weighted by their size.

    Naeini et al., AAAI 2015; Guo et al., ICML 2017, Eq. 3.

    Returns:
        0 (calibrated) .. 1; NaN without samples.
    """
    return binned(confidence, correct, bins).error


def unsure_below(confidence: ArrayLike, correct: ArrayLike, wanted: float) -> float:
    """Return the smallest confidence above which at least the share ``wanted`` of the answers is right.

    Args:
        confidence: (N,) probability given to the predicted class, 0..1.
        correct: (N,) whether the prediction was right.
        wanted: share of right answers, 0..1.

    Returns:
        0 where all answers together are right often enough (or there are none), 1 where not even the surest are.
    """
    given = np.asarray(confidence, np.float64)
    if not len(given):
        return 0.0
    order = np.argsort(-given, kind="stable")
    ranked = given[order]
    share = np.cumsum(np.asarray(correct, np.float64)[order]) / np.arange(1, len(given) + 1)
    # Answers of one confidence stand or fall together.
    last = np.append(ranked[1:] < ranked[:-1], True)
    good = np.flatnonzero(last & (share >= wanted - 1e-12))
    if not len(good):
        return 1.0
    return 0.0 if good[-1] == len(given) - 1 else float(ranked[good[-1]])


def conformal_thresholds(probabilities: ArrayLike, labels: ArrayLike, levels: Sequence[float]) -> dict[str, float]:
    """Return the probability from which on a class is in the set, for each share of faces to be covered.

    Split conformal prediction with the score ``1 - p`` of the true class (LAC, Sadinle et al., JASA 2019): of faces
    drawn like the held-out ones, the true class is in the set of at least the share ``level``. The finite
    sample is paid for by taking the ``ceil((n + 1) level)``-th score; where n is too small, every class is in the set.

    Args:
        probabilities: (N, K) calibrated probabilities.
        labels: (N,) true class indices in ``[0, K)``.
        levels: shares to cover, 0..1.

    Returns:
        level as text ("0.9") -> threshold, 0..1.
    """
    p = np.asarray(probabilities, np.float64)
    of_truth = np.take_along_axis(p, np.asarray(labels, np.int64)[:, None], axis=1)[:, 0]
    ranked = np.sort(of_truth)[::-1]
    places = {f"{level:g}": math.ceil((len(ranked) + 1) * level - 1e-9) for level in levels}
    return {level: float(ranked[place - 1]) if place <= len(ranked) else 0.0 for level, place in places.items()}


def _logarithms(probabilities: ArrayLike) -> Floats:
    p = np.asarray(probabilities, np.float64)
    logarithms: Floats = np.log(np.maximum(p, np.finfo(np.float64).tiny))
    return logarithms


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
