"""Corrections of the output against loops over faces, their invariances, and what degenerate sets give."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from correction_data import CLASSES, answers, log_answers, naive_log_softmax
from dcdan.core.errors import DataError, UsageError
from dcdan.correction.arrays import checked_log, group_means, log_softmax
from dcdan.correction.output import (
    OutputCorrection,
    OutputSettings,
    centring_bias,
    corrected,
    declared_correction,
    group_offsets,
    neutral_offsets,
    prior_bias,
    sinkhorn,
)


def naive_sinkhorn(z: np.ndarray, shares: np.ndarray, iterations: int) -> np.ndarray:
    """Columns, then rows, in the log domain, one at a time."""
    out = np.array(z)
    for _ in range(iterations):
        for k in range(out.shape[1]):
            out[:, k] += math.log(len(z) * shares[k]) - math.log(math.fsum(np.exp(out[:, k])))
        out = naive_log_softmax(out)
    return out


def naive_offsets(z: np.ndarray, groups: list[str], shrinkage: float = 10) -> dict[str, np.ndarray]:
    found = {}
    for name in set(groups):
        rows = [row for row, group in zip(z, groups, strict=True) if group == name]
        if name and len(rows) >= 15 and len({int(row.argmax()) for row in rows}) >= 3:
            found[name] = len(rows) / (len(rows) + shrinkage) * (np.mean(rows, 0) - z.mean(0))
    return found


def test_prior_correction_is_bayes_rule() -> None:
    z, _ = answers(30, 3)
    source, target = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])
    found = np.exp(corrected(z, prior_bias(source, target)))
    for row, answer in zip(np.exp(z), found, strict=True):
        expected = row * target / source
        assert answer == pytest.approx(expected / expected.sum())


@given(log_answers, st.floats(0, 2))
@settings(max_examples=60, deadline=None)
def test_corrected_rows_sum_to_one_and_tau_zero_changes_nothing(z: np.ndarray, tau: float) -> None:
    classes = z.shape[1]
    source, target = np.arange(1.0, classes + 1), np.arange(classes, 0.0, -1)
    source, target = source / source.sum(), target / target.sum()
    out = corrected(z, prior_bias(source, target, tau))
    assert np.exp(out).sum(1) == pytest.approx(np.ones(len(z)))
    assert corrected(z, prior_bias(source, target, 0.0)) == pytest.approx(checked_log(z))
    assert corrected(z, prior_bias(source, source, tau)) == pytest.approx(checked_log(z))
    # A number added to all classes of a face, or to all biases, changes nothing.
    assert corrected(z + 3, prior_bias(source, target, tau) + 5) == pytest.approx(out)


@pytest.mark.parametrize("count", [2, 31, 200])
def test_sinkhorn_is_the_loop_over_rows_and_columns(count: int) -> None:
    z, _ = answers(count, 4)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    found = sinkhorn(z, shares)
    assert found.log_probabilities == pytest.approx(naive_sinkhorn(z, shares, 50), abs=1e-9)
    assert log_softmax(z + found.bias) == pytest.approx(found.log_probabilities)


@given(log_answers)
@settings(max_examples=25, deadline=None)
def test_sinkhorn_gives_rows_of_one_and_columns_of_their_shares(z: np.ndarray) -> None:
    classes = z.shape[1]
    shares = np.arange(1.0, classes + 1) / np.arange(1.0, classes + 1).sum()
    p = np.exp(sinkhorn(z, shares, OutputSettings(sinkhorn_iterations=1000)).log_probabilities)
    assert np.isfinite(p).all()
    assert p.sum(1) == pytest.approx(np.ones(len(z)))
    if len(z) >= 2:
        assert p.mean(0) == pytest.approx(shares, abs=0.02)


def test_sinkhorn_keeps_the_order_of_faces_and_classes() -> None:
    z, _ = answers(80, 5)
    shares = np.array([0.1, 0.1, 0.2, 0.25, 0.35])
    order, classes = np.random.default_rng(0).permutation(80), np.array([4, 2, 0, 1, 3])
    found = sinkhorn(z, shares).log_probabilities
    assert sinkhorn(z[order][:, classes], shares[classes]).log_probabilities == pytest.approx(found[order][:, classes])


def test_a_class_declared_absent_gets_no_face() -> None:
    z, _ = answers(300, 4)
    found = sinkhorn(z, [0.5, 0.3, 0.2, 0.0]).log_probabilities
    assert not (found.argmax(1) == 3).any()
    assert np.isfinite(found).all()


def test_offsets_are_the_loop_over_groups() -> None:
    z, _ = answers(200, 5)
    groups = [["a", "b", "c", "", "few"][min(i % 5, 4)] if i < 170 else "a" for i in range(200)]
    found, expected = group_offsets(z, groups), naive_offsets(z, groups)
    assert set(found) == set(expected)
    assert all(found[name] == pytest.approx(expected[name]) for name in expected)


def test_offsets_within_classes_ignore_a_groups_own_mix_of_classes() -> None:
    own = np.eye(4)[np.arange(80) % 4] * 6
    z = log_softmax(np.concatenate([own, own[np.array([0, 0, 0, 0, 0, 1, 2, 3] * 10)]]))
    groups = ["even"] * 80 + ["mostly the first"] * 80
    within = group_offsets(z, groups, OutputSettings(offsets="within-class"))
    assert all(np.abs(value).max() < 1e-9 for value in within.values())
    assert np.abs(group_offsets(z, groups)["mostly the first"]).max() > 1
    look = np.where(np.arange(160)[:, None] < 80, [1.0, 0, 0, 0], [0.0, 0, 0, 0])
    moved = group_offsets(log_softmax(z + look), groups, OutputSettings(offsets="within-class"))
    assert moved["even"].argmax() == 0


@pytest.mark.parametrize("how", ["mean", "within-class"])
def test_offsets_do_not_depend_on_the_order_of_faces_or_the_names_of_groups(how: str) -> None:
    z, _ = answers(120, 5)
    groups = np.array(["x", "y", "z"])[np.arange(120) % 3]
    order = np.random.default_rng(3).permutation(120)
    chosen = OutputSettings(offsets=how)
    found, mixed = group_offsets(z, groups, chosen), group_offsets(z[order], groups[order], chosen)
    renamed = group_offsets(z, np.char.add("person ", groups), chosen)
    for name, value in found.items():
        assert mixed[name] == pytest.approx(value)
        assert renamed[f"person {name}"] == pytest.approx(value)


def test_guards_leave_small_groups_and_groups_of_few_classes_out() -> None:
    z = np.log(np.tile([0.6, 0.3, 0.1], (60, 1)))
    assert group_offsets(z, ["a"] * 30 + ["b"] * 30) == {}
    z, _ = answers(40, 5)
    assert group_offsets(z, [str(i) for i in range(40)]) == {}
    assert group_offsets(z, ["one"] * 40) == {}
    assert group_offsets(z, ["a"] * 14 + ["b"] * 26).keys() == {"b"}


def test_offsets_of_neutral_faces() -> None:
    z = np.log([[0.2, 0.8], [0.4, 0.6], [0.1, 0.9]])
    found = neutral_offsets(z, ["a", "a", "b"], np.log([0.1, 0.9]))
    assert found["a"] == pytest.approx(2 / 12 * (z[:2].mean(0) - np.log([0.1, 0.9])))
    assert found["b"] == pytest.approx([0, 0], abs=1e-12)
    between = neutral_offsets(z, ["a", "a", "b"])
    assert between["a"] == pytest.approx(2 / 12 * (z[:2].mean(0) - z[2]) / 2)
    assert neutral_offsets(z, ["a"] * 3) == {}
    assert neutral_offsets(z[:0], []) == {}


def test_centring_gives_the_sources_mean() -> None:
    z, _ = answers(50, 4)
    mean = answers(90, 4, seed=5)[0].mean(0)
    assert (z + centring_bias(z, mean)).mean(0) == pytest.approx(mean)
    assert centring_bias(z[:0], mean) == pytest.approx(np.zeros(4))
    assert centring_bias(z, mean, 0.0) == pytest.approx(np.zeros(4))


@pytest.mark.parametrize("count", [0, 1, 31])
def test_few_faces_are_safe(count: int) -> None:
    z, _ = answers(count)
    even = np.full(8, 1 / 8)
    assert sinkhorn(z, even).log_probabilities.shape == z.shape
    assert group_offsets(z, ["g"] * count) == {}
    if count < 2:
        assert sinkhorn(z, even).log_probabilities == pytest.approx(z)


def test_faces_all_alike_and_zero_probabilities() -> None:
    z = np.tile(np.log([0.7, 0.2, 0.1]), (50, 1))
    p = np.exp(sinkhorn(z, [1 / 3] * 3).log_probabilities)
    assert p == pytest.approx(np.full((50, 3), 1 / 3))
    hard = np.where(np.eye(3)[np.arange(30) % 2] > 0, 0.0, -np.inf)
    found = sinkhorn(hard, [1 / 3] * 3).log_probabilities
    assert np.isfinite(found).all()
    assert corrected(hard, np.zeros(3)).argmax(1).tolist() == (np.arange(30) % 2).tolist()
    assert sinkhorn(np.zeros((4, 1)), [1.0]).log_probabilities == pytest.approx(np.zeros((4, 1)))


def test_a_correction_is_what_it_stands_for() -> None:
    z, _ = answers(90)
    groups = ["a", "b", "new"] * 30
    offsets = {"a": np.arange(8) / 8, "b": -np.arange(8) / 4}
    bias = prior_bias(np.full(8, 1 / 8), np.arange(1, 9) / 36)
    rung = OutputCorrection.of(CLASSES, bias, offsets, np.arange(1, 9) / 36, 2.0)
    found = rung.apply(z, groups)
    for row, group, answer in zip(z, groups, found, strict=True):
        expected = (row + bias - offsets.get(group, np.zeros(8))) / 2
        assert answer == pytest.approx(naive_log_softmax(expected[None])[0])
    assert rung.apply(z) == pytest.approx(log_softmax((z + rung.as_bias()) / rung.temperature))
    assert OutputCorrection.model_validate(json.loads(rung.model_dump_json())).apply(z, groups) == pytest.approx(found)
    assert OutputCorrection.identity(CLASSES).apply(z, groups) == pytest.approx(z)
    assert rung.apply(z[:0], []).shape == (0, 8)


def test_declared_shares_make_a_correction_for_single_faces() -> None:
    z, _ = answers(20)
    source, target = np.arange(1, 9) / 36, np.full(8, 1 / 8)
    rung = declared_correction(CLASSES, source, target, OutputSettings(tau=0.7))
    assert rung.apply(z) == pytest.approx(corrected(z, prior_bias(source, target, 0.7)))
    assert rung.apply(z[3:4])[0] == pytest.approx(rung.apply(z)[3])
    with pytest.raises(UsageError, match="two classes"):
        declared_correction(["anger"], [1.0], [1.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: OutputCorrection.of(CLASSES, np.zeros(3)),
        lambda: OutputCorrection.of(CLASSES, np.full(8, np.nan)),
        lambda: OutputCorrection.of(CLASSES, np.zeros(8), {"a": np.zeros(2)}),
        lambda: OutputCorrection.of(CLASSES, np.zeros(8), prior=np.full(8, 0.5)),
        lambda: OutputCorrection.of(CLASSES, np.zeros(8), temperature=0.0),
        lambda: OutputCorrection.identity(CLASSES).apply(np.zeros((3, 2))),
        lambda: OutputCorrection.identity(CLASSES).apply(np.full((3, 8), np.nan)),
        lambda: corrected(np.zeros((3, 2)), [0.0]),
        lambda: corrected(np.zeros((3, 2)), [0.0, np.inf]),
        lambda: corrected(np.zeros((3, 2)), [0.0, 0.0], np.zeros((2, 2))),
        lambda: sinkhorn(np.zeros((3, 2)), [0.5, 0.9]),
        lambda: group_offsets(np.zeros((3, 2)), ["a"]),
        lambda: neutral_offsets(np.zeros((3, 2)), ["a"] * 3, [0.0]),
        lambda: centring_bias(np.zeros((3, 2)), [0.0]),
        lambda: prior_bias([0.5, 0.5], [1.0]),
        lambda: log_softmax(np.zeros((3, 0))),
    ],
)
def test_wrong_arrays_are_one_sentence(call: object) -> None:
    with pytest.raises(DataError) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_means_of_groups() -> None:
    values, numbers = np.arange(12.0).reshape(6, 2), np.array([0, 2, 0, 2, 2, 0])
    means, sizes = group_means(values, numbers, 4)
    assert sizes.tolist() == [3, 0, 3, 0]
    assert means[2] == pytest.approx(values[numbers == 2].mean(0))
    assert means[1] == pytest.approx([0, 0])
