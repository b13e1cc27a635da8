"""Accuracy without labels: scores of a model's answers, and maps from a score to an accuracy, fitted on known shifts.

Each ``*_score`` is a plain number that should rise with the accuracy. None of them knows the class shares of the
target, so a map fitted on one mix of classes errs on another: its residual, measured on cells left out, is what the
interval of an :class:`AccuracyEstimate` is made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcdan.core.errors import DataError
from dcdan.correction.arrays import Floats, checked_log, checked_shares

MANO_ORDER = 4
MANO_THRESHOLD = 5.0


class AccuracyEstimate(BaseModel):
    """An accuracy that was estimated without labels.

    Attributes:
        value: 0..1.
        low: lower end of the interval.
        high: upper end of the interval.
        name: which estimator, or ``combined``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    name: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> AccuracyEstimate:
        if not self.low <= self.value <= self.high:
            raise ValueError("the interval does not hold the value")
        return self


def confidence_score(log_probabilities: ArrayLike) -> float:
    """Return the mean confidence (average confidence; Hendrycks & Gimpel, ICLR 2017).

    Args:
        log_probabilities: (N, K).

    Returns:
        Mean probability of the predicted class, 1/K..1; NaN without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> round(confidence_score(np.log([[0.9, 0.1], [0.4, 0.6]])), 3)
        0.75
    """
    z = checked_log(log_probabilities)
    return float(np.exp(z.max(1)).mean()) if len(z) else math.nan


def atc_threshold(log_probabilities: ArrayLike, accuracy: float, score: str = "entropy") -> float:
    """Return the threshold below which lies the source's share of errors (ATC).

    Garg et al., "Leveraging unlabeled data to predict out-of-distribution performance", ICLR 2022, equation 2.

    Args:
        log_probabilities: (N, K) on held-out source faces.
        accuracy: of the model on them, 0..1.
        score: ``entropy`` for negative entropy, ``confidence`` for the largest probability.

    Returns:
        The threshold, in the unit of the score.

    Raises:
        DataError: when there are no faces or values are wrong.

    Example:
        >>> round(atc_threshold(np.log([[0.9, 0.1], [0.6, 0.4]]), 0.5, "confidence"), 2)
        0.75
    """
    found = np.sort(_certainty(checked_log(log_probabilities), score))
    if len(found) == 0 or not 0 <= accuracy <= 1:
        raise DataError("A threshold of ATC needs source faces and their accuracy, 0 to 1.")
    below = round((1 - accuracy) * len(found))
    if below == 0:
        return float(found[0])
    return float(found[-1] + 1e-9) if below == len(found) else float((found[below - 1] + found[below]) / 2)


def atc_score(log_probabilities: ArrayLike, threshold: float, score: str = "entropy") -> float:
    """Return the share of faces at or above the source's threshold (ATC, see :func:`atc_threshold`).

    Args:
        log_probabilities: (N, K) on the target.
        threshold: from the source.
        score: as in :func:`atc_threshold`.

    Returns:
        The estimated accuracy, 0..1; NaN without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> atc_score(np.log([[0.9, 0.1], [0.6, 0.4]]), 0.75, "confidence")
        0.5
    """
    found = _certainty(checked_log(log_probabilities), score)
    return float((found >= threshold).mean()) if len(found) else math.nan


def doc_score(log_probabilities: ArrayLike, source_confidence: float, source_accuracy: float) -> float:
    """Return the source's accuracy less the fall of the mean confidence (DoC).

    Guillory et al., "Predicting with confidence on unseen distributions", ICCV 2021, equation 2.

    Args:
        log_probabilities: (N, K) on the target.
        source_confidence: mean confidence on held-out source faces.
        source_accuracy: accuracy there.

    Returns:
        The estimated accuracy, within 0..1; NaN without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> round(doc_score(np.log([[0.7, 0.3]]), 0.8, 0.9), 3)
        0.8
    """
    here = confidence_score(log_probabilities)
    return here if math.isnan(here) else float(np.clip(source_accuracy - (source_confidence - here), 0, 1))


def agreement_score(first: ArrayLike, second: ArrayLike) -> float:
    """Return the share of faces that two heads, or two views, name alike.

    Jiang et al., "Assessing generalization of SGD via disagreement", ICLR 2022: the agreement of two runs equals the
    accuracy when their ensemble is calibrated; heads of one trunk agree more, hence the map.

    Args:
        first: (N, K) log-probabilities of one head or view.
        second: (N, K) of the other.

    Returns:
        0..1; NaN without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> agreement_score(np.log([[0.7, 0.3], [0.2, 0.8]]), np.log([[0.6, 0.4], [0.9, 0.1]]))
        0.5
    """
    one, two = checked_log(first), checked_log(second)
    if one.shape != two.shape:
        raise DataError(f"Two heads must answer the same faces, not {one.shape} and {two.shape}.")
    return float((one.argmax(1) == two.argmax(1)).mean()) if len(one) else math.nan


