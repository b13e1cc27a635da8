"""Duplicate images: equal pixels, nearly the same picture, or its mirror image; within a set or between two sets.

A picture has a fingerprint of two words (see `inspection`). Near duplicates differ in at most `limit` bits of the
first word and in at most `FINE` bits of the second. Plain pictures (one colour, a ramp) are left out, because their
words depend on noise. Of pictures with equal pixels, one represents all in the search for near duplicates, so that
a thousand copies do not make half a million pairs.

The search does not compare every word with every other. The 64 bits are dealt into `limit + 1` bands, so that a pair
agrees in at least one band (pigeonhole principle). Sorted by a band, words that agree in it are neighbours, and each
is compared with its next neighbour, the next but one, and so on while the band is equal. Each step is one operation
on arrays, and memory stays at a few times the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dcdan.audit.inspection import BITS, STATUSES, distance, mirrored
from dcdan.images.status import Status

FARTHEST = 16
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def near_pairs(words: np.ndarray, limit: int, sides: np.ndarray | None = None) -> Iterator[Pairs]:
    """Find all pairs of words that differ in few bits.

    Args:
        words: `(N,) uint64`.
        limit: bits in which a pair may differ, 0 to 16.
        sides: `(N,)` of any two values. Only pairs with one of each are found. None finds all pairs.

    Yields:
        Blocks of pairs, each pair once: indices `first < second`, and the distance in bits, all `(n,)`.

    Raises:
        ValueError: the limit is out of range.

    Example:
        >>> [block] = near_pairs(np.array([0b0000, 0b0111, 0b0011], np.uint64), limit=1)
        >>> [column.tolist() for column in block]
        [[1], [2], [1]]
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
            kept = _met_first_here(words[first] ^ words[second], bands[:number])
            if sides is not None:
                kept &= sides[first] != sides[second]
            if kept.any():
                first, second = first[kept], second[kept]
                yield np.minimum(first, second), np.maximum(first, second), apart[kept]


def _bands(count: int) -> list[np.uint64]:
    # Neighbouring bits are much alike in pictures: dealt out in turn, they make bands with more different values.
    """Return the masks of disjoint bands of bits."""
    bits = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
    return [np.bitwise_or.reduce(bits[start::count]) for start in range(count)]


def _met_first_here(different: np.ndarray, earlier: list[np.uint64]) -> np.ndarray:
    """Return which pairs (n,), given their differing bits, agree in none of the earlier bands."""
    kept = np.ones(len(different), bool)
    for band in earlier:
        kept &= (different & band) != 0
    return kept


# Chosen on FER2013, where pairs by chance begin at 8 and 13 bits: docs/results/doubles/README.md.
DISTANCE = 8
FINE = 12
# More pairs than this are of no use to anyone, and would fill the memory.
MOST_PAIRS = 500_000


class DuplicateKind(StrEnum):
    """How an image duplicates another: equal pixels, nearly the same picture, or its mirror image."""

    EXACT = "exact"
    NEAR = "near"
    MIRRORED = "mirrored"


DUPLICATE_KINDS = tuple(DuplicateKind)


@dataclass(frozen=True)
class Duplicates:
    """Pairs of duplicate images, as arrays `(n,)`.

    Attributes:
        first: index of one image. Between two sets it counts in the first set.
        second: index of the other image. Between two sets it counts in the second set.
        kinds: index into `DUPLICATE_KINDS`.
        distances: bits in which the first words differ.
        cut_short: there are more pairs than `MOST_PAIRS`, and the others are missing.
    """

    first: np.ndarray
    second: np.ndarray
    kinds: np.ndarray
    distances: np.ndarray
    cut_short: bool

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)


def duplicates_within(prints: np.ndarray, limit: int = DISTANCE) -> Duplicates:
    """Find the duplicates within a set.

    Args:
        prints: `(N,)` fingerprints of the type `inspection.PRINT`.
        limit: bits in which the first words of near duplicates may differ.

    Returns:
        The pairs. An exact duplicate is paired with the first image of its pixels. Near and mirrored duplicates are
        pairs of such first images.
    """
    firsts, exact = _by_content(prints["content"], _usable(prints))
    words = prints["words"][firsts]
    near = (_only(pairs, _fine(words, words, pairs)) for pairs in near_pairs(words[:, 0], limit))
    reflected = (
        _only(pairs, (pairs[0] < pairs[1]) & ~_near(words, words, pairs, limit))
        for pairs in _crossed(words, mirrored(words), limit)
    )
    return _collected([exact], _named(near, firsts, firsts), _named(reflected, firsts, firsts))


