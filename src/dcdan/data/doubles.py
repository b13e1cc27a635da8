"""Doubled images: the same pixels, nearly the same picture, or its mirror image; within a set or between two sets.

Near doubles differ in `limit` bits of their first word at most, and in FINE bits of the second, which looks closer.
Plain pictures (one colour, a ramp) are left out: nothing tells them apart. Of pictures with the same pixels one stands
for all in the search for near ones, so that a picture that is there a thousand times makes no million pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dcdan.data.fingerprint import distance, mirrored
from dcdan.data.inspection import STATUSES
from dcdan.data.near import Pairs, near_pairs
from dcdan.faces.status import Status

# Chosen on FER2013, where chance likenesses begin at 8 and 13 bits: docs/results/doubles/README.md.
DISTANCE = 8
FINE = 12
# More pairs than this are of no use to anyone, and would fill the memory.
MOST_PAIRS = 500_000


class Kind(StrEnum):
    """In what way an image is the double of another."""

    EXACT = "exact"
    NEAR = "near"
    MIRRORED = "mirrored"


KINDS = tuple(Kind)


@dataclass(frozen=True)
class Doubles:
    """Pairs of doubled images, as four arrays (n,): indices, place in KINDS, and distance in bits.

    Between two sets `first` counts in the one and `second` in the other. `cut_short`: there are more than are listed.
    """

    first: np.ndarray
    second: np.ndarray
    kinds: np.ndarray
    distances: np.ndarray
    cut_short: bool

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)


def doubles_within(prints: np.ndarray, limit: int = DISTANCE) -> Doubles:
    """Return the doubles among images (N,) of `inspection.PRINT`, whose words differ in `limit` bits at most.

    An exact double is paired with the first image of its pixels; near and mirrored ones are pairs of such first images.
    """
    firsts, exact = _by_content(prints["content"], _usable(prints))
    words = prints["words"][firsts]
    near = (_only(pairs, _fine(words, words, pairs)) for pairs in near_pairs(words[:, 0], limit))
    reflected = (
        _only(pairs, (pairs[0] < pairs[1]) & ~_near(words, words, pairs, limit))
        for pairs in _crossed(words, mirrored(words), limit)
    )
    return _collected([exact], _named(near, firsts, firsts), _named(reflected, firsts, firsts))


def doubles_between(prints: np.ndarray, others: np.ndarray, limit: int = DISTANCE) -> Doubles:
    """Return the images of one set that are doubles of images in another, each set an array of `inspection.PRINT`.

    An image is paired with the first of the other set's images of the same pixels, if there is one, and with the first
    of each other content that is near to it.
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


def groups(doubles: Doubles, count: int) -> np.ndarray:
    """Return for each of `count` images the first of all that it is a double of, directly or through others (N,)."""
    root = np.arange(count)
    while True:
        before = root.copy()
        low = np.minimum(root[doubles.first], root[doubles.second])
        np.minimum.at(root, doubles.first, low)
        np.minimum.at(root, doubles.second, low)
        root = root[root]
        if np.array_equal(root, before):
            return root


def _usable(prints: np.ndarray) -> np.ndarray:
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
    return np.asarray(distance(words[pairs[0], 1], others[pairs[1], 1]) <= FINE)


def _near(words: np.ndarray, others: np.ndarray, pairs: Pairs, limit: int) -> np.ndarray:
    coarse = distance(words[pairs[0], 0], others[pairs[1], 0]) <= limit
    return np.asarray(coarse & _fine(words, others, pairs))


def _only(pairs: Pairs, kept: np.ndarray) -> Pairs:
    first, second, apart = pairs
    return first[kept], second[kept], apart[kept]


def _named(blocks: Iterable[Pairs], firsts: np.ndarray, seconds: np.ndarray) -> Iterator[Pairs]:
    for first, second, apart in blocks:
        yield firsts[first], seconds[second], apart


def _collected(*found: Iterable[Pairs]) -> Doubles:
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
    return Doubles(first, second, kinds, apart, cut_short=room == 0)