def mano_score(log_probabilities: ArrayLike) -> float:
    """Return the scaled matrix norm of normalised logits (MaNo).

    Xie et al., "MaNo: exploiting matrix norm for unsupervised accuracy estimation under distribution shifts", NeurIPS
    2024, equations 5 to 7: logits are normalised by softmax where their mean cross-entropy from even answers is above
    5, else by the expansion ``1 + q + q^2 / 2``, and the score is ``(1 / (N K) sum |Q|^4)^(1/4)``. Log-probabilities
    differ from logits by a number for each face; we take the one that makes their mean zero.

    Args:
        log_probabilities: (N, K).

    Returns:
        The score, above 0, at most 1; NaN without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> round(mano_score(np.log([[0.5, 0.5]])), 3)
        0.5
    """
    z = checked_log(log_probabilities)
    if len(z) == 0:
        return math.nan
    if float(-z.mean()) > MANO_THRESHOLD:
        q = np.exp(z)
    else:
        logits = z - z.mean(1, keepdims=True)
        q = 1 + logits + logits**2 / 2
        q = q / q.sum(1, keepdims=True)
    return float((q**MANO_ORDER).mean() ** (1 / MANO_ORDER))


def nuclear_score(log_probabilities: ArrayLike) -> float:
    """Return the nuclear norm of the probabilities over its largest value (confidence and dispersity).

    Deng et al., "Confidence and dispersity speak: characterising prediction matrix for unsupervised accuracy
    estimation", ICML 2023, equation 4: ``|P|_* / sqrt(min(N, K) N)``.

    Args:
        log_probabilities: (N, K).

    Returns:
        Above 0, at most 1; NaN without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> round(nuclear_score(np.log(np.eye(2) + 1e-12)), 3)
        1.0
    """
    p = np.exp(checked_log(log_probabilities))
    if len(p) == 0:
        return math.nan
    # Singular values from the K x K Gram matrix: exact enough for a sum, and linear in N.
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(p.T @ p), 0)).sum()
    return float(values / math.sqrt(min(p.shape) * len(p)))


def memory_distance_score(
    features: ArrayLike, centres: ArrayLike, variance: ArrayLike, log_probabilities: ArrayLike | None = None
) -> float:
    """Return minus the mean distance of features to the source's class centres (ours, after Mahalanobis scores).

    The squared distance to a centre is the mean over the D values of ``(f - c)^2 / variance``; each face counts with
    the nearest centre, or with that of its predicted class where answers are given.

    Args:
        features: (N, D) on the target.
        centres: (K, D) class centres of the source.
        variance: (D,) or (K, D) variance within a class; at least 1e-6 is used.
        log_probabilities: (N, K) or None.

    Returns:
        0 or less; NaN without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> memory_distance_score([[1.0, 0.0]], [[0.0, 0.0], [5.0, 5.0]], [1.0, 1.0])
        -0.5
    """
    f, c = np.asarray(features, np.float64), np.asarray(centres, np.float64)
    if f.ndim != 2 or c.ndim != 2 or f.shape[1] != c.shape[1] or len(c) == 0:
        raise DataError(f"Features {f.shape} and class centres {c.shape} do not fit together.")
    v = np.maximum(np.broadcast_to(np.asarray(variance, np.float64), c.shape), 1e-6)
    if not (np.isfinite(f).all() and np.isfinite(c).all() and np.isfinite(v).all()):
        raise DataError("Features and class centres must be finite numbers.")
    if len(f) == 0:
        return math.nan
    # (f - c)^2 / v = f^2 / v - 2 f c / v + c^2 / v: three matrix products instead of an (N, K, D) array.
    squares = (f * f) @ (1 / v).T - 2 * f @ (c / v).T + (c * c / v).sum(1)
    if log_probabilities is None:
        nearest = squares.min(1)
    else:
        nearest = squares[np.arange(len(f)), checked_log(log_probabilities).argmax(1)]
    return float(-np.maximum(nearest, 0).mean() / f.shape[1])


