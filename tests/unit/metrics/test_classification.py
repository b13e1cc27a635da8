"""The metrics against scikit-learn and against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from dcdan.metrics.classification import (
    accuracy,
    chance_accuracy,
    class_scores,
    confusion_matrix,
    macro_f1,
    majority_share,
    unweighted_average_recall,
)

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


def test_rows_are_true_classes_and_columns_predictions() -> None:
    """T: a transposed matrix has the same accuracy, but not this element, nor this recall."""
    confusion = confusion_matrix([0, 0, 0, 1], [1, 1, 0, 1], 2)
    assert confusion[0, 1] == 2
    assert confusion[1, 0] == 0
    assert class_scores(confusion).recall.tolist() == pytest.approx([1 / 3, 1.0])
    assert class_scores(confusion).precision.tolist() == pytest.approx([1.0, 1 / 3])


def test_macro_f1_and_uar_leave_out_absent_classes() -> None:
    """T, D5: with faces of one class of seven, a perfect model has a UAR of 1, and not of 1/7."""
    confusion = confusion_matrix([3] * 5, [3] * 5, 7)
    assert unweighted_average_recall(confusion) == 1.0
    assert macro_f1(confusion) == 1.0
    half = confusion_matrix([3] * 4, [3, 3, 2, 2], 7)
    theirs = oracle.recall_score([3] * 4, [3, 3, 2, 2], labels=[3], average="macro")
    assert unweighted_average_recall(half) == theirs == 0.5


def test_majority_and_chance_say_what_an_accuracy_is_worth() -> None:
    """D5: the figures that stand beside accuracy."""
    confusion = confusion_matrix([0, 0, 0, 1], [1, 1, 1, 1], 4)
    assert majority_share(confusion) == 0.75
    assert chance_accuracy(confusion) == 0.25
    assert accuracy(confusion) == 0.25
    assert math.isnan(majority_share(confusion_matrix([], [], 3)))


def test_indices_on_the_edge_are_told_from_those_beyond() -> None:
    assert confusion_matrix([0, 2], [2, 0], 3).tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    for labels, predictions, word in (([3], [0], "label"), ([0], [3], "prediction"), ([-1], [0], "label")):
        with pytest.raises(ValueError, match=f"a {word} lies outside 0..2"):
            confusion_matrix(labels, predictions, 3)
    with pytest.raises(ValueError, match="vectors of one length"):
        confusion_matrix([[0, 1]], [[0, 1]], 2)
