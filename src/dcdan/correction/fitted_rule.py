"""The rule by which a correction is used without labels: a few numbers, fitted on a grid of known shifts.

``experiments/source_free/grid.py`` draws faces of known shifts, class shares and sizes, measures what each correction
gains, and fits one line for the accuracy and one for each correction's gain. ``verdict_rule.json`` holds them with
their provenance; docs/results/source_free says how they do on shifts left out of the fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from dcdan.correction.arrays import Floats, checked_log, checked_shares, log_softmax
from dcdan.correction.estimators import AccuracyEstimate, CalibrationMap, confidence_score, mano_score
from dcdan.correction.output import sinkhorn
from dcdan.correction.verdict import Answer, Verdict, VerdictRule

SOURCE = "source"
DECLARED, UNDECLARED = "declared", "undeclared"
TEMPERATURES = (0.5, 4.0)
"""Range of the temperatures that :func:`temperature_for` returns."""

_FILE = "verdict_rule.json"


class CandidateRule(BaseModel):
    """When one kind of correction is used.

    Attributes:
        gain: line from scores of the answers before and after to the gain of accuracy.
        verdict: from which gain on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain: CalibrationMap
    verdict: VerdictRule


class FittedRule(BaseModel):
    """All numbers of the decision without labels.

    Attributes:
        provenance: model, data, shifts and command of the fit.
        accuracy: ``declared`` and ``undeclared``: line from scores to the accuracy, with and without class shares.
        candidates: name of a correction -> when it is used; a correction that is not named is never used unseen.
        keep_from: estimated accuracy of the source model from which on it is kept and not called uncertain.
        faces: fewest different faces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: dict[str, str | int | float | list[str]] = Field(default_factory=dict)
    accuracy: dict[str, CalibrationMap]
    candidates: dict[str, CandidateRule]
    keep_from: float = Field(default=0.8, ge=0, le=1)
    faces: int = Field(default=32, ge=1)


class Considered(NamedTuple):
    """A correction that the rule has looked at.

    Attributes:
        name: of the correction.
        gain: estimated gain of accuracy over the source model, 0.01 is one point; NaN where the rule has no line.
        error: standard error of that estimate; NaN likewise.
        reason: why it is used or not, in one sentence.
    """

    name: str
    gain: float
    error: float
    reason: str


class RuleDecision(NamedTuple):
    """What the rule says.

    Attributes:
        verdict: in words and numbers.
        temperature: divides the log-probabilities of the model that is used, so that their mean confidence is the
            estimated accuracy; 1 where there is nothing to estimate by.
        considered: every correction, in the order given.
    """

    verdict: Verdict
    temperature: float
    considered: tuple[Considered, ...] = ()


@cache
def fitted_rule() -> FittedRule:
    """Return the rule of the package.

    Example:
        >>> sorted(fitted_rule().accuracy)
        ['declared', 'undeclared']
    """
    return FittedRule.model_validate_json(files("dcdan.correction").joinpath(_FILE).read_text(encoding="utf-8"))


def accuracy_scores(log_probabilities: ArrayLike, shares: ArrayLike | None = None) -> dict[str, float]:
    """Return the scores that the accuracy of one model is estimated by.

    Args:
        log_probabilities: (N, K) of the model on the target, N at least 1.
        shares: (K,) declared class shares, or None.

    Returns:
        ``confidence`` and ``mano``; with shares also ``joint confidence``: the mean probability that a joint
        assignment to these shares gives to the model's own answers.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> found = accuracy_scores(np.log([[0.9, 0.1], [0.9, 0.1]]), [0.5, 0.5])
        >>> {name: round(value, 2) for name, value in found.items()}
        {'confidence': 0.9, 'mano': 0.71, 'joint confidence': 0.5}
    """
    z = checked_log(log_probabilities)
    found = {"confidence": confidence_score(z), "mano": mano_score(z)}
    if shares is not None and len(z):
        joint = np.exp(sinkhorn(z, checked_shares(shares, z.shape[1])).log_probabilities)
        found["joint confidence"] = float(joint[np.arange(len(z)), z.argmax(1)].mean())
    return found


def gain_scores(before: ArrayLike, after: ArrayLike, shares: ArrayLike | None = None) -> dict[str, float]:
    """Return the scores that the gain of a correction is estimated by.

    Args:
        before: (N, K) log-probabilities of the source model, N at least 1.
        after: (N, K) of the corrected one.
        shares: (K,) declared class shares, or None.

    Returns:
        ``changed``: share of answers that change; ``own gain``: what the corrected probabilities themselves say of
        the gain; ``confidence`` before; with shares also ``gap``: how far, in total variation, the mean probabilities
        before lie from them.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> scores = gain_scores(np.log([[0.6, 0.4]]), np.log([[0.3, 0.7]]))
        >>> {name: round(value, 2) for name, value in scores.items()}
        {'changed': 1.0, 'own gain': 0.4, 'confidence': 0.6}
    """
    z, corrected = checked_log(before), checked_log(after)
    if len(z) == 0:
        return {}
    p, named = np.exp(corrected), z.argmax(1)
    found = {
        "changed": float(np.mean(named != corrected.argmax(1))),
        "own gain": float(p.max(1).mean() - p[np.arange(len(z)), named].mean()),
        "confidence": confidence_score(z),
    }
    if shares is not None:
        found["gap"] = float(0.5 * np.abs(np.exp(z).mean(0) - checked_shares(shares, z.shape[1])).sum())
    return found


def decide_by_rule(
    source: ArrayLike,
    corrected: Mapping[str, Floats],
    different: int,
    shares: ArrayLike | None = None,
    rule: FittedRule | None = None,
) -> RuleDecision:
    """Decide without labels between the source model and its corrections.

    A correction is used when its estimated gain, less ``caution`` standard errors, reaches its bar; of several the one
    that passes its bar by most. Else the source model predicts, and the verdict is to keep it where it is estimated
    to do well, and to label faces where not.

    Args:
        source: (N, K) log-probabilities of the source model.
        corrected: name -> (N, K) of each corrected model.
        different: number of faces that are not copies of another.
        shares: (K,) declared class shares, or None.
        rule: the numbers; None for those of the package.

    Returns:
        The verdict and a temperature for the model that it names.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> decide_by_rule(np.log(np.full((5, 2), 0.5)), {}, 5).verdict.answer.value
        'keep the model you had'
    """
    chosen = rule or fitted_rule()
    z = checked_log(source)
    before = estimated_accuracy(z, shares, chosen, different)
    if different < chosen.faces:
        what = f"{different} different face{'s are' if different != 1 else ' is'} too few to adapt to"
        return RuleDecision(Verdict(Answer.KEEP, SOURCE, before, 0.0, f"{what}; {chosen.faces} are needed."), 1.0)
    seen = {name: _considered(name, z, way, shares, chosen) for name, way in corrected.items()}
    margins = {name: _margin(each, chosen) for name, each in seen.items() if name in chosen.candidates}
    best = max(margins, key=lambda name: margins[name], default=SOURCE)
    considered = tuple(
        each._replace(reason="Another correction passes its bar by more.")
        if margins.get(name, -1) >= 0 and name != best
        else each
        for name, each in seen.items()
    )
    if margins.get(best, -1) >= 0:
        return _use(z, corrected[best], seen[best], shares, chosen)._replace(considered=considered)
    gain = seen[best].gain if best in seen else 0.0
    temperature = temperature_for(z, before.value)
    if before.value >= chosen.keep_from:
        reason = (
            f"It is estimated to be right on {100 * before.value:.0f} % of these faces, about as on those it was "
            "trained for, and no correction is sure to be better."
        )
        return RuleDecision(Verdict(Answer.KEEP, SOURCE, before, gain, reason), temperature, considered)
    reason = seen[best].reason if best in seen else "No correction is safe here without knowledge of these faces."
    reason += (
        " Labels of 40 faces would tell." if shares is not None else " Class shares (--shares) or labels would tell."
    )
    return RuleDecision(Verdict(Answer.UNKNOWN, SOURCE, before, gain, reason), temperature, considered)


def estimated_accuracy(
    log_probabilities: ArrayLike,
    shares: ArrayLike | None = None,
    rule: FittedRule | None = None,
    faces: int | None = None,
) -> AccuracyEstimate:
    """Estimate the accuracy of a model on a target without labels.

    Args:
        log_probabilities: (N, K).
        shares: (K,) declared class shares, or None.
        rule: the numbers; None for those of the package.
        faces: number of different faces, for the interval; None for N.

    Returns:
        The estimate with its interval; 0..1 without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> found = estimated_accuracy(np.log([[0.9, 0.1]] * 100))
        >>> found.low < found.value < found.high
        True
    """
    z = checked_log(log_probabilities)
    kind = UNDECLARED if shares is None else DECLARED
    scores = accuracy_scores(z, shares)
    name = "confidence" if shares is None else "confidence and declared shares"
    return (rule or fitted_rule()).accuracy[kind].estimate(scores, name, len(z) if faces is None else faces)


def temperature_for(log_probabilities: ArrayLike, accuracy: float) -> float:
    """Return the temperature at which the mean confidence is a given accuracy.

    Args:
        log_probabilities: (N, K).
        accuracy: estimated or measured, 0..1.

    Returns:
        The temperature, within ``TEMPERATURES``; 1 without faces.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> z = np.log([[0.9, 0.1], [0.2, 0.8]])
        >>> round(float(np.exp(log_softmax(z / temperature_for(z, 0.7)).max(1)).mean()), 3)
        0.7
    """
    z = checked_log(log_probabilities)
    low, high = (math.log(each) for each in TEMPERATURES)
    if len(z) == 0 or not math.isfinite(accuracy):
        return 1.0
    for _ in range(20):  # the mean confidence falls as the temperature rises
        middle = (low + high) / 2
        if confidence_score(log_softmax(z / math.exp(middle))) > accuracy:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _considered(name: str, z: Floats, way: Floats, shares: ArrayLike | None, rule: FittedRule) -> Considered:
    if name not in rule.candidates:
        reason = "On the grid of known shifts no estimate tells where it helps and where it harms: only labels do."
        return Considered(name, math.nan, math.nan, reason)
    line, bars = rule.candidates[name].gain, rule.candidates[name].verdict
    gain, error = line.predict(gain_scores(z, way, shares)), line.error(len(z))
    found = Considered(name, gain, error, "")
    points = f"{100 * gain:.1f} points, standard error {100 * error:.1f}"
    if _margin(found, rule) >= 0:
        return found._replace(reason=f"Its estimated gain ({points}) passes the bar of {100 * bars.use_above:.1f}.")
    return found._replace(
        reason=f"The estimated gain of the best correction, {name} ({points}), is too small to be sure."
    )


def _margin(found: Considered, rule: FittedRule) -> float:
    bars = rule.candidates[found.name].verdict
    return found.gain - bars.caution * found.error - bars.use_above


def _use(z: Floats, way: Floats, found: Considered, shares: ArrayLike | None, rule: FittedRule) -> RuleDecision:
    after = estimated_accuracy(way, shares, rule)
    changed = float(np.mean(z.argmax(1) != way.argmax(1)))
    given = "I" if shares is None else "If the declared shares are right, i"
    reason = (
        f"{given}t is estimated to be {100 * found.gain:.1f} points better (standard error "
        f"{100 * found.error:.1f}); {100 * changed:.0f} % of the answers change."
    )
    verdict = Verdict(Answer.USE, found.name, after, found.gain, reason)
    return RuleDecision(verdict, temperature_for(way, after.value))
