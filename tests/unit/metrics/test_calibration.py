"""Temperature, calibration error, threshold of "unsure" and conformal sets, against plain loops and known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.metrics.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    MINIMUM_FACES,
    binned,
    conformal_thresholds,
    expected_calibration_error,
    fit_temperature,
    matched_temperature,
    tempered,
    unsure_below,
)


def drawn(n: int, temperature: float, seed: int = 0, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, classes) and labels drawn from them once tempered: the right temperature is known."""
    rng = np.random.default_rng(seed)
    powers = np.exp(2.0 * rng.normal(size=(n, classes)))
    p = powers / powers.sum(1, keepdims=True)
    sharp = p ** (1 / temperature)
    bounds = (sharp / sharp.sum(1, keepdims=True)).cumsum(1)
    labels = (rng.random((n, 1)) > bounds).sum(1).clip(max=classes - 1)
    return p, labels


def loss(p: np.ndarray, labels: np.ndarray, temperature: float, weights: np.ndarray | None = None) -> float:
    """Weighted negative log-likelihood, face by face."""
    total = 0.0
    for face, label in enumerate(labels):
        row = [value ** (1 / temperature) for value in p[face]]
        total -= (1.0 if weights is None else weights[face]) * math.log(row[label] / sum(row))
    return total


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_temperature_is_found_again(temperature: float) -> None:
    p, labels = drawn(20_000, temperature)
    assert fit_temperature(p, labels) == pytest.approx(temperature, rel=0.05)


def test_no_temperature_near_by_is_likelier() -> None:
    p, labels = drawn(200, 1.7, seed=3)
    weights = np.random.default_rng(1).exponential(size=200)
    for given_weights in (None, weights):
        found = fit_temperature(p, labels, given_weights)
        best = loss(p, labels, found, given_weights)
        assert best < loss(p, labels, 1.01 * found, given_weights)
        assert best < loss(p, labels, found / 1.01, given_weights)
    assert fit_temperature(p, labels, weights) != pytest.approx(fit_temperature(p, labels), rel=1e-3)


def test_whole_weights_are_repeated_faces() -> None:
    p, labels = drawn(60, 1.3, seed=5)
    weights = np.random.default_rng(2).integers(0, 4, 60)
    repeated = fit_temperature(p.repeat(weights, 0), labels.repeat(weights), minimum_faces=1)
    assert fit_temperature(p, labels, weights, minimum_faces=1) == pytest.approx(repeated)
    assert repeated != 1.0


def test_temperature_is_bounded_where_all_or_none_are_right() -> None:
    """D6: answers that are all correct do not become 100 % sure."""
    p = np.tile([0.6, 0.3, 0.1], (200, 1))
    assert fit_temperature(p, np.zeros(200, int)) == pytest.approx(0.5) == LOWEST_TEMPERATURE
    assert fit_temperature(p, np.full(200, 2)) == pytest.approx(3.0) == HIGHEST_TEMPERATURE
    assert tempered(p, fit_temperature(p, np.zeros(200, int))).max() < 0.8
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int), minimum_faces=0) == 1.0
    assert fit_temperature(p, np.zeros(200, int), np.zeros(200)) == 1.0


def test_no_temperature_is_fitted_on_fewer_than_100_faces() -> None:
    """D6: ten pictures give no temperature, nor do 99; faces without weight do not count."""
    p, labels = drawn(300, 2.0)
    assert MINIMUM_FACES == 100
    assert fit_temperature(p[:10], labels[:10]) == fit_temperature(p[:99], labels[:99]) == 1.0
    assert fit_temperature(p[:100], labels[:100]) != 1.0
    weights = (np.arange(300) < 99).astype(float)
    assert fit_temperature(p, labels, weights) == 1.0
    weights[99] = 1.0
    assert fit_temperature(p, labels, weights) == pytest.approx(fit_temperature(p[:100], labels[:100]))
    correct = p.argmax(1) == labels
    for known, target in ((99, 300), (300, 99)):
        temperature, predicted = matched_temperature(p[:known], correct[:known], p[:target])
        assert temperature == 1.0
        assert 0 < predicted < 1
    assert matched_temperature(p[:100], correct[:100], p[:100])[0] != 1.0


def test_certain_and_wrong_probabilities_have_a_temperature() -> None:
    p = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = fit_temperature(p, np.array([0, 1, 1]), minimum_faces=3)
    assert 1.0 < found <= HIGHEST_TEMPERATURE
    assert np.isfinite(tempered(p, 0.5)).all()


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=9), st.floats(0.2, 5))
@settings(max_examples=40, deadline=None)
def test_tempering_keeps_the_order_and_the_sum(rows: list[list[float]], temperature: float) -> None:
    p = np.array(rows) / np.array(rows).sum(1, keepdims=True)
    found = tempered(p, temperature)
    np.testing.assert_allclose(found.sum(1), 1.0)
    naive = p ** (1 / temperature)
    np.testing.assert_allclose(found, naive / naive.sum(1, keepdims=True), atol=1e-12)
    assert (np.take_along_axis(found, p.argmax(1)[:, None], 1)[:, 0] >= found.max(1) - 1e-12).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_calibration_error_equals_a_plain_loop(samples: list[tuple[float, bool]], bins: int) -> None:
    cells: dict[int, list[tuple[float, bool]]] = {}
    for probability, right in samples:
        cells.setdefault(max(math.ceil(probability * bins), 1), []).append((probability, right))
    expected = 0.0
    for cell in cells.values():
        mean_confidence = sum(probability for probability, _ in cell) / len(cell)
        mean_accuracy = sum(right for _, right in cell) / len(cell)
        expected += len(cell) / len(samples) * abs(mean_confidence - mean_accuracy)
    probabilities, rights = zip(*samples, strict=True)
    assert expected_calibration_error(probabilities, rights, bins) == pytest.approx(expected, abs=1e-9)


