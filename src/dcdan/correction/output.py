"""Corrections of a model's output: class prior, offsets of persons or cameras, joint assignment of a whole set.

Throughout, z are log-probabilities (N, K) of the chosen output. The corrected ones are
``z' = z - tau (log pi_s - log pi_t) - o_g``, renormalised (method, section 7, rung 1; ours).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcdan.core.errors import DataError, UsageError
from dcdan.correction.arrays import (
    Floats,
    checked_log,
    checked_shares,
    group_means,
    group_numbers,
    log_softmax,
)

Groups = Sequence[str] | NDArray[np.str_]
_Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
_Row = tuple[_Number, ...]


class OutputSettings(BaseModel):
    """Settings of the output's corrections.

    Attributes:
        tau: strength of the prior correction; 0 leaves the output as it is, 1 is Bayes' rule.
        offsets: ``mean`` as in the method's text; ``within-class`` compares a group's faces with those of the same
            predicted class only, so that a group's own mix of classes is not taken for its look.
        shrinkage: an offset is multiplied by ``n / (n + shrinkage)``.
        faces: fewest faces of a group that gets an offset.
        predicted: fewest different predicted classes of such a group.
        neutral_shrinkage: the same as ``shrinkage`` for offsets from neutral faces, which no mix of classes confounds.
        sinkhorn_iterations: iterations of the joint assignment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tau: float = Field(default=1.0, ge=0, le=2)
    offsets: Literal["mean", "within-class"] = "mean"
    shrinkage: float = Field(default=10.0, ge=0)
    faces: int = Field(default=15, ge=2)
    predicted: int = Field(default=3, ge=1)
    neutral_shrinkage: float = Field(default=10.0, ge=0)
    sinkhorn_iterations: int = Field(default=50, ge=1)


def prior_bias(source: ArrayLike, target: ArrayLike, tau: float = 1.0) -> Floats:
    """Return the class bias that moves a model from the source's class shares to the target's.

    Saerens et al., Neural Computation 14 (2002), equation 2.4, with strength tau.

    Args:
        source: (K,) shares of the source: the mean of the model's own probabilities on held-out source faces.
        target: (K,) shares of the target; a zero counts as one in a million.
        tau: strength.

    Returns:
        (K,) float64, ``tau (log pi_t - log pi_s)``, to be added to log-probabilities.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> prior_bias([0.25, 0.75], [0.5, 0.5]).round(3).tolist()
        [0.693, -0.405]
    """
    prior = checked_shares(source, np.size(source), "The source's class shares")
    return np.asarray(tau * (np.log(checked_shares(target, len(prior))) - np.log(prior)))


def corrected(log_probabilities: ArrayLike, bias: ArrayLike, offsets: ArrayLike | None = None) -> Floats:
    """Add a class bias to log-probabilities, subtract each face's offset, renormalise.

    Args:
        log_probabilities: (N, K).
        bias: (K,).
        offsets: (N, K) or None.

    Returns:
        (N, K) float64; the exponentials of a row sum to 1.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> z = np.log([[0.25, 0.75]])
        >>> np.exp(corrected(z, prior_bias([0.25, 0.75], [0.5, 0.5]))).round(3).tolist()
        [[0.5, 0.5]]
    """
    z = checked_log(log_probabilities)
    added = np.asarray(bias, np.float64)
    if added.shape != (z.shape[1],) or not np.isfinite(added).all():
        raise DataError(f"The class bias must hold {z.shape[1]} numbers.")
    moved = z + added
    if offsets is not None:
        taken = np.asarray(offsets, np.float64)
        if taken.shape != z.shape or not np.isfinite(taken).all():
            raise DataError(f"Offsets must be numbers of the shape {z.shape}.")
        moved = moved - taken
    return log_softmax(moved)


def centring_bias(log_probabilities: ArrayLike, source_mean: ArrayLike, strength: float = 1.0) -> Floats:
    """Return the class bias that gives the target's mean log-probability of each class the source's value.

    Assumes that the target's class shares are the source's; measured: +8 points on a posed set, -12 on source-like
    faces with other shares.

    Args:
        log_probabilities: (N, K) on the target.
        source_mean: (K,) mean log-probabilities on held-out source faces.
        strength: 0 to 1, how far.

    Returns:
        (K,) float64; zeros without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> centring_bias(np.log([[0.5, 0.5]]), np.log([0.5, 0.5])).tolist()
        [0.0, 0.0]
    """
    z = checked_log(log_probabilities)
    mean = np.asarray(source_mean, np.float64)
    if mean.shape != (z.shape[1],) or not np.isfinite(mean).all():
        raise DataError(f"The source's mean log-probabilities must be {z.shape[1]} numbers.")
    return np.asarray(strength * (mean - z.mean(0))) if len(z) else np.zeros(z.shape[1])


