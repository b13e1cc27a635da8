"""Labelled faces: their drawing, unbiasedness, the coverage of the interval, and the bias against gradient descent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from correction_data import CLASSES, answers, naive_log_softmax
from dcdan.core.errors import DataError
from dcdan.correction.labels import (
    AccuracyInterval,
    Labelled,
    LabelSettings,
    allocate,
    answered,
    choose,
    correct_by_labels,
    draw_faces,
    fit_bias,
    leave_one_out,
    leave_one_out_shares,
    log_likelihood,
    measured_accuracy,
    stratified_mean,
    with_more,
)
from dcdan.correction.output import OutputSettings, sinkhorn
from dcdan.correction.shares import label_shares

sizes_of_strata = st.lists(st.integers(0, 60), min_size=1, max_size=8)


def naive_allocation(sizes: list[int], count: int, at_least: int) -> list[int]:
    """One face after the other, each to the stratum whose turn it is."""
    out = [0] * len(sizes)
    for _ in range(min(count, sum(sizes))):
        floor = [i for i, size in enumerate(sizes) if out[i] < min(size, at_least)]
        open_ = [i for i, size in enumerate(sizes) if out[i] < size]

        def turn(i: int) -> float:
            return sizes[i] / (2 * max(0, out[i] - min(at_least, sizes[i])) + 1)

        best = max(floor, key=lambda i: sizes[i] / (out[i] + 1)) if floor else max(open_, key=turn)
        out[best] += 1
    return out


def naive_bias(z: np.ndarray, labels: np.ndarray, weights: np.ndarray, l2: float) -> np.ndarray:
    """Plain gradient descent, with a loop over faces."""
    weights = weights * len(z) / weights.sum()
    bias = np.zeros(z.shape[1])
    for _ in range(3000):
        gradient = l2 * bias
        for row, label, weight in zip(z, labels, weights, strict=True):
            p = np.exp(naive_log_softmax((row + bias)[None])[0])
            p[label] -= 1
            gradient = gradient + weight * p
        bias = bias - gradient / (l2 + len(z) / 2)
    return bias


@given(sizes_of_strata, st.integers(0, 120), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_allocation_is_the_loop_over_faces(sizes: list[int], count: int, at_least: int) -> None:
    found = allocate(sizes, count, at_least)
    assert found.tolist() == naive_allocation(sizes, count, at_least)
    assert found.sum() == min(count, sum(sizes))
    assert (found <= sizes).all()
    # More faces never mean fewer for a stratum: what was labelled stays in the sample.
    assert (allocate(sizes, count + 7, at_least) >= found).all()


@pytest.mark.parametrize("count", [0, 1, 31, 40, 80, 500])
def test_a_larger_draw_holds_the_smaller(count: int) -> None:
    predicted = answers(400)[0].argmax(1)
    small, large = draw_faces(predicted, 8, count, 3), draw_faces(predicted, 8, count + 40, 3)
    assert set(small.rows) <= set(large.rows)
    assert len(small) == min(count, 400)
    assert (small.strata == predicted[small.rows]).all()
    assert small.weights.sum() == pytest.approx(sum(small.sizes[small.drawn > 0]))
    assert (draw_faces(predicted, 8, count, 3).rows == small.rows).all()


def test_each_face_is_drawn_as_often_as_its_inclusion_probability_says() -> None:
    predicted = np.repeat([0, 1, 2], [60, 25, 5])
    seen, expected = np.zeros(90), np.zeros(90)
    for seed in range(3000):
        sample = draw_faces(predicted, 3, 20, seed)
        seen[sample.rows] += 1
        expected[sample.rows] = sample.inclusion
    assert seen / 3000 == pytest.approx(expected, abs=0.045)


def test_estimates_are_unbiased_and_their_variance_is_right() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.choice(5, 300, p=[0.5, 0.25, 0.15, 0.07, 0.03])
    right = rng.random(300) < np.array([0.9, 0.5, 0.7, 0.3, 0.2])[predicted]
    found, errors = [], []
    for seed in range(3000):
        sample = draw_faces(predicted, 5, 40, seed)
        found.append(measured_accuracy(right[sample.rows], sample).value)
        errors.append(stratified_mean(right[sample.rows].astype(float), sample).error)
    assert np.mean(found) == pytest.approx(right.mean(), abs=4 * np.std(found) / math.sqrt(3000))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(found), rel=0.1)


@pytest.mark.parametrize("labels", [40, 80])
def test_the_interval_holds_the_truth_in_95_of_100_draws(labels: int) -> None:
    """Over sets that differ in size, mix of classes and accuracy; no kind of set may be far below."""
    rng = np.random.default_rng(labels)
    held = []
    for total in (100, 300, 1000, 5000):
        for accuracy in (0.4, 0.6, 0.8, 0.9):
            for concentration in (0.5, 2.0):
                predicted = rng.choice(8, total, p=rng.dirichlet(np.full(8, concentration)))
                by_class = rng.beta(6 * accuracy, 6 * (1 - accuracy), 8)
                right = rng.random(total) < by_class[predicted]
                inside = 0
                for seed in range(150):
                    sample = draw_faces(predicted, 8, labels, seed)
                    found = measured_accuracy(right[sample.rows], sample)
                    inside += found.low - 1e-9 <= right.mean() <= found.high + 1e-9
                held.append(inside / 150)
    assert 0.93 <= np.mean(held) <= 0.97
    assert np.quantile(held, 0.1) > 0.89


def test_the_interval_at_its_ends() -> None:
    sample = draw_faces([0] * 100, 1, 40)
    none, all_right = measured_accuracy(np.zeros(40), sample), measured_accuracy(np.ones(40), sample)
    assert none.value == none.low == 0
    assert 0.02 < none.high < 0.15
    assert all_right.value == all_right.high == 1
    assert all_right.low == pytest.approx(1 - none.high)
    everything = draw_faces([0, 1, 1], 2, 3)
    assert measured_accuracy([1, 1, 0], everything)[:4] == pytest.approx((2 / 3, 0, 2 / 3, 2 / 3))
    nothing = measured_accuracy([], draw_faces([0, 1], 2, 0))
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0, 1)
    one = measured_accuracy([1], draw_faces([0, 1] * 30, 2, 1))
    assert one.low < 0.3
    assert one.high == 1


def test_stratified_mean_is_the_loop_over_strata() -> None:
    predicted = np.repeat([0, 1, 2], [50, 30, 4])
    sample = draw_faces(predicted, 3, 15)
    values = np.random.default_rng(0).normal(size=15)
    mean, variance = 0.0, 0.0
    for h, size in enumerate([50, 30, 4]):
        own = values[sample.strata == h]
        mean += size / 84 * own.mean()
        variance += (size / 84) ** 2 * (1 - len(own) / size) * own.var(ddof=1) / len(own)
    assert stratified_mean(values, sample) == pytest.approx((mean, math.sqrt(variance)))
    assert stratified_mean([2.0], draw_faces([0, 1], 2, 1)).mean == 2
    assert math.isinf(stratified_mean([2.0], draw_faces([0, 1], 2, 1)).error)
    assert math.isnan(stratified_mean([], draw_faces([0, 1], 2, 0)).mean)


@pytest.mark.parametrize("l2", [0.5, 2.0])
def test_the_bias_is_that_of_gradient_descent(l2: float) -> None:
    z, labels = answers(25, 4)
    weights = np.random.default_rng(0).uniform(0.5, 8, 25)
    found = fit_bias(z, labels, weights, l2)
    assert found == pytest.approx(naive_bias(z, labels, weights, l2), abs=1e-6)
    assert found.sum() == pytest.approx(0, abs=1e-9)
    # All weights times a number, and the order of the faces, change nothing.
    assert fit_bias(z[::-1], labels[::-1], 7 * weights[::-1], l2) == pytest.approx(found)


def test_many_draws_at_once_are_each_alone() -> None:
    z, labels = answers(200)
    rows = np.random.default_rng(0).integers(0, 200, (10, 40))
    weights = np.random.default_rng(1).uniform(0.1, 9, (10, 40))
    together = fit_bias(z[rows], labels[rows], weights)
    for draw in range(10):
        assert together[draw] == pytest.approx(fit_bias(z[rows[draw]], labels[rows[draw]], weights[draw]), abs=1e-7)


def test_the_bias_stands_hard_cases() -> None:
    sure = np.where(np.eye(3)[[0] * 30] > 0, 0.0, -np.inf)
    assert np.isfinite(fit_bias(sure, [1] * 30, None, 1e-3)).all()
    assert fit_bias(np.zeros((0, 3)), []) == pytest.approx(np.zeros(3))
    one = fit_bias(np.log([[0.2, 0.8]]), [0])
    assert one[0] > 0
    assert np.abs(fit_bias(np.zeros((5, 1)), [0] * 5)).max() == 0
    scales = np.geomspace(1e-6, 1e6, 30)
    assert np.isfinite(fit_bias(answers(30)[0], answers(30)[1], scales)).all()


def test_leave_one_out_fits_again_without_each_face() -> None:
    z, labels = answers(15, 4)
    weights = np.random.default_rng(0).uniform(0.5, 3, 15)
    found = leave_one_out(z, labels, weights)
    for i in range(15):
        others = np.arange(15) != i
        bias = fit_bias(z[others], labels[others], weights[others])
        assert found[i] == pytest.approx(naive_log_softmax((z[i] + bias)[None])[0], abs=1e-6)
    assert leave_one_out(z[:0], []).shape == (0, 4)
    assert leave_one_out(z[:1], labels[:1]) == pytest.approx(z[:1])
    many, their = answers(300)
    assert leave_one_out(many, their).shape == (300, 8)


def test_leave_one_out_of_shares_assigns_again_without_each_face() -> None:
    z, labels = answers(120, 4)
    sample = draw_faces(z.argmax(1), 4, 20)
    labelled = Labelled(sample, labels[sample.rows])
    mean = np.exp(z).mean(0)
    joint = sinkhorn(z, label_shares(labelled.labels, sample.weights, mean))
    found = leave_one_out_shares(z, labelled, joint)
    for i, row in enumerate(sample.rows):
        others = np.arange(20) != i
        shares = label_shares(labelled.labels[others], sample.weights[others], mean)
        slow = sinkhorn(z, shares, OutputSettings(sinkhorn_iterations=500)).log_probabilities[row]
        assert np.exp(found[i]) == pytest.approx(np.exp(slow), abs=2e-3)


def test_blank_and_skipped_faces_are_left_out() -> None:
    predicted = [0] * 30 + [1] * 10
    sample = draw_faces(predicted, 2, 12)
    labels = np.where(np.arange(12) % 3 == 0, -1, 1)
    found = answered(sample, labels)
    assert len(found.sample) == 8
    assert found.sample.weights.sum() == pytest.approx(40)
    assert len(answered(sample, np.full(12, -1)).sample) == 0
    with pytest.raises(DataError, match="lies outside"):
        answered(sample, np.full(12, 2))
    with pytest.raises(DataError, match="lies outside"):
        answered(sample, np.full(12, -2))


def test_labels_are_added_and_never_lost() -> None:
    z, labels = answers(300)
    predicted = z.argmax(1)
    small, large = draw_faces(predicted, 8, 40), draw_faces(predicted, 8, 80)
    new = np.where(np.isin(large.rows, small.rows), -1, labels[large.rows])
    both = with_more(Labelled(small, labels[small.rows]), answered(large, new))
    assert both.sample.rows.tolist() == large.rows.tolist()
    assert both.labels.tolist() == labels[large.rows].tolist()
    assert both.sample.weights == pytest.approx(large.weights)
    changed = with_more(Labelled(small, np.zeros(40, int)), Labelled(small, np.ones(40, int)))
    assert changed.labels.tolist() == [1] * 40
    with pytest.raises(DataError, match="another set"):
        with_more(Labelled(small, labels[small.rows]), Labelled(draw_faces(predicted[:90], 8, 9), np.zeros(9, int)))


def test_the_choice_follows_its_rule() -> None:
    sample = draw_faces([0, 1] * 50, 2, 40)
    noise = np.random.default_rng(0).normal(size=40)
    noise -= noise[sample.strata == 0].mean() * (sample.strata == 0) + noise[sample.strata == 1].mean() * (
        sample.strata
    )
    base = np.full(40, -1.0)
    error = stratified_mean(noise, sample).error
    better = {"source": base, "bias": base + 0.1}
    assert choose(better, sample)[0] == "bias"
    assert choose(better | {"sinkhorn": base + 0.1 + noise + 2.2 * error}, sample)[0] == "sinkhorn"
    assert choose(better | {"sinkhorn": base + 0.1 + noise + 1.8 * error}, sample)[0] == "bias"
    assert choose({"source": base, "bias": base - 0.1}, sample)[0] == "source"
    even, less = (AccuracyInterval(value, 0.0, 0.0, 1.0, 40) for value in (0.5, 0.4))
    more = AccuracyInterval(0.6, 0.0, 0.0, 1.0, 40)
    for accuracy, name in ((even, "source"), (less, "source"), (more, "bias")):
        assert choose(better, sample, accuracy={"source": even, "bias": accuracy})[0] == name
    few = sample.take(np.arange(40) < 5)
    assert choose({name: value[:5] for name, value in better.items()}, few)[0] == "source"


@pytest.mark.parametrize("count", [0, 1, 7])
def test_with_too_few_labels_nothing_changes(count: int) -> None:
    z, labels = answers(50)
    sample = draw_faces(z.argmax(1), 8, count)
    found = correct_by_labels(z, Labelled(sample, labels[sample.rows]), CLASSES)
    assert found.choice == "source"
    assert found.log_probabilities == pytest.approx(z)
    assert "few" in found.reason


def test_labels_correct_a_model_that_leans_to_one_class() -> None:
    z, labels = answers(1000)
    leaning = naive_log_softmax(z + 2.0 * np.eye(8)[-1])
    gains = []
    for seed in range(20):
        sample = draw_faces(leaning.argmax(1), 8, 40, seed)
        found = correct_by_labels(leaning, Labelled(sample, labels[sample.rows]), CLASSES)
        gains.append((found.log_probabilities.argmax(1) == labels).mean() - (leaning.argmax(1) == labels).mean())
        assert found.correction.apply(leaning) == pytest.approx(found.log_probabilities, abs=1e-9)
        assert set(found.accuracy) == set(found.likelihood) == {"source", "bias", "sinkhorn"}
    assert np.mean(gains) > 0.1
    assert np.min(gains) > -0.01


def test_one_class_and_faces_all_alike() -> None:
    z = np.tile(np.log([0.6, 0.3, 0.1]), (40, 1))
    sample = draw_faces(z.argmax(1), 3, 20)
    found = correct_by_labels(z, Labelled(sample, np.zeros(20, int)), ["a", "b", "c"])
    assert (found.log_probabilities.argmax(1) == 0).all()
    alone = correct_by_labels(np.zeros((20, 1)), Labelled(draw_faces([0] * 20, 1, 10), np.zeros(10, int)), ["a"])
    assert alone.log_probabilities == pytest.approx(np.zeros((20, 1)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: allocate([-1], 3),
        lambda: draw_faces([0, 3], 2, 1),
        lambda: draw_faces([0, 1], 2, -1),
        lambda: stratified_mean([1.0], draw_faces([0, 1], 2, 2)),
        lambda: measured_accuracy([1.0], draw_faces([0, 1], 2, 2)),
        lambda: log_likelihood(np.zeros((2, 2)), [0, 2]),
        lambda: fit_bias(np.zeros(2), [0]),
        lambda: fit_bias(np.zeros((2, 2)), [0, 0], [1.0, -1.0]),
        lambda: fit_bias(np.zeros((2, 2)), [0, 0], None, 0.0),
        lambda: correct_by_labels(np.zeros((9, 2)), Labelled(draw_faces([0, 1], 2, 2), np.zeros(2, int)), ["a", "b"]),
    ],
)
def test_wrong_arrays_are_one_sentence(call: object) -> None:
    with pytest.raises(DataError) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="l2"):
        LabelSettings(l2=0.0)