def test_calibration_error_of_known_cases() -> None:
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0.0
    assert expected_calibration_error([1.0, 1.0], [False, False]) == 1.0
    assert expected_calibration_error([0.8] * 10, [True] * 6 + [False] * 4) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="outside"):
        expected_calibration_error([1.2], [True])
    assert math.isnan(expected_calibration_error([], []))
    with pytest.raises(ValueError, match="one length"):
        expected_calibration_error([0.5], [True, False])


def test_bins_hold_the_right_faces() -> None:
    found = binned([0.05, 0.1, 0.55, 0.6, 1.0, 0.0], [1, 0, 1, 1, 1, 0], bins=10)
    assert found.faces.tolist() == [3, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    assert found.accuracy[[0, 5, 9]].tolist() == pytest.approx([1 / 3, 1.0, 1.0])
    assert found.confidence[[0, 5, 9]].tolist() == pytest.approx([0.05, 0.575, 1.0])
    assert np.isnan(found.accuracy[1])
    assert np.isnan(found.confidence[1])


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=40), st.sampled_from([0.5, 0.8, 0.9]))
@settings(max_examples=80, deadline=None)
def test_unsure_is_the_smallest_bar_that_holds(answers: list[tuple[int, bool]], wanted: float) -> None:
    confidence = [tenth / 10 for tenth, _ in answers]
    correct = [right for _, right in answers]

    def holds(bar: float) -> bool:
        kept = [right for c, right in zip(confidence, correct, strict=True) if c >= bar]
        return bool(kept) and sum(kept) / len(kept) >= wanted

    found = unsure_below(confidence, correct, wanted)
    bars = [bar for bar in sorted(set(confidence)) if holds(bar)]
    if not bars:
        assert found == 1.0
    elif bars[0] == min(confidence):
        assert found == 0.0
    else:
        assert found == bars[0]


def test_no_answers_are_never_unsure() -> None:
    assert unsure_below([], [], 0.9) == 0.0


def test_conformal_threshold_is_the_score_of_the_finite_sample() -> None:
    of_truth = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15])
    p = np.stack([of_truth, 1 - of_truth], 1)
    found = conformal_thresholds(p, np.zeros(9, int), (0.8, 0.9, 0.95))
    # Of ten places (nine faces and the next) 8, 9 and 9.5 must be covered; no ninth-and-a-half face is left.
    assert found == {"0.8": pytest.approx(0.2), "0.9": pytest.approx(0.15), "0.95": 0.0}
    assert conformal_thresholds(p[:4], np.zeros(4, int), (0.9,)) == {"0.9": 0.0}


def test_conformal_sets_cover_what_they_promise() -> None:
    shares = []
    for seed in range(60):
        p, labels = drawn(150, 1.0, seed=seed)
        threshold = conformal_thresholds(p[:50], labels[:50], (0.9,))["0.9"]
        shares.append((p[np.arange(50, 150), labels[50:]] >= threshold).mean())
    # Over many draws the mean lies between the level and level + 1 / (n + 1), here within the noise of 6,000 faces.
    assert 0.89 < np.mean(shares) < 0.935


def test_temperature_of_a_target_matches_its_confidence_to_the_predicted_accuracy() -> None:
    p, labels = drawn(4000, 2.0)
    correct = p.argmax(1) == labels
    found, predicted = matched_temperature(p, correct, p)
    # On faces like the held-out ones it predicts their accuracy, and so finds about the temperature that is right.
    assert predicted == pytest.approx(correct.mean(), abs=1e-3)
    assert tempered(p, found).max(1).mean() == pytest.approx(predicted, abs=1e-6)
    assert found == pytest.approx(2.0, rel=0.1)
    blurred, lower = matched_temperature(p, correct, tempered(p, 1.5))
    bar = np.sort(p.max(1))[round((1 - correct.mean()) * (len(p) - 1))]
    assert lower == pytest.approx((tempered(p, 1.5).max(1) >= bar).mean(), abs=2e-3)
    assert lower < predicted
    assert blurred > 1.0


def test_a_target_without_a_doubt_or_without_a_sure_face_is_bounded() -> None:
    held_out = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]] * 40)
    sure, unsure = np.array([[0.95, 0.05]] * 100), np.array([[0.55, 0.45]] * 100)
    assert matched_temperature(held_out, [1, 1, 0] * 40, sure) == (pytest.approx(LOWEST_TEMPERATURE), 1.0)
    assert matched_temperature(held_out, [1, 1, 0] * 40, unsure) == (pytest.approx(HIGHEST_TEMPERATURE), 0.0)


def test_edges_of_the_bins_belong_to_the_bin_below() -> None:
    """T: bin b holds (b / 15, (b + 1) / 15]; against searchsorted on the edges."""
    confidence = np.concatenate([np.arange(1, 16) / 15, np.arange(15) / 15 + 1e-9])
    correct = np.arange(30) % 2 == 0
    found = binned(confidence, correct)
    assert found.faces.tolist() == [2] * 15
    place = np.clip(np.searchsorted(np.arange(16) / 15, confidence - 1e-12, side="left") - 1, 0, 14)
    for b in range(15):
        assert found.accuracy[b] == pytest.approx(correct[place == b].mean())
        assert found.confidence[b] == pytest.approx(confidence[place == b].mean())
    # One bin of ten and fifteen bins differ: .62 and .66 share a tenth, and no fifteenth.
    assert expected_calibration_error([0.62, 0.68], [1, 0], bins=10) == pytest.approx(abs(0.65 - 0.5))
    assert expected_calibration_error([0.62, 0.68], [1, 0]) == pytest.approx((0.38 + 0.68) / 2)
