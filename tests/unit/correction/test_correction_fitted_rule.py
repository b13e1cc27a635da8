"""The decision without labels: scores, the rule, the temperature, and the numbers of the package."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dcdan.core.errors import DataError
from dcdan.correction.arrays import log_softmax
from dcdan.correction.estimators import CalibrationMap
from dcdan.correction.fitted_rule import (
    TEMPERATURES,
    CandidateRule,
    FittedRule,
    accuracy_scores,
    decide_by_rule,
    estimated_accuracy,
    fitted_rule,
    gain_scores,
    temperature_for,
)
from dcdan.correction.output import sinkhorn
from dcdan.correction.verdict import Answer, VerdictRule

EVEN = np.full(3, 1 / 3)


def answers(faces: int = 200, seed: int = 0) -> np.ndarray:
    return log_softmax(np.random.default_rng(seed).normal(0, 1.5, (faces, 3)) + np.array([0, 0, 1]))


def flat(intercept: float, name: str = "confidence", **more: float) -> CalibrationMap:
    values = {"weights": (0.0,), "residual": 0.05} | more
    return CalibrationMap(names=(name,), centres=(0,), scales=(1,), intercept=intercept, **values)


def rule(keep_from: float = 0.9, accuracy: float = 0.7, **gains: tuple[float, float, float, float]) -> FittedRule:
    """Correction -> its estimated gain, standard error, bar and caution."""
    return FittedRule(
        accuracy={"declared": flat(accuracy), "undeclared": flat(accuracy)},
        candidates={
            name: CandidateRule(gain=flat(gain, residual=error), verdict=VerdictRule(use_above=bar, caution=caution))
            for name, (gain, error, bar, caution) in gains.items()
        },
        keep_from=keep_from,
    )


def test_scores_against_loops() -> None:
    z = answers()
    after = log_softmax(z + np.array([1.0, 0.5, -1.0]))
    shares = np.array([0.5, 0.3, 0.2])
    joint = np.exp(sinkhorn(z, shares).log_probabilities)
    kept = sum(joint[i, z[i].argmax()] for i in range(200)) / 200
    assert accuracy_scores(z, shares)["joint confidence"] == pytest.approx(kept)
    assert "joint confidence" not in accuracy_scores(z)
    p = np.exp(after)
    own = sum(p[i].max() - p[i, z[i].argmax()] for i in range(200)) / 200
    changed = sum(int(p[i].argmax() != z[i].argmax()) for i in range(200)) / 200
    means = [sum(math.exp(z[i, k]) for i in range(200)) / 200 for k in range(3)]
    gap = sum(abs(mean - share) for mean, share in zip(means, shares, strict=True)) / 2
    found = gain_scores(z, after, shares)
    assert found["own gain"] == pytest.approx(own)
    assert found["changed"] == pytest.approx(changed)
    assert found["gap"] == pytest.approx(gap)
    assert 0 < changed < 1
    assert gain_scores(z, z, shares)["own gain"] == 0
    assert gain_scores(np.zeros((0, 3)), np.zeros((0, 3))) == {}


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        ((0.05, 0.02, 0.02, 1.0), Answer.USE),
        ((0.05, 0.04, 0.02, 1.0), Answer.UNKNOWN),
        ((0.05, 0.04, 0.02, 0.5), Answer.USE),
        ((0.01, 0.0, 0.02, 1.0), Answer.UNKNOWN),
        ((-0.05, 0.0, 0.0, 0.0), Answer.UNKNOWN),
    ],
)
def test_a_gain_counts_less_its_error(numbers: tuple[float, float, float, float], answer: Answer) -> None:
    z = answers()
    way = log_softmax(z + np.array([1.0, 0.0, 0.0]))
    found = decide_by_rule(z, {"shares": way}, 200, EVEN, rule(shares=numbers))
    assert found.verdict.answer is answer
    assert found.verdict.model == ("shares" if answer is Answer.USE else "source")
    assert found.verdict.reason.endswith(".")
    assert [each.name for each in found.considered] == ["shares"]


def test_the_correction_that_passes_its_bar_by_most_is_used() -> None:
    z = answers()
    ways = {"shares": z, "offsets": z, "other": z}
    found = decide_by_rule(z, ways, 200, None, rule(shares=(0.05, 0.0, 0.01, 0), offsets=(0.06, 0.0, 0.03, 0)))
    assert found.verdict.model == "shares"
    by_name = {each.name: each for each in found.considered}
    assert "by more" in by_name["offsets"].reason
    assert math.isnan(by_name["other"].gain)


def test_where_the_model_does_well_it_is_kept_and_not_called_uncertain() -> None:
    z = answers()
    assert decide_by_rule(z, {}, 200, None, rule(keep_from=0.7)).verdict.answer is Answer.KEEP
    found = decide_by_rule(z, {}, 200, None, rule(keep_from=0.71)).verdict
    assert found.answer is Answer.UNKNOWN
    assert "--shares" in found.reason


def test_few_faces_keep_the_model_and_its_probabilities() -> None:
    z = answers()
    found = decide_by_rule(z, {"shares": z}, 31, EVEN, rule(shares=(0.9, 0.0, 0.0, 0)))
    assert (found.verdict.answer, found.temperature) == (Answer.KEEP, 1.0)
    assert decide_by_rule(z, {"shares": z}, 32, EVEN, rule(shares=(0.9, 0.0, 0.0, 0))).verdict.answer is Answer.USE


@pytest.mark.parametrize("accuracy", [0.5, 0.6, 0.8])
def test_the_temperature_makes_the_confidence_an_accuracy(accuracy: float) -> None:
    z = answers()
    temperature = temperature_for(z, accuracy)
    assert np.exp(log_softmax(z / temperature).max(1)).mean() == pytest.approx(accuracy, abs=1e-4)


def test_the_temperature_stays_within_bounds() -> None:
    assert temperature_for(answers(), 0.0) == pytest.approx(TEMPERATURES[1], rel=1e-6)
    assert temperature_for(answers(), 1.0) == pytest.approx(TEMPERATURES[0], rel=1e-6)
    assert temperature_for(np.zeros((0, 3)), 0.5) == temperature_for(answers(), math.nan) == 1.0


def test_the_interval_is_wider_for_fewer_faces() -> None:
    numbers = rule().model_copy(update={"accuracy": {"undeclared": flat(0.6, sampling=0.25)}})
    wide, narrow = (estimated_accuracy(answers(faces), None, numbers) for faces in (32, 3000))
    assert wide.high - wide.low == pytest.approx(2 * 1.95996 * math.sqrt(0.05**2 + 0.25 / 32), rel=1e-4)
    assert wide.high - wide.low > narrow.high - narrow.low
    copies = estimated_accuracy(answers(3000), None, numbers, 32)
    assert copies.high - copies.low == pytest.approx(wide.high - wide.low)
    empty = estimated_accuracy(np.zeros((0, 3)), None, numbers)
    assert (empty.low, empty.high) == (0, 1)


def test_the_rule_of_the_package_is_whole() -> None:
    found = fitted_rule()
    assert set(found.accuracy) == {"declared", "undeclared"}
    assert {"shares", "estimated shares"} >= set(found.candidates) - {"offsets", "offsets and shares"}
    assert found.provenance["graph"]
    assert 0.5 < found.keep_from < 1
    for each in found.candidates.values():
        assert each.verdict.use_above < 1


def test_on_confident_answers_the_package_keeps_the_model() -> None:
    labels = np.arange(400) % 8
    z = log_softmax(9 * np.eye(8)[labels])
    assert decide_by_rule(z, {"estimated shares": z}, 400).verdict.answer is Answer.KEEP


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(DataError):
        gain_scores(answers(), answers(), [0.5, 0.5])
    with pytest.raises(DataError):
        accuracy_scores(np.full((3, 2), np.nan))
