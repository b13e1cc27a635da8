"""The metrics against scikit-learn and against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from dcdan.metrics.classification import accuracy, class_scores, confusion_matrix, macro_f1, unweighted_average_recall

CLASSES = 5
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=80)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_scores_equal_those_of_scikit_learn(samples: list[tuple[int, int]]) -> None:
    labels, predictions = (np.array(side) for side in zip(*samples, strict=True))
    every = list(range(CLASSES))
    present = sorted(set(labels.tolist()))
    confusion = confusion_matrix(labels, predictions, CLASSES)

    assert np.array_equal(confusion, oracle.confusion_matrix(labels, predictions, labels=every))
    assert accuracy(confusion) == pytest.approx(oracle.accuracy_score(labels, predictions))
    assert macro_f1(confusion) == pytest.approx(
        oracle.f1_score(labels, predictions, labels=present, average="macro", zero_division=0)
    )
    assert unweighted_average_recall(confusion) == pytest.approx(
        oracle.recall_score(labels, predictions, labels=present, average="macro", zero_division=0)
    )
    expected = oracle.precision_recall_fscore_support(labels, predictions, labels=every, zero_division=0)
    for ours, theirs in zip(class_scores(confusion), expected, strict=True):
        assert np.allclose(np.nan_to_num(ours), theirs)


def test_a_class_without_samples_has_no_recall_and_is_left_out_of_the_means() -> None:
    confusion = confusion_matrix([0, 0, 1, 1], [0, 2, 1, 1], 3)
    scores = class_scores(confusion)
    assert scores.support.tolist() == [2, 2, 0]
    assert math.isnan(scores.recall[2])
    assert math.isnan(scores.f1[2])
    assert unweighted_average_recall(confusion) == pytest.approx((0.5 + 1.0) / 2)


def test_without_samples_every_mean_is_not_a_number() -> None:
    confusion = confusion_matrix([], [], 3)
    assert math.isnan(accuracy(confusion))
    assert math.isnan(macro_f1(confusion))


@pytest.mark.parametrize(("labels", "predictions"), [([0, 3], [0, 0]), ([0, 1], [0, -1]), ([0, 1], [0])])
def test_impossible_labels_are_refused(labels: list[int], predictions: list[int]) -> None:
    with pytest.raises(ValueError, match=r"outside|one length"):
        confusion_matrix(labels, predictions, 3)
