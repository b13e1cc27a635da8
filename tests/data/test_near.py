"""Near pairs of words: exactly those that brute force finds, each once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.data.near import FARTHEST, near_pairs


def found(words: np.ndarray, limit: int, sides: np.ndarray | None = None) -> list[tuple[int, int, int]]:
    blocks = near_pairs(words, limit, sides)
    return [triple for block in blocks for triple in zip(*(column.tolist() for column in block), strict=True)]


def brute(words: np.ndarray, limit: int, sides: np.ndarray | None = None) -> set[tuple[int, int, int]]:
    values = words.tolist()
    pairs = ((i, j) for i in range(len(values)) for j in range(i + 1, len(values)))
    apart = ((i, j, bin(values[i] ^ values[j]).count("1")) for i, j in pairs if sides is None or sides[i] != sides[j])
    return {triple for triple in apart if triple[2] <= limit}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(0, FARTHEST), st.integers(1, 40), st.booleans())
def test_every_near_pair_is_found_once(seed: int, count: int, limit: int, flips: int, two_sides: bool) -> None:
    """Words are a few others with bits flipped, so that there are pairs at all distances."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**64, 4, np.uint64)[rng.integers(0, 4, count)]
    for _ in range(int(rng.integers(0, flips))):
        words = words ^ np.where(
            rng.random(count) < 0.5, np.uint64(1) << rng.integers(0, 64, count, np.uint64), 0
        ).astype(np.uint64)
    sides = rng.integers(0, 2, count) if two_sides else None
    pairs = found(words, limit, sides)
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == brute(words, limit, sides)


def test_bits_that_all_lie_in_one_band_or_in_all_are_found() -> None:
    limit = 3
    for bits in ([0, 4, 8], [0, 1, 2], [61, 62, 63], [60, 56, 52]):
        words = np.array([0, sum(1 << bit for bit in bits)], np.uint64)
        assert found(words, limit) == [(0, 1, 3)]
        assert found(words, limit - 1) == []


def test_none_and_one_have_no_pairs() -> None:
    assert found(np.zeros(0, np.uint64), 4) == []
    assert found(np.zeros(1, np.uint64), 4) == []


@pytest.mark.parametrize("limit", [-1, FARTHEST + 1])
def test_a_distance_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.16"):
        list(near_pairs(np.zeros(2, np.uint64), limit))
