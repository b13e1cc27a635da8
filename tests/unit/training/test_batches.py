"""The order of batches, and the thread that reads ahead.

Draw weights against the shares that they promise.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.training.batches import (
    Order,
    ReadAhead,
    aligned_weights,
    balanced_sets,
    balanced_weights,
    gather,
    sampling_weights,
)
from dcdan.training.data import Source

ROWS = np.array([3, 5, 8, 13, 21, 34, 55])


@given(n=st.integers(1, 20), size=st.integers(1, 30), passes=st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_every_row_comes_once_in_each_pass(n: int, size: int, passes: int) -> None:
    rows = np.arange(100, 100 + n)
    order = Order(rows, size, seed=1)
    stream = np.concatenate([order.batch(step) for step in range(-(-n * passes // size))])
    assert all(len(order.batch(step)) == size for step in range(3))
    for number in range(passes):
        assert sorted(stream[number * n : (number + 1) * n]) == list(rows)


def test_a_batch_follows_from_seed_and_step_alone() -> None:
    forward = Order(ROWS, 3, seed=7)
    batches = [forward.batch(step) for step in range(20)]
    for step in (19, 0, 11, 11, 4):
        assert (Order(ROWS, 3, seed=7).batch(step) == batches[step]).all()
        assert (forward.batch(step) == batches[step]).all()


def test_passes_seeds_and_salts_are_mixed_differently() -> None:
    rows = np.arange(50)
    first = Order(rows, 50, seed=0).batch(0)
    assert (first != rows).any()
    for other in (Order(rows, 50, seed=0).batch(1), Order(rows, 50, 1).batch(0), Order(rows, 50, 0, salt=1).batch(0)):
        assert (first != other).any()


def test_the_rows_given_stay_as_they_are() -> None:
    rows = np.arange(30)
    Order(rows, 8, seed=0).batch(5)
    assert (rows == np.arange(30)).all()


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        Order(np.empty(0, np.int64), 4, seed=0)


def test_balanced_weights_give_every_class_the_same_share() -> None:
    labels = np.array([0] * 90 + [2] * 9 + [3])
    weights = balanced_weights(labels)
    assert weights.sum() == pytest.approx(1)
    for name in (0, 2, 3):
        assert weights[labels == name].sum() == pytest.approx(1 / 3)
        assert np.ptp(weights[labels == name]) == 0
    drawn = labels[Order(np.arange(100), 100, 0, weights).batch(0)]
    counts = np.bincount(
        np.concatenate([drawn, *(labels[Order(np.arange(100), 100, s, weights).batch(0)] for s in range(9))])
    )
    assert counts[1] == 0
    assert (abs(counts[[0, 2, 3]] - 1000 / 3) < 60).all()


def test_weights_belong_to_the_rows() -> None:
    order = Order(np.array([10, 20, 30]), 50, 0, np.array([0.0, 1.0, 0.0]))
    assert set(order.batch(0)) == {20}


def test_gathering_keeps_the_order_asked_for(tmp_path) -> None:  # type: ignore[no-untyped-def]
    faces = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "faces.npy", faces)
    mapped = np.load(tmp_path / "faces.npy", mmap_mode="r")
    rows = np.array([39, 0, 7, 7, 20, 3])
    read = gather(mapped, rows)
    assert read.dtype == np.uint8
    assert (read == faces[rows]).all()
    read[:] = 0
    assert (mapped == faces).all()


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def pair() -> tuple[list[np.ndarray], list[Order]]:
    source, target = np.arange(12).reshape(12, 1), 100 + np.arange(5).reshape(5, 1)
    return [source, target], [Order(np.arange(12), 4, 0), Order(np.arange(5), 4, 0, salt=2)]


def test_batches_come_in_order_from_any_start() -> None:
    faces, orders = pair()
    found = list(ReadAhead(faces, orders, 3, 9))
    assert [step for step, _, _ in found] == list(range(3, 9))
    for step, rows, read in found:
        for domain in (0, 1):
            assert (rows[domain] == pair()[1][domain].batch(step)).all()
            assert (read[domain] == faces[domain][rows[domain]]).all()
    assert not alive()


def test_nothing_is_read_when_the_stage_is_over() -> None:
    assert list(ReadAhead(*pair(), 5, 5)) == []
    assert not alive()


def test_the_thread_reads_ahead_but_not_far() -> None:
    faces, orders = pair()
    asked: list[int] = []
    batch = orders[0].batch
    orders[0].batch = lambda step: asked.append(step) or batch(step)  # type: ignore[method-assign, func-returns-value]
    batches = iter(ReadAhead(faces, orders, 0, 100, depth=3))
    next(batches)
    until = time.monotonic() + 5
    while len(asked) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    # One handed over, three in the queue, one waiting for a place in it.
    assert asked == [0, 1, 2, 3, 4]
    batches.close()


def test_closing_early_leaves_no_thread() -> None:
    batches = iter(ReadAhead(*pair(), 0, 1000))
    next(batches)
    assert alive()
    batches.close()
    assert not alive()


def test_a_failure_in_the_thread_is_raised_where_the_batch_is_wanted() -> None:
    faces, orders = pair()
    batch = orders[1].batch

    def failing(step: int) -> np.ndarray:
        if step == 2:
            raise OSError("the disk is gone")
        return batch(step)

    orders[1].batch = failing  # type: ignore[method-assign]
    batches = iter(ReadAhead(faces, orders, 0, 10))
    assert [next(batches)[0], next(batches)[0]] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert not alive()


def test_aligned_draws_give_a_target_the_shares_of_the_source() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 6000, p=[0.7, 0.2, 0.1])
    sure = np.eye(3)[truth] * 0.94 + 0.02
    prior = np.array([0.4, 0.3, 0.3])
    exact = aligned_weights(np.eye(3)[truth], prior)
    np.testing.assert_allclose([exact[truth == c].sum() for c in range(3)], prior)
    weights = aligned_weights(sure, prior)
    assert weights.sum() == pytest.approx(1)
    assert 0.4 < weights[truth == 0].sum() < 0.5
    seen = sure.mean(0)
    naive = [sum(float(p) * prior[c] / seen[c] for c, p in enumerate(row)) for row in sure[:20]]
    np.testing.assert_allclose(weights[:20] / weights[0], np.array(naive) / naive[0])


def test_aligned_draws_leave_an_even_target_alone_and_no_face_is_drawn_without_end() -> None:
    even = np.full((50, 4), 0.25)
    np.testing.assert_allclose(aligned_weights(even, np.ones(4)), 1 / 50)
    lonely = np.zeros((100, 2))
    lonely[:, 0] = 1
    lonely[0] = [0, 1]
    weights = aligned_weights(lonely, np.array([0.5, 0.5]), most=5)
    assert weights[0] == pytest.approx(5 / (5 + 99 * 0.50505), rel=0.01)
    assert weights[0] / weights[1] == pytest.approx(5 * 1 / 0.50505, rel=0.02)


HARD = np.array([0] * 60 + [1] * 30 + [2] * 10)
SOURCE = Source(
    np.zeros((100, 4, 4), np.uint8),
    ("fear", "anger", "neutral"),
    np.arange(100),
    np.arange(0),
    HARD,
    torch.eye(3)[torch.from_numpy(HARD)],
    0,
)
SEEN = np.tile([0.2, 0.3, 0.5], (40, 1))


def shares(weights: np.ndarray | None) -> list[float]:
    assert weights is not None
    return [float(weights[c == HARD].sum()) for c in range(3)]


def never() -> np.ndarray:
    raise AssertionError("the target is looked at for nothing")


def test_an_even_draw_has_no_weights_and_asks_nothing() -> None:
    assert sampling_weights("even", "none", SOURCE, never) == (None, None)


def test_the_source_takes_the_shares_seen_in_the_target() -> None:
    found = sampling_weights("source-as-target", "none", SOURCE, lambda: SEEN)
    assert shares(found.source) == pytest.approx([0.2, 0.3, 0.5])
    assert found.target is None


def test_soft_labels_move_the_shares_too() -> None:
    soft = torch.full((100, 3), 1 / 3) * 0.3 + SOURCE.labels * 0.7
    source = Source(SOURCE.faces, SOURCE.classes, SOURCE.train, SOURCE.validation, HARD, soft, 0)
    weights = sampling_weights("source-as-target", "none", source, lambda: SEEN).source
    assert weights is not None
    before, after = soft.double().mean(0).numpy(), weights @ soft.double().numpy()
    assert np.abs(after - SEEN[0]).sum() < 0.75 * np.abs(before - SEEN[0]).sum()


def test_the_balanced_sampler_goes_first() -> None:
    found = sampling_weights("source-as-target", "balanced-sampler", SOURCE, never)
    assert shares(found.source) == pytest.approx([1 / 3] * 3)


def test_the_target_takes_the_source_s_shares_of_what_is_seen() -> None:
    seen = np.eye(3)[[0] * 10 + [1] * 10 + [2] * 20]
    found = sampling_weights("target-as-source", "none", SOURCE, lambda: seen)
    assert found.source is None
    assert found.target is not None
    assert [float(found.target[seen[:, c] == 1].sum()) for c in range(3)] == pytest.approx([0.6, 0.3, 0.1])


def test_sets_are_balanced_and_keep_their_own_proportions() -> None:
    """F18. Every set has the same total weight; within a set the given weights decide."""
    sets, given = np.array([0, 1, 0, 1, 1, 2]), np.array([1.0, 2, 3, 2, 4, 9])
    weights = balanced_sets(sets, given)
    assert np.bincount(sets, weights=weights) == pytest.approx([1 / 3] * 3)
    assert weights[2] == pytest.approx(3 * weights[0])
    assert weights[4] == pytest.approx(2 * weights[1])
    assert balanced_sets(sets, None)[5] == pytest.approx(1 / 3)
