"""Class shares of the target: declared by the user, estimated from the answers, or from a few labels.

Shares estimated from the answers alone are wrong exactly where a model is pulled to one class (measured: they call
49 to 67 % neutral where 14 and 19 % are), so plain EM, MAP-EM and the confusion-matrix estimates are for comparison
and for use behind a guard.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from dcdan.core.errors import DataError, UsageError, nearest
from dcdan.correction.arrays import Floats, checked_labels, checked_log, checked_shares, checked_weights
from dcdan.expressions import canonical

_EXAMPLE = "for example happiness=.3,neutral=.5"


class ShareSettings(BaseModel):
    """Settings of the estimates of class shares.

    Attributes:
        iterations: most steps of EM.
        tolerance: EM ends when no share moves by more.
        pseudo_counts: Dirichlet pseudo-counts of MAP-EM in units of the number of faces; the method asks for 1 or more.
        label_pseudo_counts: pseudo-counts of the estimate from labels in units of the number of labels.
        ridge: weight of the squared norm in the regularised estimate by confusion matrix.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    iterations: int = Field(default=500, ge=1)
    tolerance: float = Field(default=1e-6, gt=0)
    pseudo_counts: float = Field(default=1.0, ge=0)
    label_pseudo_counts: float = Field(default=0.25, ge=0)
    ridge: float = Field(default=0.02, ge=0)


def parse_shares(text: str, classes: Sequence[str], source: ArrayLike | None = None) -> Floats:
    """Read the class shares that a user declares.

    Args:
        text: ``balanced``, ``source``, or ``class=share`` pairs with commas between them. A share is a number in 0..1
            or has a percent sign. Classes that are not named divide what is left evenly. Spelling variants of
            :mod:`dcdan.expressions` are understood.
        classes: names of the model's K classes.
        source: (K,) shares of the source, which ``source`` stands for; None where the model does not know them.

    Returns:
        (K,) float64, each 0 or more, sum 1.

    Raises:
        UsageError: for an unknown or repeated class, a share that is no number in 0..1, or a wrong sum.

    Example:
        >>> parse_shares("happiness=.3, neutral=50%", ["anger", "happiness", "neutral"]).round(3).tolist()
        [0.2, 0.3, 0.5]
    """
    word = text.strip().lower()
    if word == "balanced":
        return np.full(len(classes), 1 / len(classes))
    if word == "source":
        if source is None:
            raise UsageError("This model does not know the class shares of its source: give balanced or class=share.")
        return checked_shares(source, len(classes), "The source's class shares")
    found: dict[str, float] = {}
    for part in filter(None, (each.strip() for each in word.split(","))):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            raise UsageError(f"'{part}' is no class share: write balanced, source or class=share, {_EXAMPLE}.")
        known = name if name in classes else canonical(name)
        if known is None or known not in classes:
            raise UsageError(
                f"'{name}' is no class of this model.{nearest(name, classes)} It has {', '.join(classes)}."
            )
        if known in found:
            raise UsageError(f"The share of {known} is given twice.")
        found[known] = _share(known, value)
    if not found:
        raise UsageError(f"No class share is given: write balanced, source or class=share, {_EXAMPLE}.")
    total, left = sum(found.values()), [name for name in classes if name not in found]
    if total > 1 + 5e-3 or (not left and abs(total - 1) > 5e-3):
        raise UsageError(f"The class shares add up to {total:.3g} and not to 1.")
    rest = max(0.0, 1 - total) / max(1, len(left))
    shares = np.array([found.get(name, rest) for name in classes])
    return np.asarray(shares / shares.sum())


def em_shares(
    log_probabilities: ArrayLike,
    source: ArrayLike,
    towards: ArrayLike | None = None,
    settings: ShareSettings | None = None,
) -> Floats:
    """Estimate the target's class shares by EM, with Dirichlet pseudo-counts when ``towards`` is given (MAP-EM).

    Saerens, Latinne & Decaestecker, Neural Computation 14 (2002), equation 2.9; with pseudo-counts a the M-step is
    ``pi = (sum_i r_i + a) / (n + sum a)``.

    Args:
        log_probabilities: (N, K) of the source model.
        source: (K,) shares of the source: the mean of the model's own probabilities on held-out source faces.
        towards: (K,) shares that the pseudo-counts are spread by; None for plain EM, which collapses easily.
        settings: how many pseudo-counts and steps.

    Returns:
        (K,) float64, positive, sum 1; without faces ``towards``, or the source's shares.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> p = np.log([[0.9, 0.1], [0.8, 0.2], [0.9, 0.1]])
        >>> em_shares(p, [0.5, 0.5], towards=[0.5, 0.5]).round(2).tolist()
        [0.72, 0.28]
    """
    chosen = settings or ShareSettings()
    z = checked_log(log_probabilities)
    prior = checked_shares(source, z.shape[1], "The source's class shares")
    aim = prior if towards is None else checked_shares(towards, z.shape[1], "The shares to lean towards")
    if len(z) == 0:
        return aim
    pseudo = 0.0 if towards is None else chosen.pseudo_counts * len(z)
    likelihood = np.exp(z) / prior
    turned = np.ascontiguousarray(likelihood.T)
    shares = aim
    for _ in range(chosen.iterations):
        responsible = shares * (turned @ (1 / (likelihood @ shares)))
        new = (responsible + pseudo * aim) / (len(z) + pseudo)
        new = np.maximum(new / new.sum(), 1e-12)
        moved = float(np.abs(new - shares).max())
        shares = new
        if moved <= chosen.tolerance:
            break
    return checked_shares(shares, z.shape[1])


