"""Calibration of class probabilities: temperature, calibration error, threshold of "unsure", conformal sets.

Every function takes the probabilities of N held-out faces and their true classes. NumPy alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BINS = 15
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.5, 3.0
"""Bounds of a fitted temperature. Without them, held-out answers that are all correct give a temperature near 0, at
which every answer claims a probability of 1."""
MINIMUM_FACES = 100
"""Number of faces below which no temperature is fitted."""
_BISECTIONS = 60


class Bins(NamedTuple):
    """Equal-width bins of confidence, the data of a reliability diagram.

    Attributes:
        faces: ``(B,) int64``, number of faces.
        confidence: ``(B,) float64``, mean confidence, 0..1; NaN in an empty bin.
        accuracy: ``(B,) float64``, share of correct answers, 0..1; NaN in an empty bin.
    """

    faces: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats

    @property
    def error(self) -> float:
        """Mean distance between confidence and accuracy, weighted by faces, 0..1; NaN without faces."""
        total = int(self.faces.sum())
        gaps = self.faces * np.abs(np.nan_to_num(self.confidence) - np.nan_to_num(self.accuracy))
        return float(gaps.sum() / total) if total else math.nan


def tempered(probabilities: ArrayLike, temperature: float) -> Floats:
    """Return probabilities at another temperature: raised to ``1 / temperature``, rows scaled to sum to 1.

    Args:
        probabilities: ``(N, K)``, 0..1.
        temperature: above 0. Above 1 the probabilities become more even, below 1 more extreme.

    Returns:
        ``(N, K) float64``. The order of the classes in a row does not change.

    Example:
        >>> tempered([[0.8, 0.2]], 2.0).round(3).tolist()
        [[0.667, 0.333]]
    """
    return _softmax(_logarithms(probabilities) / temperature)


def fit_temperature(
    probabilities: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    minimum_faces: int = MINIMUM_FACES,
) -> float:
    """Return the temperature at which the labels are likeliest (Guo et al., ICML 2017, section 4.2).

    The negative log-likelihood is convex in ``1 / T``, so bisection finds the one place where its slope vanishes.

    Args:
        probabilities: ``(N, K)``, probabilities at temperature 1.
        labels: ``(N,)``, true class indices in ``[0, K)``.
        weights: ``(N,)``, at least 0; None for equal weights. With density ratios as weights the likelihood is that of
            another domain (CPCS, Park et al., AISTATS 2020; TransCal, Wang et al., NeurIPS 2020).
        minimum_faces: number of faces with a positive weight below which nothing is fitted.

    Returns:
        A temperature from ``LOWEST_TEMPERATURE`` to ``HIGHEST_TEMPERATURE``; 1 with fewer than ``minimum_faces``.

    Example:
        >>> p = [[0.9, 0.1]] * 100           # confidence .9, and 75 of 100 correct
        >>> labels = [0] * 75 + [1] * 25
        >>> round(fit_temperature(p, labels), 3)
        2.0
        >>> fit_temperature(p[:99], labels[:99])
        1.0
    """
    logits = _logarithms(probabilities)
    given = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64)
    if int((given > 0).sum()) < max(minimum_faces, 1):
        return 1.0
    of_truth = np.take_along_axis(logits, np.asarray(labels, np.int64)[:, None], axis=1)[:, 0]

    def too_flat(inverse: float) -> bool:
        expected = (_softmax(inverse * logits) * logits).sum(axis=1)
        return float((given * (expected - of_truth)).sum()) < 0

    return _bisect_temperature(too_flat)


def matched_temperature(
    probabilities: ArrayLike, correct: ArrayLike, target: ArrayLike, *, minimum_faces: int = MINIMUM_FACES
) -> tuple[float, float]:
    """Return a temperature for faces without labels, and the estimate of their accuracy that it rests on.

    The accuracy is estimated by ATC (Garg et al., ICLR 2022): find the confidence above which as many held-out answers
    lie as are correct, and take the share of target answers above it. At the returned temperature the mean confidence
    on the target equals this estimate.

    Args:
        probabilities: ``(N, K)``, probabilities of held-out faces at temperature 1.
        correct: ``(N,)``, whether each of their answers is correct.
        target: ``(M, K)``, probabilities of target faces at temperature 1.
        minimum_faces: number of held-out and of target faces below which the temperature is 1.

    Returns:
        The temperature, ``LOWEST_TEMPERATURE`` to ``HIGHEST_TEMPERATURE``, and the estimated accuracy, 0..1.
    """
    held_out = np.asarray(probabilities, np.float64).max(axis=1)
    logits = _logarithms(target)
    threshold = np.quantile(held_out, 1.0 - float(np.asarray(correct, np.float64).mean()))
    wanted = float((np.asarray(target, np.float64).max(axis=1) >= threshold).mean())
    if min(len(held_out), len(logits)) < minimum_faces:
        return 1.0, wanted
    return _bisect_temperature(lambda inverse: float(_softmax(inverse * logits).max(axis=1).mean()) < wanted), wanted


def binned(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> Bins:
    """Sort answers into equal-width bins of confidence; bin b holds those in ``(b / bins, (b + 1) / bins]``.

    A confidence of 0 belongs to the first bin.

    Args:
        confidence: ``(N,)``, probability of the predicted class, 0..1.
        correct: ``(N,)``, whether the prediction is correct.
        bins: number of bins.

    Returns:
        The bins.

    Raises:
        ValueError: the lengths differ, or a confidence lies outside 0..1.

    Example:
        >>> binned([0.5, 0.51, 1.0], [True, False, True], bins=2).faces.tolist()
        [1, 2]
    """
    given = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if given.shape != right.shape or given.ndim != 1:
        raise ValueError(f"confidence {given.shape} and correct {right.shape} must be vectors of one length")
    if not np.all((given >= 0.0) & (given <= 1.0 + 1e-6)):
        raise ValueError("a confidence lies outside 0..1")
    index = np.clip(np.ceil(given * bins).astype(np.int64) - 1, 0, bins - 1)
    faces = np.bincount(index, minlength=bins).astype(np.int64)
    inverse = np.where(faces > 0, 1.0 / np.maximum(faces, 1), np.nan)
    sums = [np.bincount(index, weights=values, minlength=bins).astype(np.float64) for values in (given, right)]
    return Bins(faces, sums[0] * inverse, sums[1] * inverse)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """Return the mean distance between confidence and accuracy over the bins of :func:`binned`, weighted by faces.

    Naeini et al., AAAI 2015; Guo et al., ICML 2017, Eq. 3.

    Args:
        confidence: ``(N,)``, probability of the predicted class, 0..1.
        correct: ``(N,)``, whether the prediction is correct.
        bins: number of bins.

    Returns:
        0 (calibrated) to 1; NaN without faces.

    Raises:
        ValueError: the lengths differ, or a confidence lies outside 0..1.

    Example:
        >>> round(expected_calibration_error([0.9, 0.9], [True, False]), 3)
        0.4
    """
    return binned(confidence, correct, bins).error


def unsure_below(confidence: ArrayLike, correct: ArrayLike, wanted: float) -> float:
    """Return the lowest confidence from which on at least the share ``wanted`` of the answers is correct.

    Args:
        confidence: ``(N,)``, probability of the predicted class, 0..1.
        correct: ``(N,)``, whether the prediction is correct.
        wanted: share of correct answers, 0..1.

    Returns:
        A confidence that occurs among the answers; 0 where all answers together are correct often enough, or there are
        none; 1 where not even the most confident answers are.

    Example:
        >>> unsure_below([0.9, 0.8, 0.7, 0.4], [True, True, False, False], 0.9)
        0.8
    """
    given = np.asarray(confidence, np.float64)
    if not len(given):
        return 0.0
    order = np.argsort(-given, kind="stable")
    ranked = given[order]
    share = np.cumsum(np.asarray(correct, np.float64)[order]) / np.arange(1, len(given) + 1)
    # A threshold cannot separate answers of equal confidence: only the last of them is a candidate.
    last = np.append(ranked[1:] < ranked[:-1], True)
    good = np.flatnonzero(last & (share >= wanted - 1e-12))
    if not len(good):
        return 1.0
    return 0.0 if good[-1] == len(given) - 1 else float(ranked[good[-1]])


def conformal_thresholds(probabilities: ArrayLike, labels: ArrayLike, levels: Sequence[float]) -> dict[str, float]:
    """Return, for each level of coverage, the probability from which on a class belongs to the set of a face.

    Split conformal prediction with the score ``1 - p`` of the true class (LAC, Sadinle et al., JASA 2019): for faces
    from the distribution of the held-out ones, the set holds the true class with probability ``level`` at least. The
    threshold is the ``ceil((n + 1) level)``-th largest probability of a true class, which corrects for the finite
    sample; where n is too small for that, the threshold is 0 and the set holds every class.

    Args:
        probabilities: ``(N, K)``, calibrated probabilities.
        labels: ``(N,)``, true class indices in ``[0, K)``.
        levels: shares of faces to cover, 0..1.

    Returns:
        Level as text ("0.9") -> threshold, 0..1.

    Example:
        >>> conformal_thresholds([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]], [0, 0, 0], [0.5, 0.9])
        {'0.5': 0.7, '0.9': 0.0}
    """
    p = np.asarray(probabilities, np.float64)
    of_truth = np.take_along_axis(p, np.asarray(labels, np.int64)[:, None], axis=1)[:, 0]
    ranked = np.sort(of_truth)[::-1]
    ranks = {f"{level:g}": math.ceil((len(ranked) + 1) * level - 1e-9) for level in levels}
    return {level: float(ranked[rank - 1]) if rank <= len(ranked) else 0.0 for level, rank in ranks.items()}


def _bisect_temperature(too_flat: Callable[[float], bool]) -> float:
    """Return the temperature at whose inverse ``too_flat`` turns from true to false, within the bounds."""
    low, high = 1.0 / HIGHEST_TEMPERATURE, 1.0 / LOWEST_TEMPERATURE
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if too_flat(middle):
            low = middle
        else:
            high = middle
    if low == 1.0 / HIGHEST_TEMPERATURE:
        return HIGHEST_TEMPERATURE
    return LOWEST_TEMPERATURE if high == 1.0 / LOWEST_TEMPERATURE else 1.0 / (0.5 * (low + high))


def _logarithms(probabilities: ArrayLike) -> Floats:
    p = np.asarray(probabilities, np.float64)
    logarithms: Floats = np.log(np.maximum(p, np.finfo(np.float64).tiny))
    return logarithms


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
