"""Smoothed probabilities against the weighted mean written out, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.recognition.smoothing import Smoother


def simplex(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 5.0), st.booleans())
def test_it_is_the_weighted_mean_of_all_that_was_seen(seed: int, constant: float, weighted: bool) -> None:
    """Tracks come, go and come back, in any order within a frame."""
    rng = np.random.default_rng(seed)
    smoother = Smoother(constant)
    past: dict[int, list[tuple[float, float, np.ndarray]]] = {}
    time = 0.0
    for _ in range(25):
        time += rng.uniform(0.01, 0.4)
        tracks = rng.permutation(6)[: rng.integers(0, 6)] + 1
        own = simplex(rng, len(tracks), 4)
        weights = rng.uniform(0.1, 1, len(tracks)) if weighted else None
        smoothed = smoother.update(time, tracks, own, weights)
        assert smoothed.shape == own.shape
        for place, track in enumerate(tracks.tolist()):
            weight = 1.0 if weights is None else float(weights[place])
            past.setdefault(track, []).append((time, weight, own[place]))
            parts = [(w * np.exp(-(time - t) / constant), p) for t, w, p in past[track]]
            naive = sum(w * p for w, p in parts) / sum(w for w, _ in parts)
            # A track that was away for more than ten constants may have been forgotten: e^-10 of the weight.
            np.testing.assert_allclose(smoothed[place], naive, atol=1e-3)
            assert smoothed[place].sum() == pytest.approx(1)


def test_looking_at_fewer_frames_changes_little() -> None:
    times = np.arange(0, 6, 0.04)
    wave = 0.5 + 0.4 * np.sin(times)
    answers = {}
    for every in (1, 5):
        smoother = Smoother(0.5)
        for time, share in list(zip(times, wave, strict=True))[::every]:
            answers[every, round(time, 2)] = smoother.update(time, np.array([1]), np.array([[share, 1 - share]]))[0, 0]
    shared = [time for every, time in answers if every == 5 and time > 2]
    assert len(shared) > 15
    for time in shared:
        assert answers[1, time] == pytest.approx(answers[5, time], abs=0.04)


def test_after_one_time_constant_most_is_new() -> None:
    smoother = Smoother(0.5)
    for frame in range(500):
        old = smoother.update(0.01 * frame, np.array([1]), np.array([[1.0, 0.0]]))
    assert old[0, 0] == 1
    for frame in range(500, 550):
        new = smoother.update(0.01 * frame, np.array([1]), np.array([[0.0, 1.0]]))
    assert new[0, 1] == pytest.approx(1 - np.exp(-1), abs=0.01)


def test_a_new_track_starts_with_what_it_shows() -> None:
    smoother = Smoother(1.0)
    smoother.update(0.0, np.array([1]), np.array([[1.0, 0.0]]))
    assert smoother.update(0.04, np.array([2]), np.array([[0.2, 0.8]])).tolist() == [[0.2, 0.8]]


def test_a_weighty_frame_counts_more() -> None:
    smoother = Smoother(1e6)
    smoother.update(0.0, np.array([1]), np.array([[1.0, 0.0]]), np.array([3.0]))
    mixed = smoother.update(0.04, np.array([1]), np.array([[0.0, 1.0]]), np.array([1.0]))
    np.testing.assert_allclose(mixed, [[0.75, 0.25]], atol=1e-6)


def test_without_a_time_constant_every_frame_stands_for_itself() -> None:
    smoother = Smoother(0.0)
    for share in (1.0, 0.0, 0.3):
        own = np.array([[share, 1 - share]])
        assert smoother.update(share, np.array([1]), own).tolist() == own.tolist()


def test_memory_does_not_grow_with_the_number_of_tracks() -> None:
    smoother = Smoother(0.1)
    for track in range(1, 2000):
        smoother.update(0.5 * track, np.array([track]), np.array([[0.5, 0.5]]))
    assert len(smoother._ids) < 10
