"""Corrections of the output that a target allows, and the verdict on them without labels.

Which of them is used without labels is decided by the rule of :mod:`dcdan.correction.fitted_rule`, whose few numbers
are fitted on known shifts: shares read off the answers of a model that is pulled to one class are wrong where it
matters (method, section 7), so a correction without knowledge is used only where the grid says that it is safe.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dcdan.adaptation.groups import Grouping
from dcdan.correction.arrays import Floats, checked_shares, log_softmax
from dcdan.correction.estimators import AccuracyEstimate
from dcdan.correction.fitted_rule import Considered, FittedRule, decide_by_rule, estimated_accuracy, temperature_for
from dcdan.correction.output import Groups, OutputCorrection, OutputSettings, group_offsets, prior_bias, sinkhorn
from dcdan.correction.shares import em_shares
from dcdan.correction.verdict import Answer, Verdict

SOURCE = "source"
SHARES = "shares"
OFFSETS = "offsets"
BOTH = "offsets and shares"

ESTIMATED = "estimated shares"

FEWEST = 32
"""Different faces below which nothing is decided without labels (method, section 7)."""


class Candidate(NamedTuple):
    """A corrected model.

    Attributes:
        correction: what it stores, for single pictures too.
        log_probabilities: (N, K) of all faces of the target, assigned jointly where shares are used.
        network: name of the rung whose network it has; empty for the start model's.
    """

    correction: OutputCorrection
    log_probabilities: Floats
    network: str = ""

    def tempered(self, accuracy: float) -> Candidate:
        """Return the same answers with probabilities whose mean confidence is an accuracy."""
        temperature = round(temperature_for(self.log_probabilities, accuracy), 4)
        correction = self.correction.model_copy(update={"temperature": temperature})
        return Candidate(correction, log_softmax(self.log_probabilities / temperature), self.network)


class Decision(NamedTuple):
    """What becomes of a target.

    Attributes:
        verdict: in words and numbers.
        candidate: the model that predicts from now on.
        considered: what the rule without labels says of each correction; empty where labels decide.
    """

    verdict: Verdict
    candidate: Candidate
    considered: tuple[Considered, ...] = ()


def unchanged(z: Floats, classes: tuple[str, ...]) -> Candidate:
    """Return the source model as a candidate."""
    return Candidate(OutputCorrection.identity(classes), z)


def candidates(
    z: Floats,
    classes: tuple[str, ...],
    groups: Groups,
    grouping: Grouping,
    shares: Floats | None,
    prior: Floats | None = None,
) -> dict[str, Candidate]:
    """Return the corrected models that need no labels, by name, the least risky first.

    Args:
        z: (N, K) log-probabilities of the source model.
        classes: K names.
        groups: (N,) name of each face's group.
        grouping: whether groups show the same mix of expressions.
        shares: (K,) declared class shares; None where none were declared.
        prior: (K,) class shares of the source, for shares estimated from the answers; None where they are not known.
    """
    found: dict[str, Candidate] = {}
    kind = OutputSettings(offsets="mean" if grouping is Grouping.ALIKE else "within-class")
    offsets = {} if grouping is Grouping.NONE else group_offsets(z, groups, kind)
    nothing = np.zeros(len(classes))
    if shares is not None:
        correction = OutputCorrection.of(
            classes, shares_bias(z, shares, prior), prior=checked_shares(shares, len(classes))
        )
        found[SHARES] = Candidate(correction, correction.apply(z))
    elif prior is not None and len(z):
        estimated = em_shares(z, prior, prior)
        correction = OutputCorrection.of(classes, prior_bias(prior, estimated), prior=estimated)
        found[ESTIMATED] = Candidate(correction, correction.apply(z))
    if offsets:
        correction = OutputCorrection.of(classes, nothing, offsets)
        moved = correction.apply(z, groups)
        found[OFFSETS] = Candidate(correction, moved)
        if shares is not None:
            aim = checked_shares(shares, len(classes))
            both = OutputCorrection.of(classes, shares_bias(moved, shares, prior), offsets, aim)
            found[BOTH] = Candidate(both, both.apply(z, groups))
    return found


def shares_bias(z: Floats, shares: Floats, prior: Floats | None) -> Floats:
    """Return the class bias that moves answers to declared class shares.

    The mean of two: that of the joint assignment (Sinkhorn), which takes all of the gap between answers and shares for
    an error of the model, and Bayes' rule, which takes all of it for a change of shares. On the grid of known shifts
    the mean gains more than either and harms less than the first (docs/results/source_free).

    Args:
        z: (N, K) log-probabilities.
        shares: (K,) declared.
        prior: (K,) shares of the source; None for the joint assignment alone.

    Returns:
        (K,) float64.
    """
    joint = sinkhorn(z, shares).bias
    if prior is None:
        return joint
    bayes = prior_bias(prior, shares)
    return np.asarray((joint + bayes - bayes.mean()) / 2)


def decide_without_labels(
    z: Floats,
    classes: tuple[str, ...],
    found: dict[str, Candidate],
    grouping: Grouping,
    different: int,
    rule: FittedRule | None = None,
) -> Decision:
    """Give the verdict without labels.

    Args:
        z: (N, K) log-probabilities of the source model.
        classes: K names.
        found: from :func:`candidates`.
        grouping: offsets are used unseen only where groups show the same mix of expressions.
        different: number of faces that are not copies of another.
        rule: the numbers; None for those of the package.
    """
    source = unchanged(z, classes)
    if len(z) == 0:
        verdict = Verdict(Answer.KEEP, SOURCE, unsupported_estimate(z), 0.0, "There are no faces.")
        return Decision(verdict, source)
    shares = np.array(found[SHARES].correction.prior) if SHARES in found else None
    unseen = {
        name: each.log_probabilities
        for name, each in found.items()
        if grouping is Grouping.ALIKE or name not in (OFFSETS, BOTH)
    }
    verdict, temperature, considered = decide_by_rule(z, unseen, different, shares, rule)
    kept = found.get(verdict.model, source)
    kept = kept if temperature == 1 else kept.tempered(verdict.estimate.value)
    return Decision(verdict, kept, considered)


def unsupported_estimate(z: Floats) -> AccuracyEstimate:
    """Return the accuracy that the confidence alone speaks for, with the interval measured on known shifts."""
    return estimated_accuracy(z) if len(z) else AccuracyEstimate(value=0, low=0, high=1, name="confidence")