def group_offsets(
    log_probabilities: ArrayLike, groups: Groups, settings: OutputSettings | None = None
) -> dict[str, Floats]:
    """Estimate what a person, session or camera adds to the log-probabilities.

    ``o_g = n_g / (n_g + 10) (mean of z over g - mean of z over all faces)`` for groups with at least 15 faces and
    3 predicted classes: a group of which only one expression is seen would have that expression taken away.
    With ``settings.offsets = "within-class"`` each face is compared with the mean of the faces of its predicted class:
    measured on persons whose mixes of expressions differ (LFW) that gains 1.6 points where the plain mean loses 1.1.

    Args:
        log_probabilities: (N, K).
        groups: (N,) name of each face's group; faces of the empty name belong to none.
        settings: shrinkage and guards.

    Returns:
        Name -> (K,) float64 for the groups that pass the guards; to be subtracted. Empty for fewer than two groups.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> z = log_softmax(3 * np.eye(3)[np.arange(40) % 3] + np.repeat([[1.0, 0, 0], [0, 0, 0]], 20, axis=0))
        >>> offsets = group_offsets(z, ["a"] * 20 + ["b"] * 20)
        >>> {name: int(value.argmax()) for name, value in offsets.items()}["a"]
        0
    """
    chosen = settings or OutputSettings()
    z = checked_log(log_probabilities)
    names, numbers = group_numbers(groups, len(z))
    if len(names) < 2:
        return {}
    predicted = z.argmax(1)
    like = z.mean(0) if chosen.offsets == "mean" else group_means(z, predicted, z.shape[1])[0][predicted]
    means, sizes = group_means(z - like, numbers, len(names))
    seen = np.bincount(numbers * z.shape[1] + predicted, minlength=len(names) * z.shape[1]).reshape(len(names), -1)
    kept = (sizes >= chosen.faces) & ((seen > 0).sum(1) >= chosen.predicted) & (names != "")
    shrunk = (sizes / (sizes + chosen.shrinkage))[:, None] * means
    return {str(names[g]): shrunk[g] for g in np.flatnonzero(kept)}


def neutral_offsets(
    log_probabilities: ArrayLike,
    groups: Groups,
    reference: ArrayLike | None = None,
    settings: OutputSettings | None = None,
) -> dict[str, Floats]:
    """Estimate the offsets of persons, sessions or cameras from faces that are known to be neutral.

    ``o_g = n_g / (n_g + 10) (mean of z over g's neutral faces - reference)``.

    Args:
        log_probabilities: (N, K) of the neutral faces.
        groups: (N,) name of each face's group.
        reference: (K,) mean log-probabilities of neutral faces of the source; None for the mean of the groups' means.
        settings: shrinkage.

    Returns:
        Name -> (K,) float64, to be subtracted; empty without faces, or for one group without a reference.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> z = np.log([[0.5, 0.5], [0.9, 0.1]])
        >>> sorted(neutral_offsets(z, ["a", "b"]))
        ['a', 'b']
    """
    chosen = settings or OutputSettings()
    z = checked_log(log_probabilities)
    names, numbers = group_numbers(groups, len(z))
    if len(names) < (2 if reference is None else 1):
        return {}
    means, sizes = group_means(z, numbers, len(names))
    middle = means.mean(0) if reference is None else np.asarray(reference, np.float64)
    if middle.shape != (z.shape[1],) or not np.isfinite(middle).all():
        raise DataError(f"The reference of neutral faces must hold {z.shape[1]} numbers.")
    shrunk = (sizes / (sizes + chosen.neutral_shrinkage))[:, None] * (means - middle)
    return {str(name): shrunk[g] for g, name in enumerate(names) if name}


class Assignment(NamedTuple):
    """A joint assignment of N faces to K classes.

    Attributes:
        log_probabilities: (N, K) float64; the exponentials of a row sum to 1, those of column k to about ``n pi_k``.
        bias: (K,) float64: the same assignment as a class bias, ``log_softmax(z + bias)``, for faces yet to come.
    """

    log_probabilities: Floats
    bias: Floats


