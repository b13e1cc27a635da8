"""All pairs of 64-bit words that differ in few bits, without comparing every word with every other.

The bits are dealt out to one band more than bits may differ, so that a pair agrees in at least one band (pigeonhole).
Sorted by a band, the words that agree in it lie side by side; they are compared with their next neighbour, then with
the next but one, for as long as the band is the same: whole arrays at a time, in memory for a few times the words.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dcdan.data.fingerprint import BITS, distance

FARTHEST = 16
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def near_pairs(words: np.ndarray, limit: int, sides: np.ndarray | None = None) -> Iterator[Pairs]:
    """Yield blocks of pairs (first (n,) < second (n,), both indices; distance (n,)) of `words` (N,) uint64, each once.

    limit: bits in which a pair may differ, 0 to 16. sides: (N,) of any two values; only pairs of one and the other.
    """
    if not 0 <= limit <= FARTHEST:
        raise ValueError(f"a distance of {limit} bits is not in 0..{FARTHEST}")
    bands = _bands(limit + 1)
    for number, band in enumerate(bands):
        keys = words & band
        order = np.argsort(keys, kind="stable")
        keys, ordered = keys[order], words[order]
        starts = np.arange(len(words))
        step = 0
        while len(starts):
            step += 1
            starts = starts[: np.searchsorted(starts, len(words) - step)]
            starts = starts[keys[starts] == keys[starts + step]]
            apart = distance(ordered[starts], ordered[starts + step])
            close = np.flatnonzero(apart <= limit)
            first, second, apart = order[starts[close]], order[starts[close] + step], apart[close]
            kept = _first_met(words[first] ^ words[second], bands[:number])
            if sides is not None:
                kept &= sides[first] != sides[second]
            if kept.any():
                first, second = first[kept], second[kept]
                yield np.minimum(first, second), np.maximum(first, second), apart[kept]


def _bands(count: int) -> list[np.uint64]:
    # Neighbouring bits are much alike in pictures: dealt out in turn, they make bands with more different values.
    bits = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
    return [np.bitwise_or.reduce(bits[start::count]) for start in range(count)]


def _first_met(different: np.ndarray, earlier: list[np.uint64]) -> np.ndarray:
    """Return which pairs (n,), given their differing bits, agree in none of the earlier bands."""
    kept = np.ones(len(different), bool)
    for band in earlier:
        kept &= (different & band) != 0
    return kept
