"""Class shares: what a user declares, EM against a loop over faces, the confusion matrix against its inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from correction_data import CLASSES, answers, log_answers
from dcdan.core.errors import DataError, UsageError
from dcdan.correction.shares import ShareSettings, confusion_shares, em_shares, label_shares, parse_shares


def naive_em(z: np.ndarray, source: np.ndarray, towards: np.ndarray, pseudo: float, steps: int) -> np.ndarray:
    shares = np.array(towards)
    for _ in range(steps):
        total = pseudo * towards
        for row in np.exp(z):
            weighted = [p * s / t for p, s, t in zip(row, shares, source, strict=True)]
            total = total + np.array(weighted) / sum(weighted)
        shares = total / (len(z) + pseudo)
    return shares


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("balanced", [0.25, 0.25, 0.25, 0.25]),
        (" Source ", [0.1, 0.2, 0.3, 0.4]),
        ("happiness=.3, neutral=50%", [0.1, 0.1, 0.3, 0.5]),
        ("happy=1", [0, 0, 1, 0]),
        ("anger=.1,fear=.2,happiness=.3,neutral=.4", [0.1, 0.2, 0.3, 0.4]),
        ("neutral=0", [1 / 3, 1 / 3, 1 / 3, 0]),
    ],
)
def test_declared_shares(text: str, expected: list[float]) -> None:
    found = parse_shares(text, ["anger", "fear", "happiness", "neutral"], [0.1, 0.2, 0.3, 0.4])
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("kiss=.3", "'kiss' is no class of this model"),
        ("contempt=.3", "'contempt' is no class of this model"),
        ("anger=.9,fear=.2", "add up to 1.1 and not to 1"),
        ("anger=.1,fear=.2,happiness=.3,neutral=.3", "add up to 0.9 and not to 1"),
        ("anger=.1,angry=.2", "share of anger is given twice"),
        ("anger=x", "share of anger must be a number"),
        ("anger=nan", "share of anger must be a number"),
        ("anger=-.1", "share of anger must be a number"),
        ("anger=2", "share of anger must be a number"),
        ("anger", "is no class share"),
        ("", "No class share is given"),
        (",,", "No class share is given"),
        ("source", "does not know the class shares of its source"),
    ],
)
def test_a_wrong_declaration_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        parse_shares(text, ["anger", "fear", "happiness", "neutral"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pseudo", [0.0, 0.5, 2.0])
def test_em_is_the_loop_over_faces(pseudo: float) -> None:
    z, _ = answers(60, 4)
    source, towards = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.25, 0.25, 0.25, 0.25])
    chosen = ShareSettings(iterations=12, tolerance=1e-15, pseudo_counts=pseudo)
    expected = naive_em(z, source, towards, pseudo * len(z), 12)
    assert em_shares(z, source, towards, chosen) == pytest.approx(expected, abs=1e-6)


def test_em_finds_the_shares_of_calibrated_answers() -> None:
    rng = np.random.default_rng(0)
    source, target = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    labels = rng.choice(3, 20_000, p=target)
    values = rng.normal(size=20_000) + 2.0 * labels
    log_likelihood = -0.5 * (values[:, None] - 2.0 * np.arange(3)) ** 2
    assert em_shares(log_likelihood + np.log(source), source) == pytest.approx(target, abs=0.02)


def test_more_pseudo_counts_lie_nearer_to_their_shares() -> None:
    z, _ = answers(100)
    even = np.full(8, 1 / 8)
    gaps = [
        np.abs(em_shares(z, even, even, ShareSettings(pseudo_counts=count)) - even).max() for count in (0.1, 1, 10, 1e4)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-3


@given(log_answers, st.booleans())
@settings(max_examples=40, deadline=None)
def test_estimated_shares_are_shares(z: np.ndarray, plain: bool) -> None:
    even = np.full(z.shape[1], 1 / z.shape[1])
    for found in (
        em_shares(z, even, None if plain else even),
        confusion_shares(z, np.eye(z.shape[1]) + 0.1, regularised=not plain),
    ):
        assert found.shape == even.shape
        assert found.sum() == pytest.approx(1)
        assert (found > 0).all()


def test_bbse_inverts_the_confusion_matrix() -> None:
    rng = np.random.default_rng(1)
    right = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])
    source, target = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    predicted = np.repeat(np.arange(3), rng.multinomial(100_000, target @ right))
    z = np.log(np.eye(3)[predicted] * 0.9 + 0.05)
    found = confusion_shares(z, 1000 * source[:, None] * right, regularised=False)
    assert found == pytest.approx(target, abs=0.01)
    smoothed = confusion_shares(z, 1000 * source[:, None] * right, settings=ShareSettings(ridge=1e-6))
    assert smoothed == pytest.approx(found, abs=1e-4)
    # A ridge without bounds leaves the source's shares.
    assert confusion_shares(z, 1000 * source[:, None] * right, settings=ShareSettings(ridge=1e6)) == pytest.approx(
        source
    )


def test_shares_from_labels_are_weighted_counts_and_pseudo_counts() -> None:
    labels, weights = [0, 0, 1, 2], np.array([1.0, 1.0, 2.0, 4.0])
    mean = np.array([0.7, 0.2, 0.1])
    counts = np.zeros(3)
    for label, weight in zip(labels, weights, strict=True):
        counts[label] += weight * 4 / weights.sum()
    expected = (counts + 1.0 * (mean / 2 + 1 / 6)) / 5
    assert label_shares(labels, weights, mean) == pytest.approx(expected)


@pytest.mark.parametrize("count", [0, 1, 31])
def test_few_faces_give_safe_shares(count: int) -> None:
    z, _ = answers(count)
    even = np.full(8, 1 / 8)
    for found in (
        em_shares(z, even),
        em_shares(z, even, even),
        confusion_shares(z, np.eye(8)),
        label_shares([], None, even),
    ):
        assert np.isfinite(found).all()
        assert found.sum() == pytest.approx(1)
    if count == 0:
        assert em_shares(z, even) == pytest.approx(even)


def test_faces_that_are_all_alike_and_one_class() -> None:
    z = np.tile(np.log([0.7, 0.2, 0.1]), (50, 1))
    assert em_shares(z, [1 / 3] * 3, [1 / 3] * 3).argmax() == 0
    assert em_shares(np.zeros((5, 1)), [1.0]) == pytest.approx([1.0])
    assert em_shares([[0.0, -np.inf]] * 4, [0.5, 0.5])[0] > 0.99
    assert confusion_shares(z, np.diag([1.0, 1.0, 0.0])).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: em_shares([[np.nan, 0.0]], [0.5, 0.5]),
        lambda: em_shares([[-np.inf, -np.inf]], [0.5, 0.5]),
        lambda: em_shares(np.zeros(3), [0.5, 0.5]),
        lambda: em_shares(np.zeros((3, 2)), [0.5, 0.6]),
        lambda: em_shares(np.zeros((3, 2)), [0.5, -0.5]),
        lambda: em_shares(np.zeros((3, 2)), [1.0]),
        lambda: confusion_shares(np.zeros((3, 2)), np.zeros((2, 2))),
        lambda: confusion_shares(np.zeros((3, 2)), np.eye(3)),
        lambda: label_shares([2], None, [0.5, 0.5]),
        lambda: label_shares([0], [0.0], [0.5, 0.5]),
        lambda: label_shares([0], [1.0, 1.0], [0.5, 0.5]),
    ],
)
def test_wrong_arrays_are_one_sentence(call: object) -> None:
    with pytest.raises(DataError) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_class_names_are_the_models_own() -> None:
    assert parse_shares("contempt=1", CLASSES)[-1] == 1
    assert parse_shares("kiss=1", ["kiss", "anger"]).tolist() == [1, 0]