def confusion_shares(
    log_probabilities: ArrayLike,
    confusion: ArrayLike,
    source: ArrayLike | None = None,
    settings: ShareSettings | None = None,
    *,
    regularised: bool = True,
) -> Floats:
    """Estimate the target's class shares by the source's confusion matrix (BBSE, RLLS).

    BBSE (Lipton, Wang & Smola, ICML 2018) solves ``C w = q`` for the importance weights w of the classes. RLLS
    (Azizzadenesheli et al., ICLR 2019, equation 4) solves for ``w = 1 + theta`` with a penalty on theta; ours is its
    ridge form ``argmin |C theta - (q - C 1)|^2 + ridge^2 |theta|^2``, which has a closed solution.

    Args:
        log_probabilities: (N, K) on the target.
        confusion: (K, K) joint counts or shares on held-out source faces, row = true class, column = predicted class.
        source: (K,) shares of the source that the weights multiply; None for those of the confusion matrix.
        settings: the ridge.
        regularised: False for BBSE.

    Returns:
        (K,) float64, positive, sum 1; negative weights count as zero; without faces the source's shares.

    Raises:
        DataError: when shapes or values are wrong, or the confusion matrix is empty.

    Example:
        >>> found = confusion_shares(np.log([[0.9, 0.1]] * 3 + [[0.2, 0.8]]), [[50, 0], [0, 50]], regularised=False)
        >>> found.round(3).tolist()
        [0.75, 0.25]
    """
    z = checked_log(log_probabilities)
    classes = z.shape[1]
    joint = np.asarray(confusion, np.float64)
    if joint.shape != (classes, classes) or not np.isfinite(joint).all() or (joint < 0).any() or joint.sum() <= 0:
        raise DataError(f"The confusion matrix must hold counts of {classes} x {classes} classes, not all zero.")
    joint = joint.T / joint.sum()
    prior = joint.sum(0) if source is None else np.asarray(source, np.float64)
    prior = checked_shares(prior, classes, "The source's class shares")
    if len(z) == 0:
        return prior
    predicted = np.bincount(z.argmax(1), minlength=classes) / len(z)
    chosen = settings or ShareSettings()
    gap = predicted - joint.sum(1)
    if regularised:
        rows = np.vstack([joint, chosen.ridge * np.eye(classes)])
        theta = np.linalg.lstsq(rows, np.concatenate([gap, np.zeros(classes)]), rcond=None)[0]
    else:
        theta = np.linalg.lstsq(joint, gap, rcond=None)[0]
    shares = np.maximum(prior * np.maximum(1 + theta, 0), 1e-12)
    return checked_shares(shares / shares.sum(), classes)


def label_shares(
    labels: ArrayLike, weights: ArrayLike | None, model_mean: ArrayLike, settings: ShareSettings | None = None
) -> Floats:
    """Estimate class shares from a few labelled faces: weighted counts plus pseudo-counts.

    With m labels, ``m / 4`` pseudo-counts are spread half by the model's mean probabilities and half evenly
    (method, section 7; ours).

    Args:
        labels: (M,) class indices.
        weights: (M,) inverse sampling rates, or None for even ones.
        model_mean: (K,) mean of the model's probabilities over all faces of the target.
        settings: how many pseudo-counts.

    Returns:
        (K,) float64, positive, sum 1; without labels the spread of the pseudo-counts.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> label_shares([0, 0, 0, 1], None, [0.5, 0.5]).tolist()
        [0.7, 0.3]
    """
    mean = checked_shares(model_mean, np.size(model_mean), "The model's mean probabilities")
    given = checked_labels(labels, np.size(labels), len(mean))
    count = len(given)
    spread = (mean + 1 / len(mean)) / 2
    if count == 0:
        return np.asarray(spread)
    pseudo = (settings or ShareSettings()).label_pseudo_counts * count
    counts = np.bincount(given, weights=checked_weights(weights, count), minlength=len(mean))
    return checked_shares((counts + pseudo * spread) / (count + pseudo), len(mean))


def _share(name: str, text: str) -> float:
    percent = text.endswith("%")
    try:
        value = float(text.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise UsageError(f"The share of {name} must be a number from 0 to 1, not '{text}'.")
    return value
