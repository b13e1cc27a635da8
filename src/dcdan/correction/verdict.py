"""Whether to use a corrected model: one of three verdicts, with the reason in one sentence.

Never worse comes first: a rule is fitted so that on cells of known shifts it has not seen, the model that it picks is
below the source model by more than one point in at most 5 % of them, and only then for its gain.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dcdan.core.errors import DataError
from dcdan.correction.estimators import AccuracyEstimate


class Answer(StrEnum):
    """The three verdicts, as they are shown."""

    USE = "use it"
    KEEP = "keep the model you had"
    UNKNOWN = "cannot tell: label 40 faces"


class VerdictRule(BaseModel):
    """The rule's parameters; a gain is a difference of accuracies, 0.01 is one point.

    Attributes:
        use_above: a corrected model is used from this estimated gain on.
        keep_below: below this estimated gain the source model is kept; between the two nothing can be told.
        error: standard deviation of the error of an estimated gain; ``use_above`` and ``keep_below`` are asked of the
            gain less, and plus, ``caution`` times this.
        caution: how many standard deviations.
        faces: with fewer faces the source model is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    use_above: float = Field(default=0.01, ge=0, le=1)
    keep_below: float = Field(default=0.0, ge=-1, le=1)
    error: float = Field(default=0.05, ge=0, le=1)
    caution: float = Field(default=1.0, ge=0, le=5)
    faces: int = Field(default=32, ge=1)


class Verdict(NamedTuple):
    """What is to be done.

    Attributes:
        answer: use, keep or unknown.
        model: the name of the model that predicts from now on; ``source`` unless the answer is use.
        estimate: its estimated accuracy.
        gain: estimated gain over the source model of the best corrected one.
        reason: one sentence.
    """

    answer: Answer
    model: str
    estimate: AccuracyEstimate
    gain: float
    reason: str


@dataclass(frozen=True)
class Cell:
    """One corrected model on one set of faces whose labels are known, for fitting a rule.

    Attributes:
        shift: name of the shift; cells of one shift are left out together.
        faces: number of faces.
        estimated_gain: by the label-free estimators, 0.01 is one point.
        true_gain: by the labels.
    """

    shift: str
    faces: int
    estimated_gain: float
    true_gain: float


class RuleFit(NamedTuple):
    """A fitted rule and what it does on shifts that it has not seen.

    Attributes:
        rule: fitted on all cells.
        mean_gain: over the cells, each judged by a rule fitted without its shift.
        harm: share of cells that end below the source model by more than one point.
        used: share of cells with the verdict to use.
    """

    rule: VerdictRule
    mean_gain: float
    harm: float
    used: float


def decide(
    source: AccuracyEstimate, candidates: dict[str, AccuracyEstimate], faces: int, rule: VerdictRule | None = None
) -> Verdict:
    """Give the verdict over the source model and corrected ones.

    Args:
        source: estimated accuracy of the source model.
        candidates: name -> estimated accuracy of each corrected model, the least risky first; of equal ones it wins.
        faces: how many faces the estimates are from.
        rule: the parameters; None for the default.

    Returns:
        The verdict.

    Example:
        >>> before = AccuracyEstimate(value=0.6, low=0.5, high=0.7)
        >>> after = AccuracyEstimate(value=0.75, low=0.65, high=0.85)
        >>> decide(before, {"output": after}, 300).answer.value
        'use it'
    """
    chosen = rule or VerdictRule()
    if not candidates:
        return Verdict(Answer.KEEP, "source", source, 0.0, "There is no corrected model to compare with.")
    best = max(candidates, key=lambda name: candidates[name].value)
    gain = candidates[best].value - source.value
    points = f"{100 * abs(gain):.1f} points {'better' if gain >= 0 else 'worse'}"
    if faces < chosen.faces:
        reason = f"{faces} faces are too few to compare models by; {chosen.faces} are needed."
        return Verdict(Answer.KEEP, "source", source, gain, reason)
    margin = chosen.caution * chosen.error
    if gain - margin >= chosen.use_above:
        reason = f"It is estimated to be {points}, which is beyond the error of the estimate ({100 * margin:.1f})."
        return Verdict(Answer.USE, best, candidates[best], gain, reason)
    if gain + margin <= chosen.keep_below:
        reason = f"The best corrected model is estimated to be {points}."
        return Verdict(Answer.KEEP, "source", source, gain, reason)
    reason = f"It is estimated to be {points}, within the error of the estimate ({100 * margin:.1f} points)."
    return Verdict(Answer.UNKNOWN, "source", source, gain, reason)