def share_gap_score(log_probabilities: ArrayLike, shares: ArrayLike) -> float:
    """Return minus the total variation distance between predicted and declared class shares (ours).

    Where the declared shares are right, at least that share of the faces is named wrongly: the accuracy is at most 1
    plus the score.

    Args:
        log_probabilities: (N, K).
        shares: (K,) declared.

    Returns:
        -1..0; NaN without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> share_gap_score(np.log([[0.9, 0.1], [0.9, 0.1]]), [0.5, 0.5])
        -0.5
    """
    z = checked_log(log_probabilities)
    pi = checked_shares(shares, z.shape[1])
    predicted = np.bincount(z.argmax(1), minlength=z.shape[1]) / max(1, len(z))
    return float(-0.5 * np.abs(predicted - pi).sum()) if len(z) else math.nan


class CalibrationMap(BaseModel):
    """A straight map from one or more scores to an accuracy, fitted on cells whose accuracy is known.

    Attributes:
        names: the scores, in the order of the weights.
        centres: mean of each score over the cells.
        scales: standard deviation of each.
        weights: change of the accuracy by one standard deviation.
        intercept: mean accuracy of the cells.
        residual: standard deviation of the error on cells left out, as a share of the accuracy (0..1).
        sampling: further variance of that error for one face, which is divided by the number of faces.
        confidence: coverage of the interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...] = Field(min_length=1)
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float = Field(allow_inf_nan=False)
    residual: float = Field(ge=0, allow_inf_nan=False)
    sampling: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    confidence: float = Field(default=0.95, gt=0, lt=1)

    def predict(self, scores: Mapping[str, float]) -> float:
        """Return what the scores speak for, not clipped: a map may be fitted to a gain as well as to an accuracy.

        Args:
            scores: name -> score.

        Returns:
            The value; NaN where a score is missing or no number.

        Example:
            >>> line = fit_map({"changed": [0.0, 0.1, 0.2]}, [0.0, 0.05, 0.1], ["a", "b", "c"], ridge=0)
            >>> round(line.predict({"changed": 0.3}), 3)
            0.15
        """
        given = np.array([scores.get(each, math.nan) for each in self.names], np.float64)
        standard = np.clip((given - self.centres) / self.scales, -3, 3)
        return float(self.intercept + standard @ np.array(self.weights))

    def error(self, faces: int | None = None) -> float:
        """Return the standard deviation of the error for a number of faces; None for very many.

        Args:
            faces: 1 or more, or None.

        Returns:
            ``sqrt(residual^2 + sampling / faces)``.

        Example:
            >>> line = fit_map({"atc": [0.5, 0.7, 0.9]}, [0.4, 0.6, 0.8], ["a", "b", "c"], ridge=0)
            >>> round(line.model_copy(update={"sampling": 0.25}).error(100), 3)
            0.05
        """
        return math.sqrt(self.residual**2 + (self.sampling / max(1, faces) if faces is not None else 0.0))

    def estimate(self, scores: Mapping[str, float], name: str = "", faces: int | None = None) -> AccuracyEstimate:
        """Return the accuracy that the scores of a target speak for.

        Args:
            scores: name -> score.
            name: of the estimate; empty for that of its only score, or ``combined``.
            faces: number of faces that the scores are from; None for very many.

        Returns:
            The estimate; 0..1 as its interval where a score is missing or no number. A score further than three
            standard deviations from those of the cells is drawn to there: the map is not followed into the unknown.

        Example:
            >>> line = fit_map({"atc": [0.5, 0.7, 0.9]}, [0.4, 0.6, 0.8], ["a", "b", "c"])
            >>> round(line.estimate({"atc": 0.7}).value, 2)
            0.6
        """
        called = name or (self.names[0] if len(self.names) == 1 else "combined")
        if not all(math.isfinite(scores.get(each, math.nan)) for each in self.names):
            return AccuracyEstimate(value=min(1.0, max(0.0, self.intercept)), low=0, high=1, name=called)
        value = float(np.clip(self.predict(scores), 0, 1))
        half = NormalDist().inv_cdf(0.5 + self.confidence / 2) * self.error(faces)
        return AccuracyEstimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), name=called)


def fit_map(
    scores: Mapping[str, ArrayLike],
    accuracies: ArrayLike,
    shifts: Sequence[str],
    ridge: float = 0.1,
    confidence: float = 0.95,
    faces: ArrayLike | None = None,
    clip: tuple[float, float] = (0.0, 1.0),
) -> CalibrationMap:
    """Fit a map from scores to accuracy by ridge regression, its error measured on shifts left out.

    Args:
        scores: name -> (C,) score in each cell.
        accuracies: (C,) true accuracy of each cell, 0..1.
        shifts: (C,) name of the shift of each cell; all cells of one shift are left out together.
        ridge: penalty on the weights, in units of the number of cells.
        confidence: coverage of the intervals.
        faces: (C,) number of faces of each cell, to divide the error into a part that more faces make smaller and one
            that they do not; None to take all of it for the latter.
        clip: the range of what is fitted; a gain of accuracy has (-1, 1).

    Returns:
        The map, fitted on all cells; its residual is the root mean square error on left-out shifts, less what
        ``sampling`` explains.

    Raises:
        DataError: when there are fewer than three cells or two shifts, or values are wrong.

    Example:
        >>> fit_map({"atc": [0.5, 0.7, 0.9]}, [0.5, 0.7, 0.9], ["a", "b", "c"], ridge=0).residual < 1e-9
        True
    """
    names = tuple(scores)
    y = np.asarray(accuracies, np.float64)
    x = np.stack([np.asarray(scores[name], np.float64) for name in names], 1) if names else np.zeros((len(y), 0))
    which, numbers = np.unique(np.asarray(shifts, np.str_), return_inverse=True)
    if y.ndim != 1 or len(y) < 3 or x.shape != (len(y), len(names)) or not names or len(numbers) != len(y):
        raise DataError("A map of accuracy needs three cells or more, each with all scores, an accuracy and a shift.")
    if len(which) < 2:
        raise DataError("A map of accuracy needs cells of two shifts or more, so that one can be left out.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("The scores and accuracies of a map must be numbers.")
    left = np.zeros(len(y))
    for shift in range(len(which)):
        out = numbers == shift
        centre, scale, weights, intercept = _ridge(x[~out], y[~out], ridge)
        left[out] = np.clip(intercept + np.clip((x[out] - centre) / scale, -3, 3) @ weights, *clip) - y[out]
    centre, scale, weights, intercept = _ridge(x, y, ridge)
    residual, sampling = _error_by_size(left, faces)
    return CalibrationMap(
        names=names,
        centres=tuple(centre.tolist()),
        scales=tuple(scale.tolist()),
        weights=tuple(weights.tolist()),
        intercept=intercept,
        residual=residual,
        sampling=sampling,
        confidence=confidence,
    )


def all_scores(
    log_probabilities: ArrayLike,
    threshold: float,
    source_confidence: float,
    source_accuracy: float,
    heads: tuple[ArrayLike, ArrayLike] | None = None,
) -> dict[str, float]:
    """Return the scores of one set of answers by name.

    Args:
        log_probabilities: (N, K).
        threshold: of ATC, by negative entropy.
        source_confidence: mean confidence on held-out source faces.
        source_accuracy: accuracy there.
        heads: (N, K) answers of two heads or views, or None.

    Returns:
        ``confidence``, ``atc``, ``doc``, ``mano``, ``nuclear`` and, with heads, ``agreement``.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> sorted(all_scores(np.log([[0.9, 0.1]]), -0.5, 0.8, 0.8))
        ['atc', 'confidence', 'doc', 'mano', 'nuclear']
    """
    z = checked_log(log_probabilities)
    found = {
        "confidence": confidence_score(z),
        "atc": atc_score(z, threshold),
        "doc": doc_score(z, source_confidence, source_accuracy),
        "mano": mano_score(z),
        "nuclear": nuclear_score(z),
    }
    return found if heads is None else found | {"agreement": agreement_score(*heads)}


def _error_by_size(errors: Floats, faces: ArrayLike | None) -> tuple[float, float]:
    """Return the constant part of an error (its root) and the variance of one face, by least squares on squares."""
    squares = errors**2
    if faces is None:
        return float(np.sqrt(squares.mean())), 0.0
    inverse = 1 / np.maximum(np.asarray(faces, np.float64), 1)
    spread = inverse - inverse.mean()
    scale = float(spread @ spread)
    slope = float(spread @ squares / scale) if scale > 0 else 0.0
    # Neither part may be negative: what is left of the mean square then belongs to the other alone.
    slope = min(max(0.0, slope), float(squares.mean() / inverse.mean()))
    return float(np.sqrt(max(0.0, squares.mean() - slope * inverse.mean()))), slope


def _certainty(z: Floats, score: str) -> Floats:
    if score == "confidence":
        return np.asarray(np.exp(z.max(1))) if len(z) else np.zeros(0)
    if score == "entropy":
        return np.asarray((np.exp(z) * z) @ np.ones(z.shape[1]))
    raise DataError(f"'{score}' is no certainty of ATC: use entropy or confidence.")


def _ridge(x: Floats, y: Floats, ridge: float) -> tuple[Floats, Floats, Floats, float]:
    centre, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    standard, intercept = (x - centre) / scale, float(y.mean())
    gram = standard.T @ standard + (ridge * len(y) + 1e-12) * np.eye(x.shape[1])
    return centre, scale, np.linalg.solve(gram, standard.T @ (y - intercept)), intercept
