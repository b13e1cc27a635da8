"""Scores against loops over faces, and maps from scores to accuracy on shifts left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from correction_data import answers, log_answers
from dcdan.core.errors import DataError
from dcdan.correction.estimators import (
    AccuracyEstimate,
    CalibrationMap,
    agreement_score,
    all_scores,
    atc_score,
    atc_threshold,
    confidence_score,
    doc_score,
    fit_map,
    mano_score,
    memory_distance_score,
    nuclear_score,
    share_gap_score,
)


def test_scores_are_loops_over_faces() -> None:
    z, _ = answers(50, 4)
    p = np.exp(z)
    assert confidence_score(z) == pytest.approx(sum(max(row) for row in p) / 50)
    assert doc_score(z, 0.7, 0.8) == pytest.approx(0.8 - 0.7 + confidence_score(z))
    entropies = [sum(a * math.log(a) for a in row) for row in p]
    assert atc_score(z, -0.8) == sum(value >= -0.8 for value in entropies) / 50
    other = answers(50, 4, seed=3)[0]
    assert agreement_score(z, other) == sum(a.argmax() == b.argmax() for a, b in zip(z, other, strict=True)) / 50
    assert nuclear_score(z) == pytest.approx(np.linalg.svd(p, compute_uv=False).sum() / math.sqrt(4 * 50))
    total = 0.0
    for row in z:
        q = [1 + value + value * value / 2 for value in row - row.mean()]
        total += sum((value / sum(q)) ** 4 for value in q)
    assert mano_score(z) == pytest.approx((total / 200) ** 0.25)


def test_mano_takes_softmax_where_answers_are_far_from_even() -> None:
    z = np.log(np.eye(3)[np.arange(30) % 3] + 1e-9)
    assert mano_score(z) == pytest.approx((1 / 3) ** 0.25, rel=1e-3)


def test_memory_distance_is_the_loop_over_centres() -> None:
    rng = np.random.default_rng(0)
    features, centres, variance = rng.normal(size=(20, 6)), rng.normal(size=(3, 6)), rng.uniform(0.5, 2, (3, 6))
    squares = np.array([[np.mean((f - c) ** 2 / v) for c, v in zip(centres, variance, strict=True)] for f in features])
    assert memory_distance_score(features, centres, variance) == pytest.approx(-squares.min(1).mean())
    z, _ = answers(20, 3)
    of_predicted = squares[np.arange(20), z.argmax(1)].mean()
    assert memory_distance_score(features, centres, variance, z) == pytest.approx(-of_predicted)
    assert memory_distance_score(centres, centres, variance) == pytest.approx(0, abs=1e-12)


def test_atc_and_doc_give_the_sources_own_accuracy_back() -> None:
    z, labels = answers(500)
    accuracy = float((z.argmax(1) == labels).mean())
    for score in ("entropy", "confidence"):
        assert atc_score(z, atc_threshold(z, accuracy, score), score) == pytest.approx(accuracy, abs=1e-9)
        assert atc_score(z, atc_threshold(z, 0.0, score), score) == 0
        assert atc_score(z, atc_threshold(z, 1.0, score), score) == 1
    assert doc_score(z, confidence_score(z), accuracy) == pytest.approx(accuracy)


@given(log_answers)
@settings(max_examples=50, deadline=None)
def test_scores_lie_in_their_ranges_and_do_not_depend_on_the_order(z: np.ndarray) -> None:
    mixed = z[np.random.default_rng(0).permutation(len(z))]
    for score in (confidence_score, mano_score, nuclear_score):
        value = score(z)
        if len(z) == 0:
            assert math.isnan(value)
        else:
            assert 0 < value <= 1 + 1e-9
            assert score(mixed) == pytest.approx(value, rel=1e-6)


def test_share_gap_bounds_the_accuracy() -> None:
    z, labels = answers(300)
    true = np.bincount(labels, minlength=8) / 300
    assert (z.argmax(1) == labels).mean() <= 1 + share_gap_score(z, true) + 1e-9
    right = np.log(np.eye(8)[labels] * 0.9 + 0.01)
    assert share_gap_score(right, true) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 31])
def test_few_faces(count: int) -> None:
    z, _ = answers(count)
    found = all_scores(z, -1.0, 0.8, 0.8, (z, z))
    assert all(math.isnan(value) if count == 0 else math.isfinite(value) for value in found.values())
    assert math.isnan(memory_distance_score(np.zeros((0, 2)), np.zeros((1, 2)), np.ones(2)))


def cells(count: int = 60) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.3, 0.9, count)
    good, weak = true + rng.normal(0, 0.02, count), true + rng.normal(0, 0.2, count)
    return {"good": good, "weak": weak}, true, [f"shift {i % 6}" for i in range(count)]


def test_a_map_is_ridge_regression_and_its_residual_the_error_on_left_out_shifts() -> None:
    scores, true, shifts = cells()
    found = fit_map(scores, true, shifts, ridge=0.0)
    x = np.column_stack([np.ones(60), scores["good"], scores["weak"]])
    line = np.linalg.lstsq(x, true, rcond=None)[0]
    for i in range(5):
        assert found.estimate({name: float(value[i]) for name, value in scores.items()}).value == pytest.approx(
            x[i] @ line
        )
    left = []
    for shift in set(shifts):
        out = np.array([each == shift for each in shifts])
        line = np.linalg.lstsq(x[~out], true[~out], rcond=None)[0]
        left += ((x[out] @ line - true[out]) ** 2).tolist()
    assert found.residual == pytest.approx(math.sqrt(np.mean(left)), rel=1e-3)
    assert CalibrationMap.model_validate_json(found.model_dump_json()) == found


def test_intervals_hold_the_truth_and_unknown_scores_say_so() -> None:
    scores, true, shifts = cells(600)
    found = fit_map({"good": scores["good"]}, true, shifts)
    held = [
        (each := found.estimate({"good": float(score)})).low <= value <= each.high
        for score, value in zip(scores["good"], true, strict=True)
    ]
    assert 0.92 <= np.mean(held) <= 0.98
    nothing = found.estimate({})
    assert (nothing.low, nothing.high) == (0, 1)
    assert found.estimate({"good": math.nan}).high == 1
    far = found.estimate({"good": 1e9})
    assert far.value <= 1
    assert far == found.estimate({"good": 1e6})


@pytest.mark.parametrize(
    "call",
    [
        lambda: fit_map({"a": [1.0, 2.0]}, [0.1, 0.2], ["x", "y"]),
        lambda: fit_map({"a": [1.0, 2.0, 3.0]}, [0.1, 0.2, 0.3], ["x", "x", "x"]),
        lambda: fit_map({"a": [1.0, np.nan, 3.0]}, [0.1, 0.2, 0.3], ["x", "y", "x"]),
        lambda: fit_map({}, [0.1, 0.2, 0.3], ["x", "y", "x"]),
        lambda: atc_threshold(np.zeros((0, 2)), 0.5),
        lambda: atc_threshold(np.zeros((2, 2)), 1.5),
        lambda: atc_score(np.zeros((2, 2)), 0.5, "luck"),
        lambda: agreement_score(np.zeros((2, 2)), np.zeros((3, 2))),
        lambda: memory_distance_score(np.zeros((2, 2)), np.zeros((1, 3)), np.ones(3)),
        lambda: memory_distance_score(np.full((2, 2), np.nan), np.zeros((1, 2)), np.ones(2)),
    ],
)
def test_wrong_arrays_are_one_sentence(call: object) -> None:
    with pytest.raises(DataError) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_an_interval_holds_its_value() -> None:
    with pytest.raises(ValueError, match="does not hold"):
        AccuracyEstimate(value=0.9, low=0.1, high=0.5)


def test_a_map_may_be_fitted_to_gains_and_is_not_clipped() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 0.5, 60)
    shifts = [f"shift {i % 5}" for i in range(60)]
    line = fit_map({"changed": x}, 2 * x - 0.8, shifts, ridge=0, clip=(-1, 1))
    assert line.predict({"changed": 0.1}) == pytest.approx(-0.6)
    assert line.residual < 1e-9
    assert fit_map({"changed": x}, 2 * x - 0.8, shifts, ridge=0).residual > 0.1
    assert math.isnan(line.predict({}))


def test_an_error_is_divided_by_what_more_faces_make_smaller() -> None:
    rng = np.random.default_rng(0)
    faces = rng.choice([32, 100, 300, 1000, 3000], 4000)
    x = rng.uniform(0, 1, 4000)
    truth = 0.3 + 0.5 * x + rng.normal(0, 1, 4000) * np.sqrt(0.03**2 + 0.25 / faces)
    line = fit_map({"atc": x}, truth, [f"shift {i % 10}" for i in range(4000)], ridge=0, faces=faces)
    assert line.residual == pytest.approx(0.03, abs=0.006)
    assert line.sampling == pytest.approx(0.25, abs=0.05)
    assert line.error(100) == pytest.approx(math.sqrt(line.residual**2 + line.sampling / 100))
    held = [
        (found := line.estimate({"atc": a}, faces=int(n))).low <= min(1, max(0, t)) <= found.high
        for a, n, t in zip(x[:800], faces[:800], truth[:800], strict=True)
    ]
    assert 0.92 < np.mean(held) < 0.98
    same = fit_map({"atc": x}, truth, [f"shift {i % 10}" for i in range(4000)], ridge=0, faces=np.full(4000, 100))
    assert same.sampling == 0
