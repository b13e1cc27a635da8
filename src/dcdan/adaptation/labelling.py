"""What labelled faces lead to: accuracies with intervals, the choice between the corrected models, the verdict.

A bias per class is the default; any other correction is taken only where it explains the labelled faces better beyond
its error, and none unless it is right on more of them (:func:`dcdan.correction.labels.choose`). Corrections that the
labels fit are judged by leave-one-out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dcdan.adaptation.decision import OFFSETS, SOURCE, Candidate, Decision
from dcdan.correction.arrays import Floats, log_softmax
from dcdan.correction.estimators import AccuracyEstimate
from dcdan.correction.fitted_rule import FittedRule, estimated_accuracy
from dcdan.correction.labels import (
    AccuracyInterval,
    Labelled,
    LabelSettings,
    choose,
    fit_bias,
    leave_one_out,
    leave_one_out_shares,
    log_likelihood,
    measured_accuracy,
)
from dcdan.correction.output import OutputCorrection, sinkhorn
from dcdan.correction.shares import label_shares
from dcdan.correction.verdict import Answer, Verdict

BIAS = "bias"
LABEL_SHARES = "shares by labels"
OFFSETS_BIAS = "offsets and bias"


class LabelDecision(NamedTuple):
    """What labels lead to.

    Attributes:
        decision: the verdict and the model that predicts.
        accuracy: model -> measured accuracy; of what the labels fitted by leave-one-out.
        shares: (K,) class shares estimated from the labels.
    """

    decision: Decision
    accuracy: dict[str, AccuracyInterval]
    shares: Floats


def decide_with_labels(
    z: Floats,
    classes: tuple[str, ...],
    found: dict[str, Candidate],
    labels: Labelled,
    rule: FittedRule | None = None,
) -> LabelDecision:
    """Choose between the source model and all corrected ones by labelled faces.

    Args:
        z: (N, K) log-probabilities of the source model.
        classes: K names.
        found: corrected models that need no labels, see :func:`dcdan.adaptation.decision.candidates`.
        labels: labelled faces, drawn by the source model's predictions.
        rule: the numbers of the estimate without labels; None for those of the package.
    """
    settings = LabelSettings()
    sample, y, rows = labels.sample, labels.labels, labels.sample.rows
    shares = label_shares(y, sample.weights, np.exp(z).mean(0))
    joint = sinkhorn(z, shares)
    bias = fit_bias(z[rows], y, sample.weights, settings.l2)
    made = {
        SOURCE: Candidate(OutputCorrection.identity(classes), z),
        BIAS: Candidate(OutputCorrection.of(classes, bias), log_softmax(z + bias)),
        LABEL_SHARES: Candidate(OutputCorrection.of(classes, joint.bias, prior=shares), joint.log_probabilities),
    }
    judged = {
        SOURCE: z[rows],
        BIAS: leave_one_out(z[rows], y, sample.weights, settings.l2),
        LABEL_SHARES: leave_one_out_shares(z, labels, joint),
    }
    for name, candidate in found.items():
        made[name], judged[name] = candidate, candidate.log_probabilities[rows]
    if OFFSETS in found:
        moved, offsets = found[OFFSETS].log_probabilities, found[OFFSETS].correction.offsets
        more = fit_bias(moved[rows], y, sample.weights, settings.l2)
        made[OFFSETS_BIAS] = Candidate(OutputCorrection.of(classes, more, offsets), log_softmax(moved + more))
        judged[OFFSETS_BIAS] = leave_one_out(moved[rows], y, sample.weights, settings.l2)
    accuracy = {name: measured_accuracy(way.argmax(1) == y, sample, settings) for name, way in judged.items()}
    scores = {name: log_likelihood(way, y) for name, way in judged.items()}
    best, reason = choose(scores, sample, settings, accuracy)
    if len(y) < settings.fewest:
        verdict = Verdict(Answer.UNKNOWN, SOURCE, estimated_accuracy(z, rule=rule), 0.0, reason)
        return LabelDecision(Decision(verdict, made[SOURCE]), accuracy, shares)
    kept = made[best].tempered(combined_accuracy(made[best].log_probabilities, accuracy[best], rule))
    return LabelDecision(Decision(_verdict(best, accuracy), kept), accuracy, shares)


def combined_accuracy(z: Floats, measured: AccuracyInterval, rule: FittedRule | None = None) -> float:
    """Return the accuracy by labels and by confidence together, each weighted by its inverse variance."""
    estimate = estimated_accuracy(z, rule=rule)
    unseen = max(1e-6, ((estimate.high - estimate.low) / (2 * 1.96)) ** 2)
    seen = max(1e-6, measured.variance)
    return (estimate.value * seen + measured.value * unseen) / (seen + unseen)


def _verdict(best: str, accuracy: dict[str, AccuracyInterval]) -> Verdict:
    before, after = accuracy[SOURCE], accuracy[best]
    gain = after.value - before.value
    measured = f"{100 * before.value:.0f} % of {before.labels} labelled faces, weighted by how they were drawn"
    if best == SOURCE:
        reason = f"No correction explains the labelled faces better; it is right on {measured}."
        return Verdict(Answer.KEEP, SOURCE, _estimate(before), 0.0, reason)
    reason = (
        f"It explains the labelled faces better: the model was right on {measured}, now on {100 * after.value:.0f} %."
    )
    return Verdict(Answer.USE, best, _estimate(after), gain, reason)


def _estimate(found: AccuracyInterval) -> AccuracyEstimate:
    value = min(1.0, max(0.0, found.value))
    return AccuracyEstimate(
        value=value, low=min(found.low, value), high=max(found.high, value), name=f"{found.labels} labels"
    )


def accuracies_json(found: dict[str, AccuracyInterval]) -> dict[str, Any]:
    """Return accuracies as JSON values; without labels there are none."""
    return {
        name: {"value": round(each.value, 4), "low": round(each.low, 4), "high": round(each.high, 4)}
        for name, each in found.items()
        if np.isfinite(each.value)
    }
