"""The verdict: never worse first."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dcdan.core.errors import DataError
from dcdan.correction.estimators import AccuracyEstimate
from dcdan.correction.verdict import Answer, Cell, VerdictRule, decide, fit_verdict_rule, uses


def at(value: float) -> AccuracyEstimate:
    return AccuracyEstimate(value=value, low=max(0, value - 0.1), high=min(1, value + 0.1))


RULE = VerdictRule(use_above=0.02, keep_below=0.0, error=0.05, caution=1.0, faces=32)


@pytest.mark.parametrize(
    ("gain", "faces", "answer"),
    [
        (0.08, 300, Answer.USE),
        (0.06, 300, Answer.UNKNOWN),
        (0.0, 300, Answer.UNKNOWN),
        (-0.06, 300, Answer.KEEP),
        (0.3, 31, Answer.KEEP),
        (0.3, 1, Answer.KEEP),
        (0.3, 0, Answer.KEEP),
    ],
)
def test_verdicts(gain: float, faces: int, answer: Answer) -> None:
    found = decide(at(0.5), {"output": at(0.5 + gain)}, faces, RULE)
    assert found.answer is answer
    assert found.model == ("output" if answer is Answer.USE else "source")
    assert found.estimate.value == pytest.approx(0.5 + gain if answer is Answer.USE else 0.5)
    assert found.reason.endswith(".")
    assert "\n" not in found.reason


def test_the_best_candidate_counts_and_of_equal_ones_the_first() -> None:
    found = decide(at(0.4), {"output": at(0.7), "statistics": at(0.6), "training": at(0.7)}, 100, RULE)
    assert found.model == "output"
    assert decide(at(0.4), {}, 100).answer is Answer.KEEP


def noisy_cells(noise: float, seed: int = 0) -> list[Cell]:
    rng = np.random.default_rng(seed)
    return [
        Cell(f"shift {i % 8}", int(rng.choice([32, 100, 300])), float(gain + rng.normal(0, noise)), float(gain))
        for i, gain in enumerate(rng.normal(0.02, 0.06, 400))
    ]


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_a_fitted_rule_keeps_harm_within_bounds_on_shifts_it_has_not_seen(noise: float) -> None:
    fit = fit_verdict_rule(noisy_cells(noise))
    assert fit.harm <= 0.07
    assert fit.mean_gain >= 0
    if noise < 0.1:
        assert fit.mean_gain > 0.02


def test_the_rule_is_the_best_of_the_grid() -> None:
    cells = noisy_cells(0.05)
    true = np.array([cell.true_gain for cell in cells])
    error = math.sqrt(np.mean([(cell.estimated_gain - cell.true_gain) ** 2 for cell in cells]))
    best = 0.0
    for above, caution in itertools.product((0.0, 0.02), (0.0, 1.0)):
        used = np.array([c.faces >= 32 and c.estimated_gain - caution * error >= above for c in cells])
        if np.mean(used & (true < -0.01)) <= 0.05:
            best = max(best, float((used * true).mean()))
    rule = fit_verdict_rule(cells, (0.0, 0.02), (0.0, 1.0)).rule
    assert float((uses(cells, rule) * true).mean()) == pytest.approx(best)


def test_where_corrections_only_harm_nothing_is_used() -> None:
    cells = [Cell(f"shift {i % 3}", 300, 0.1, -0.1) for i in range(30)]
    fit = fit_verdict_rule(cells)
    assert (fit.used, fit.harm, fit.mean_gain) == (0, 0, 0)
    assert decide(at(0.2), {"output": at(0.9)}, 300, fit.rule).answer is not Answer.USE


def test_impossible_cells_are_one_sentence() -> None:
    with pytest.raises(DataError, match="two shifts"):
        fit_verdict_rule([Cell("blur", 300, 0.1, 0.1)])
    with pytest.raises(DataError, match="must be numbers"):
        fit_verdict_rule([Cell("blur", 300, math.nan, 0.1), Cell("pose", 300, 0.1, 0.1)])