def sinkhorn(log_probabilities: ArrayLike, shares: ArrayLike, settings: OutputSettings | None = None) -> Assignment:
    """Assign the faces of a set jointly, so that the classes get their shares of it.

    Sinkhorn & Knopp (1967) in the log domain, as in optimal transport with entropy (Cuturi, NIPS 2013): columns are
    scaled to ``n pi_k`` and rows to 1 in turns, rows last. All rows are scaled by their own sums, so the result is a
    softmax with one bias per class, which is returned too.

    Args:
        log_probabilities: (N, K).
        shares: (K,) class shares of the set; a zero counts as one in a million.
        settings: how many iterations.

    Returns:
        The assignment; a single face, or none, is left as it is, with a bias of zero, because shares say nothing of it.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> z = np.log([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2], [0.9, 0.1]])
        >>> np.exp(sinkhorn(z, [0.5, 0.5]).log_probabilities).mean(0).round(3).tolist()
        [0.5, 0.5]
    """
    z = checked_log(log_probabilities)
    pi = checked_shares(shares, z.shape[1])
    if len(z) < 2:
        return Assignment(z, np.zeros(z.shape[1]))
    bias = sinkhorn_bias(z, pi[None], (settings or OutputSettings()).sinkhorn_iterations)[0]
    return Assignment(log_softmax(z + bias), bias)


def sinkhorn_bias(log_probabilities: Floats, shares: Floats, iterations: int, start: Floats | None = None) -> Floats:
    """Return the class biases of joint assignments of one set of faces to several vectors of shares.

    Args:
        log_probabilities: (N, K), checked, N at least 1.
        shares: (S, K), positive, rows sum to 1.
        iterations: of Sinkhorn.
        start: (K,) bias to start from; None for zero.

    Returns:
        (S, K) float64, rows sum to 0.

    Example:
        >>> z = log_softmax([[0.4, 0.0], [0.9, 0.0]])
        >>> bool(np.exp(log_softmax(z + sinkhorn_bias(z, np.array([[0.5, 0.5]]), 50)))[:, 0].mean().round(6) == 0.5)
        True
    """
    aim = np.log(len(log_probabilities) * shares)
    bias = np.zeros(shares.shape) if start is None else np.tile(start, (len(shares), 1))
    p = np.exp(log_probabilities)
    # Products of probabilities with one scale per class. The biases are kept as logarithms and centred, and
    # probabilities have a floor of 1e-12, so no product leaves the range; this is 20 times as fast as sums of logs.
    for _ in range(iterations):
        scale = np.exp(bias - bias.max(1, keepdims=True))
        columns = scale * ((1 / (p @ scale.T)).T @ p)
        bias = bias + aim - np.log(np.maximum(columns, 1e-300))
        bias = np.clip(bias - bias.mean(1, keepdims=True), -200, 200)
    return np.asarray(bias)