def uses(cells: Sequence[Cell], rule: VerdictRule) -> np.ndarray:
    """Return for which cells a rule says to use the corrected model.

    Args:
        cells: C cells.
        rule: the parameters.

    Returns:
        (C,) bool.

    Example:
        >>> uses([Cell("blur", 300, 0.2, 0.1), Cell("blur", 300, 0.0, 0.1)], VerdictRule()).tolist()
        [True, False]
    """
    gains = np.array([cell.estimated_gain for cell in cells])
    enough = np.array([cell.faces >= rule.faces for cell in cells], bool)
    return enough & (gains - rule.caution * rule.error >= rule.use_above)


def fit_verdict_rule(
    cells: Sequence[Cell],
    use_above: Sequence[float] = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05),
    caution: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
    harm: float = 0.05,
    point: float = 0.01,
) -> RuleFit:
    """Fit a rule on a grid: the largest mean gain among the rules whose harm stays within bounds.

    Args:
        cells: of two shifts or more.
        use_above: values tried.
        caution: values tried.
        harm: largest share of cells that may end below the source model.
        point: by how much a cell must fall to count as harmed.

    Returns:
        The rule fitted on all cells, and how rules fitted without a shift do on that shift. When no rule gains
        within the bounds, the most cautious of the grid with a bar that no cell reaches: it never says to use.

    Raises:
        DataError: when there are cells of fewer than two shifts, or a gain is no number.

    Example:
        >>> cells = [Cell(shift, 300, 0.2, 0.1) for shift in ("blur", "pose")] + [Cell("jpeg", 300, -0.1, -0.2)]
        >>> fit = fit_verdict_rule(cells)
        >>> fit.harm, round(fit.mean_gain, 3)
        (0.0, 0.067)
    """
    shifts = np.array([cell.shift for cell in cells], np.str_)
    names = np.unique(shifts)
    if len(names) < 2:
        raise DataError("A rule needs cells of two shifts or more, so that one can be left out.")
    true = np.array([cell.true_gain for cell in cells])
    estimated = np.array([cell.estimated_gain for cell in cells])
    if not (np.isfinite(true).all() and np.isfinite(estimated).all()):
        raise DataError("The gains of cells must be numbers.")

    def fitted(kept: np.ndarray) -> VerdictRule:
        chosen = [cell for cell, keep in zip(cells, kept, strict=True) if keep]
        gains = true[kept]
        error = float(np.sqrt(np.mean((estimated[kept] - gains) ** 2)))
        best, best_gain = None, 0.0
        for above, times in itertools.product(sorted(use_above, reverse=True), sorted(caution, reverse=True)):
            rule = VerdictRule(use_above=above, caution=times, error=min(1.0, error))
            used = uses(chosen, rule)
            gain = float(np.where(used, gains, 0.0).mean())
            if np.mean(used & (gains < -point)) <= harm and gain > best_gain + 1e-12:
                best, best_gain = rule, gain
        return best or VerdictRule(use_above=1.0, caution=max(caution), error=min(1.0, error))

    used = np.zeros(len(cells), bool)
    for name in names:
        out = shifts == name
        used[out] = uses([cell for cell, there in zip(cells, out, strict=True) if there], fitted(~out))
    return RuleFit(
        rule=fitted(np.ones(len(cells), bool)),
        mean_gain=float(np.where(used, true, 0.0).mean()),
        harm=float(np.mean(used & (true < -point))),
        used=float(used.mean()),
    )
