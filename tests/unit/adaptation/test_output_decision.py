"""Without labels only declared shares may change a model; with labels what they favour."""

from __future__ import annotations

import numpy as np
import pytest

from dcdan.adaptation.decision import BOTH, FEWEST, OFFSETS, SHARES, SOURCE, candidates, decide_without_labels
from dcdan.adaptation.groups import Grouping
from dcdan.adaptation.labelling import BIAS, decide_with_labels
from dcdan.correction.arrays import log_softmax
from dcdan.correction.labels import Labelled, draw_faces
from dcdan.correction.verdict import Answer

CLASSES = ("anger", "happiness", "neutral")
EVEN = np.full(3, 1 / 3)


def answers(faces: int = 300, pull: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities of a model that is pulled to neutral, and the true labels, all classes alike."""
    rng = np.random.default_rng(seed)
    labels = np.arange(faces) % 3
    return log_softmax(3 * np.eye(3)[labels] + [0, 0, pull] + rng.normal(0, 1.2, (faces, 3))), labels


def test_nothing_declared_is_never_used() -> None:
    z, _ = answers()
    found = candidates(z, CLASSES, ["a", "b"] * 150, Grouping.ALIKE, None)
    assert set(found) == {OFFSETS}
    verdict, kept = decide_without_labels(z, CLASSES, found, Grouping.ALIKE, 300)
    assert (verdict.answer, verdict.model) == (Answer.UNKNOWN, SOURCE)
    np.testing.assert_allclose(kept.log_probabilities, z)
    np.testing.assert_allclose(kept.correction.apply(z), z, atol=1e-9)


def test_right_shares_are_used_and_help() -> None:
    z, labels = answers()
    found = candidates(z, CLASSES, [""] * 300, Grouping.AUTO, EVEN)
    verdict, kept = decide_without_labels(z, CLASSES, found, Grouping.AUTO, 300)
    assert (verdict.answer, verdict.model) == (Answer.USE, SHARES)
    assert (kept.log_probabilities.argmax(1) == labels).mean() > (z.argmax(1) == labels).mean() + 0.1
    np.testing.assert_allclose(kept.correction.apply(z), kept.log_probabilities, atol=1e-6)


def test_shares_that_the_answers_have_already_keep_the_model() -> None:
    z, _ = answers(pull=0.0)
    found = candidates(z, CLASSES, [""] * 300, Grouping.AUTO, EVEN)
    assert decide_without_labels(z, CLASSES, found, Grouping.AUTO, 300).verdict.answer is Answer.KEEP


@pytest.mark.parametrize("different", [1, FEWEST - 1])
def test_few_faces_keep_the_model(different: int) -> None:
    z, _ = answers()
    found = candidates(z, CLASSES, [""] * 300, Grouping.AUTO, EVEN)
    verdict = decide_without_labels(z, CLASSES, found, Grouping.AUTO, different).verdict
    assert (verdict.answer, verdict.model) == (Answer.KEEP, SOURCE)


def test_offsets_are_used_unseen_only_where_groups_are_alike() -> None:
    z, _ = answers()
    groups = np.repeat(["a", "b", "c"], 100)
    z = log_softmax(z + np.repeat([[1.5, 0, 0], [0, 1.5, 0], [0, 0, 0]], 100, axis=0))
    for grouping, name in ((Grouping.ALIKE, BOTH), (Grouping.AUTO, SHARES), (Grouping.NONE, SHARES)):
        found = candidates(z, CLASSES, groups, grouping, EVEN)
        assert decide_without_labels(z, CLASSES, found, grouping, 300).verdict.model == name


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
    assert decide_without_labels(z, CLASSES, found, Grouping.AUTO, 300).verdict.model == SHARES
    sample = draw_faces(z.argmax(1), 3, 40)
    chosen = decide_with_labels(z, CLASSES, found, Labelled(sample, labels[sample.rows])).decision.verdict.model
    assert chosen in (SOURCE, BIAS, "shares by labels")