class OutputCorrection(BaseModel):
    """What rung 1 has learned: plain numbers that a recogniser stores in ``model.json`` and applies in numpy.

    ``apply`` gives ``log_softmax((z + class_bias - offsets[g]) / temperature)``. The class bias holds the prior
    correction, the centring or the bias from labels; the temperature changes no arg-max.

    Attributes:
        classes: names of the K classes in the order of the model's outputs.
        class_bias: K numbers, added to the log-probabilities.
        offsets: group -> K numbers, subtracted; faces of other groups have none.
        prior: class shares of the target that the bias was made for, for the record; None where none were used.
        temperature: divides the corrected log-probabilities.

    Example:
        >>> rung = OutputCorrection(classes=("anger", "neutral"), class_bias=(1.0, 0.0))
        >>> rung.apply(np.log([[0.5, 0.5]])).argmax(1).tolist()
        [0]
        >>> OutputCorrection.model_validate_json(rung.model_dump_json()) == rung
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = Field(min_length=1)
    class_bias: _Row
    offsets: Mapping[str, _Row] = Field(default_factory=dict)
    prior: _Row | None = None
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _sizes(self) -> OutputCorrection:
        count = len(self.classes)
        if any(len(row) != count for row in (self.class_bias, self.prior or self.class_bias, *self.offsets.values())):
            raise ValueError(f"a bias, an offset or a prior has not one number for each of {count} classes")
        if self.prior is not None and (min(self.prior) < 0 or not math.isclose(sum(self.prior), 1, abs_tol=0.01)):
            raise ValueError("the prior does not add up to 1")
        return self

    @classmethod
    def identity(cls, classes: Sequence[str]) -> OutputCorrection:
        """Return the correction that changes nothing."""
        return cls(classes=tuple(classes), class_bias=(0.0,) * len(classes))

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        bias: ArrayLike,
        offsets: Mapping[str, ArrayLike] | None = None,
        prior: ArrayLike | None = None,
        temperature: float = 1.0,
    ) -> OutputCorrection:
        """Make a correction from arrays.

        Args:
            classes: names of the K classes.
            bias: (K,).
            offsets: group -> (K,).
            prior: (K,) or None.
            temperature: above 0.

        Returns:
            The correction.

        Raises:
            DataError: when sizes or values are wrong.

        Example:
            >>> OutputCorrection.of(["anger", "neutral"], np.zeros(2)).class_bias
            (0.0, 0.0)
        """
        try:
            return cls(
                classes=tuple(classes),
                class_bias=tuple(np.asarray(bias, np.float64).tolist()),
                offsets={name: tuple(np.asarray(row, np.float64).tolist()) for name, row in (offsets or {}).items()},
                prior=None if prior is None else tuple(np.asarray(prior, np.float64).tolist()),
                temperature=temperature,
            )
        except ValueError as error:
            raise DataError(
                "A correction needs one finite number for each class, and a temperature above 0."
            ) from error

    def apply(self, log_probabilities: ArrayLike, groups: Groups | None = None) -> Floats:
        """Return corrected log-probabilities.

        Args:
            log_probabilities: (N, K).
            groups: (N,) name of each face's group, or None for no offsets; unknown names have none.

        Returns:
            (N, K) float64, rows normalised.

        Raises:
            DataError: when shapes or values are wrong.

        Example:
            >>> np.exp(OutputCorrection.identity(["a", "b"]).apply(np.log([[0.25, 0.75]]))).round(3).tolist()
            [[0.25, 0.75]]
        """
        z = checked_log(log_probabilities)
        if z.shape[1] != len(self.classes):
            raise DataError(f"The answers have {z.shape[1]} classes and the correction {len(self.classes)}.")
        moved = z + np.array(self.class_bias)
        if groups is not None and self.offsets:
            names, numbers = group_numbers(groups, len(z))
            none = (0.0,) * len(self.classes)
            moved = moved - np.array([self.offsets.get(str(name), none) for name in names] or [none])[numbers]
        return log_softmax(moved / self.temperature)

    def as_bias(self) -> Floats:
        """Return the constant part (K,) float64, which an exported graph adds to its log-probabilities.

        With the division by ``temperature`` after it, the graph then answers as ``apply`` does without groups.

        Returns:
            (K,) float64 with mean 0 (a constant added to all classes changes nothing).

        Example:
            >>> OutputCorrection(classes=("a", "b"), class_bias=(1.0, 0.0)).as_bias().tolist()
            [0.5, -0.5]
        """
        bias = np.array(self.class_bias)
        return np.asarray(bias - bias.mean())


def declared_correction(
    classes: Sequence[str],
    source: ArrayLike,
    target: ArrayLike,
    settings: OutputSettings | None = None,
    offsets: Mapping[str, ArrayLike] | None = None,
) -> OutputCorrection:
    """Return the correction for declared class shares of faces that come one by one.

    Args:
        classes: names of the K classes.
        source: (K,) the mean of the model's own probabilities on held-out source faces.
        target: (K,) declared shares.
        settings: tau.
        offsets: group -> (K,), from :func:`group_offsets` or :func:`neutral_offsets`.

    Returns:
        The correction, which needs no other faces of the set.

    Raises:
        UsageError: when there are fewer than two classes.
        DataError: when shapes or values are wrong.

    Example:
        >>> declared_correction(["a", "b"], [0.25, 0.75], [0.25, 0.75]).class_bias
        (0.0, 0.0)
    """
    if len(classes) < 2:
        raise UsageError("Class shares need a model of at least two classes.")
    bias = prior_bias(source, target, (settings or OutputSettings()).tau)
    return OutputCorrection.of(classes, bias, offsets, checked_shares(target, len(classes)))