def duplicates_between(prints: np.ndarray, others: np.ndarray, limit: int = DISTANCE) -> Duplicates:
    """Find the images of one set that have a duplicate in another.

    Args:
        prints: `(N,)` fingerprints of the first set, of the type `inspection.PRINT`.
        others: `(M,)` fingerprints of the second set.
        limit: bits in which the first words of near duplicates may differ.

    Returns:
        The pairs. An image is paired with the first image of equal pixels in the other set, if there is one, and with
        the first image of every other content that is near it.
    """
    mine, (theirs, _) = _usable(prints), _by_content(others["content"], _usable(others))
    words, targets = prints["words"][mine], others["words"][theirs]
    pixels, target_pixels = prints["content"][mine], others["content"][theirs]
    near = (_only(pairs, pixels[pairs[0]] != target_pixels[pairs[1]]) for pairs in _crossed(words, targets, limit))
    reflected = (
        _only(pairs, ~_near(words, targets, pairs, limit)) for pairs in _crossed(words, mirrored(targets), limit)
    )
    exact = _same(pixels, target_pixels)
    return _collected(*(_named(blocks, mine, theirs) for blocks in ([exact], near, reflected)))


def groups(duplicates: Duplicates, count: int) -> np.ndarray:
    """Group images that are duplicates of each other, directly or through others (connected components).

    Args:
        duplicates: pairs within a set.
        count: images of the set, N.

    Returns:
        `(N,)` the smallest index in the group of each image; its own index where it has no duplicate.
    """
    root = np.arange(count)
    while True:
        before = root.copy()
        low = np.minimum(root[duplicates.first], root[duplicates.second])
        np.minimum.at(root, duplicates.first, low)
        np.minimum.at(root, duplicates.second, low)
        root = root[root]
        if np.array_equal(root, before):
            return root


def _usable(prints: np.ndarray) -> np.ndarray:
    """Return the indices of decoded pictures with contrast."""
    return np.flatnonzero((prints["status"] == STATUSES.index(Status.OK)) & ~prints["plain"])


def _by_content(content: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, Pairs]:
    """Return the first image of each content, ascending, and the pairs of all others with them."""
    _, first, which = np.unique(content[usable], return_index=True, return_inverse=True)
    others = np.flatnonzero(first[which] != np.arange(len(usable)))
    pairs = usable[first[which[others]]], usable[others], np.zeros(len(others), np.uint8)
    return usable[np.sort(first)], pairs


def _same(content: np.ndarray, others: np.ndarray) -> Pairs:
    """Return the pairs of equal values; `others` has none twice."""
    order = np.argsort(others)
    place = np.searchsorted(others, content, sorter=order)
    inside = np.flatnonzero(place < len(others))
    equal = inside[others[order[place[inside]]] == content[inside]]
    return equal, order[place[equal]], np.zeros(len(equal), np.uint8)


def _crossed(words: np.ndarray, others: np.ndarray, limit: int) -> Iterator[Pairs]:
    """Yield the near pairs of one (N, 2) and another (M, 2) array of words."""
    sides = np.arange(len(words) + len(others)) >= len(words)
    for first, second, apart in near_pairs(np.concatenate([words[:, 0], others[:, 0]]), limit, sides):
        pairs = first, second - len(words), apart
        yield _only(pairs, _fine(words, others, pairs))


def _fine(words: np.ndarray, others: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Return which pairs agree in the fine word."""
    return np.asarray(distance(words[pairs[0], 1], others[pairs[1], 1]) <= FINE)


def _near(words: np.ndarray, others: np.ndarray, pairs: Pairs, limit: int) -> np.ndarray:
    """Return which pairs agree in both words."""
    coarse = distance(words[pairs[0], 0], others[pairs[1], 0]) <= limit
    return np.asarray(coarse & _fine(words, others, pairs))


def _only(pairs: Pairs, kept: np.ndarray) -> Pairs:
    """Return some of the pairs."""
    first, second, apart = pairs
    return first[kept], second[kept], apart[kept]


def _named(blocks: Iterable[Pairs], firsts: np.ndarray, seconds: np.ndarray) -> Iterator[Pairs]:
    """Yield pairs as indices into the whole sets."""
    for first, second, apart in blocks:
        yield firsts[first], seconds[second], apart


def _collected(*found: Iterable[Pairs]) -> Duplicates:
    """Return the pairs of every kind in the order of the images, up to MOST_PAIRS of them all."""
    room = MOST_PAIRS
    columns: list[list[np.ndarray]] = [[np.zeros(0, np.int64)] for _ in range(4)]
    for kind, blocks in enumerate(found):
        for pairs in blocks:
            first, second, apart = (column[:room] for column in pairs)
            for column, values in zip(columns, (first, second, np.full(len(first), kind), apart), strict=True):
                column.append(values)
            room -= len(first)
            if room == 0:
                break
    whole = [np.concatenate(column).astype(np.int64) for column in columns]
    order = np.lexsort((whole[1], whole[0], whole[2]))
    first, second, kinds, apart = (column[order] for column in whole)
    return Duplicates(first, second, kinds, apart, cut_short=room == 0)
