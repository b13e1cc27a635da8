"""Without labels only declared shares may change a model; with labels what they favour."""

from __future__ import annotations

import numpy as np
import pytest

from dcdan.adaptation.decision import (
    BOTH,
    ESTIMATED,
    FEWEST,
    OFFSETS,
    SHARES,
    SOURCE,
    candidates,
    decide_without_labels,
    shares_bias,
)
from dcdan.adaptation.groups import Grouping
from dcdan.adaptation.labelling import BIAS, decide_with_labels
from dcdan.correction.arrays import log_softmax
from dcdan.correction.estimators import CalibrationMap
from dcdan.correction.fitted_rule import CandidateRule, FittedRule
from dcdan.correction.labels import Labelled, draw_faces
from dcdan.correction.output import sinkhorn
from dcdan.correction.verdict import Answer, VerdictRule

CLASSES = ("anger", "happiness", "neutral")
EVEN = np.full(3, 1 / 3)


def answers(faces: int = 300, pull: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities of a model that is pulled to neutral, and the true labels, all classes alike."""
    rng = np.random.default_rng(seed)
    labels = np.arange(faces) % 3
    return log_softmax(3 * np.eye(3)[labels] + [0, 0, pull] + rng.normal(0, 1.2, (faces, 3))), labels


def line(gain: float, error: float = 0.02) -> CandidateRule:
    """A rule that estimates the same gain everywhere."""
    names = ("changed",)
    flat = CalibrationMap(names=names, centres=(0,), scales=(1,), weights=(0,), intercept=gain, residual=error)
    return CandidateRule(gain=flat, verdict=VerdictRule(use_above=0.01, caution=1.0))


def rule(**gains: float) -> FittedRule:
    """A rule for these corrections (``_`` for a blank) that reads the accuracy off the confidence."""
    straight = CalibrationMap(
        names=("confidence",), centres=(0,), scales=(1,), weights=(1,), intercept=0, residual=0.05
    )
    accuracy = {"declared": straight, "undeclared": straight}
    candidates = {name.replace("_", " "): line(gain) for name, gain in gains.items()}
    return FittedRule(accuracy=accuracy, candidates=candidates, keep_from=0.99)


def test_a_correction_without_a_line_is_never_used_unseen() -> None:
    z, _ = answers()
    found = candidates(z, CLASSES, ["a", "b"] * 150, Grouping.ALIKE, None)
    assert set(found) == {OFFSETS}
    verdict, kept, considered = decide_without_labels(z, CLASSES, found, Grouping.ALIKE, 300, rule(shares=0.2))
    assert (verdict.answer, verdict.model) == (Answer.UNKNOWN, SOURCE)
    assert [each.name for each in considered] == [OFFSETS]
    assert np.isnan(considered[0].gain)
    assert (kept.log_probabilities.argmax(1) == z.argmax(1)).all()
    np.testing.assert_allclose(kept.correction.apply(z), kept.log_probabilities, atol=1e-9)


def test_shares_that_are_estimated_need_those_of_the_source() -> None:
    z, _ = answers()
    assert candidates(z, CLASSES, [""] * 300, Grouping.AUTO, None) == {}
    found = candidates(z, CLASSES, [""] * 300, Grouping.AUTO, None, EVEN)
    assert set(found) == {ESTIMATED}
    verdict, kept, _ = decide_without_labels(z, CLASSES, found, Grouping.AUTO, 300, rule(estimated_shares=0.05))
    assert (verdict.answer, verdict.model) == (Answer.USE, ESTIMATED)
    assert verdict.gain == pytest.approx(0.05)
    assert kept.correction.prior is not None
    assert kept.correction.prior[2] > EVEN[2]


def test_right_shares_are_used_and_help() -> None:
    z, labels = answers()
    found = candidates(z, CLASSES, [""] * 300, Grouping.AUTO, EVEN)
    verdict, kept, _ = decide_without_labels(z, CLASSES, found, Grouping.AUTO, 300, rule(shares=0.05))
    assert (verdict.answer, verdict.model) == (Answer.USE, SHARES)
    assert (kept.log_probabilities.argmax(1) == labels).mean() > (z.argmax(1) == labels).mean() + 0.1
    np.testing.assert_allclose(kept.correction.apply(z), kept.log_probabilities, atol=1e-6)


def test_the_bias_of_declared_shares_is_the_mean_of_two() -> None:
    z, _ = answers()
    prior = np.array([0.2, 0.2, 0.6])
    joint = sinkhorn(z, EVEN).bias
    np.testing.assert_allclose(shares_bias(z, EVEN, None), joint)
    bayes = np.log(EVEN / prior)
    found, wanted = shares_bias(z, EVEN, prior), (joint + bayes) / 2
    np.testing.assert_allclose(found - found.mean(), wanted - wanted.mean(), atol=1e-9)


def test_the_confidence_of_what_predicts_is_the_estimated_accuracy() -> None:
    z, _ = answers()
    found = candidates(z, CLASSES, [""] * 300, Grouping.AUTO, EVEN)
    lower = rule(shares=0.05)
    half = {
        name: each.model_copy(update={"weights": (0.0,), "intercept": 0.6}) for name, each in lower.accuracy.items()
    }
    for gains in (lower, rule()):
        chosen = gains.model_copy(update={"accuracy": half})
        kept = decide_without_labels(z, CLASSES, found, Grouping.AUTO, 300, chosen).candidate
        assert np.exp(kept.log_probabilities.max(1)).mean() == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("different", [1, FEWEST - 1])
def test_few_faces_keep_the_model(different: int) -> None:
    z, _ = answers()
    found = candidates(z, CLASSES, [""] * 300, Grouping.AUTO, EVEN)
    verdict, kept, _ = decide_without_labels(z, CLASSES, found, Grouping.AUTO, different, rule(shares=0.9))
    assert (verdict.answer, verdict.model) == (Answer.KEEP, SOURCE)
    np.testing.assert_allclose(kept.log_probabilities, z)


def test_offsets_are_used_unseen_only_where_groups_are_alike() -> None:
    z, _ = answers()
    groups = np.repeat(["a", "b", "c"], 100)
    z = log_softmax(z + np.repeat([[1.5, 0, 0], [0, 1.5, 0], [0, 0, 0]], 100, axis=0))
    numbers = rule(shares=0.05, offsets_and_shares=0.1)
    for grouping, name in ((Grouping.ALIKE, BOTH), (Grouping.AUTO, SHARES), (Grouping.NONE, SHARES)):
        found = candidates(z, CLASSES, groups, grouping, EVEN)
        assert decide_without_labels(z, CLASSES, found, grouping, 300, numbers).verdict.model == name


def test_groups_of_one_have_no_offset() -> None:
    z, _ = answers(40)
    assert candidates(z, CLASSES, [str(n) for n in range(40)], Grouping.ALIKE, None) == {}


def test_labels_find_a_planted_bias() -> None:
    z, labels = answers()
    sample = draw_faces(z.argmax(1), 3, 40)
    found = decide_with_labels(z, CLASSES, {}, Labelled(sample, labels[sample.rows]))
    assert found.decision.verdict.answer is Answer.USE
    after = (found.decision.candidate.log_probabilities.argmax(1) == labels).mean()
    assert after > (z.argmax(1) == labels).mean() + 0.08


def test_a_few_labels_change_nothing() -> None:
    z, labels = answers()
    sample = draw_faces(z.argmax(1), 3, 5)
    found = decide_with_labels(z, CLASSES, {}, Labelled(sample, labels[sample.rows]))
    assert found.decision.verdict.answer is Answer.UNKNOWN
    assert found.decision.verdict.model == SOURCE


def test_labels_overrule_wrong_shares() -> None:
    z, labels = answers(pull=0.0)
    found = candidates(z, CLASSES, [""] * 300, Grouping.AUTO, np.array([0.9, 0.05, 0.05]))
    assert decide_without_labels(z, CLASSES, found, Grouping.AUTO, 300, rule(shares=0.1)).verdict.model == SHARES
    sample = draw_faces(z.argmax(1), 3, 40)
    chosen = decide_with_labels(z, CLASSES, found, Labelled(sample, labels[sample.rows])).decision.verdict.model
    assert chosen in (SOURCE, BIAS, "shares by labels")
