"""Corrections of the output that a target allows, and the verdict on them without labels.

Without labels only declared class shares lead to `use it`: shares cannot be read off the answers of a model that is
pulled to one class, and on unshifted faces every correction made without knowledge does harm (method, section 7).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dcdan.adaptation.groups import Grouping
from dcdan.correction.arrays import Floats, checked_shares
from dcdan.correction.estimators import AccuracyEstimate
from dcdan.correction.output import Groups, OutputCorrection, OutputSettings, group_offsets, sinkhorn
from dcdan.correction.verdict import Answer, Verdict

SOURCE = "source"
SHARES = "shares"
OFFSETS = "offsets"
BOTH = "offsets and shares"

FEWEST = 32
"""Different faces below which nothing is decided without labels (method, section 7)."""

USE_ABOVE = 0.01
"""Estimated gain from which on declared shares are used."""

OVERCONFIDENCE = 0.4
"""How far the mean confidence of a model lay above its accuracy on real strange faces, at most (method, section 7)."""

SHARES_ERROR = 0.1
"""Error of the mean confidence as an estimate of accuracy under declared shares, one standard deviation; measured, see
docs/results/output_correction."""


class Candidate(NamedTuple):
    """A corrected model.

    Attributes:
        correction: what it stores, for single pictures too.
        log_probabilities: (N, K) of all faces of the target, assigned jointly where shares are used.
    """

    correction: OutputCorrection
    log_probabilities: Floats


class Decision(NamedTuple):
    """What becomes of a target.

    Attributes:
        verdict: in words and numbers.
        candidate: the model that predicts from now on.
    """

    verdict: Verdict
    candidate: Candidate


def unchanged(z: Floats, classes: tuple[str, ...]) -> Candidate:
    """Return the source model as a candidate."""
    return Candidate(OutputCorrection.identity(classes), z)


def candidates(
    z: Floats, classes: tuple[str, ...], groups: Groups, grouping: Grouping, shares: Floats | None
) -> dict[str, Candidate]:
    """Return the corrected models that need no labels, by name, the least risky first.

    Args:
        z: (N, K) log-probabilities of the source model.
        classes: K names.
        groups: (N,) name of each face's group.
        grouping: whether groups show the same mix of expressions.
        shares: (K,) declared class shares; None where none were declared.
    """
    found: dict[str, Candidate] = {}
    kind = OutputSettings(offsets="mean" if grouping is Grouping.ALIKE else "within-class")
    offsets = {} if grouping is Grouping.NONE else group_offsets(z, groups, kind)
    nothing = np.zeros(len(classes))
    if shares is not None:
        joint = sinkhorn(z, shares)
        correction = OutputCorrection.of(classes, joint.bias, prior=checked_shares(shares, len(classes)))
        found[SHARES] = Candidate(correction, joint.log_probabilities)
    if offsets:
        correction = OutputCorrection.of(classes, nothing, offsets)
        moved = correction.apply(z, groups)
        found[OFFSETS] = Candidate(correction, moved)
        if shares is not None:
            joint = sinkhorn(moved, shares)
            prior = checked_shares(shares, len(classes))
            found[BOTH] = Candidate(OutputCorrection.of(classes, joint.bias, offsets, prior), joint.log_probabilities)
    return found


def decide_without_labels(
    z: Floats, classes: tuple[str, ...], found: dict[str, Candidate], grouping: Grouping, different: int
) -> Decision:
    """Give the verdict without labels.

    Args:
        z: (N, K) log-probabilities of the source model.
        classes: K names.
        found: from :func:`candidates`.
        grouping: offsets are used unseen only where groups show the same mix of expressions.
        different: number of faces that are not copies of another.
    """
    source = unchanged(z, classes)
    name = BOTH if BOTH in found and grouping is Grouping.ALIKE else SHARES
    if different < FEWEST:
        what = f"{different} different face{'s are' if different != 1 else ' is'} too few to adapt to"
        reason = f"{what}; {FEWEST} are needed."
        return Decision(Verdict(Answer.KEEP, SOURCE, unsupported_estimate(z), 0.0, reason), source)
    if name not in found:
        reason = (
            "Without class shares (--shares) or labelled faces no correction is safe: the answers alone do not say "
            "which expressions are there."
        )
        return Decision(Verdict(Answer.UNKNOWN, SOURCE, unsupported_estimate(z), 0.0, reason), source)
    best = found[name]
    before, after = _with_shares(z, best)
    gain = after.value - before.value
    if gain < USE_ABOVE:
        reason = "The answers agree with the declared shares already, so there is nothing to correct."
        return Decision(Verdict(Answer.KEEP, SOURCE, before, gain, reason), source)
    changed = float((z.argmax(1) != best.log_probabilities.argmax(1)).mean())
    reason = (
        f"If the declared shares are right, it is estimated to be {100 * gain:.1f} points better; "
        f"{100 * changed:.0f} % of the answers change."
    )
    return Decision(Verdict(Answer.USE, name, after, gain, reason), best)


def unsupported_estimate(z: Floats) -> AccuracyEstimate:
    """Return what the confidence alone says of the accuracy; its interval is as wide as models were overconfident."""
    if len(z) == 0:
        return AccuracyEstimate(value=0, low=0, high=1, name="confidence")
    value = min(1.0, float(np.exp(z.max(1)).mean()))
    return AccuracyEstimate(
        value=value, low=max(0.0, value - OVERCONFIDENCE), high=min(1.0, value + 0.05), name="confidence"
    )


def _with_shares(z: Floats, best: Candidate) -> tuple[AccuracyEstimate, AccuracyEstimate]:
    """Return the accuracies of the source model and a corrected one, if the corrected probabilities are right."""
    p = np.exp(best.log_probabilities)
    values = (float(p[np.arange(len(z)), z.argmax(1)].mean()), float(p.max(1).mean()))
    before, after = (
        AccuracyEstimate(
            value=min(1.0, value),
            low=max(0.0, value - 2 * SHARES_ERROR),
            high=min(1.0, value + 2 * SHARES_ERROR),
            name="declared shares",
        )
        for value in values
    )
    return before, after
