"""Near pairs of words: exactly those that brute force finds, each once.

Duplicates: exact, near and mirrored, within a set and between two, and none where nothing can be told apart.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.audit import duplicates
from dcdan.audit.duplicates import (
    DUPLICATE_KINDS,
    FARTHEST,
    DuplicateKind,
    Duplicates,
    duplicates_between,
    duplicates_within,
    groups,
    near_pairs,
)
from dcdan.audit.inspection import PRINT, STATUSES, Inspector
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.images.status import Status
from textured import brighter, stored_again, texture


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


class Pictures(Reader):
    """Pictures in memory."""

    name = "pictures"

    def __init__(self, pictures: list[np.ndarray]) -> None:
        super().__init__(None, ReaderOptions())
        self.pictures = pictures

    def samples(self):  # type: ignore[no-untyped-def]
        return (Sample(str(place)) for place in range(len(self.pictures)))

    def load(self, sample: Sample) -> np.ndarray:
        return self.pictures[int(sample.path)]


def prints(*pictures: np.ndarray) -> np.ndarray:
    reader = Pictures(list(pictures))
    return Inspector(reader).prepare(list(reader.samples()))


def flipped(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


def pairs(found: Duplicates) -> set[tuple[int, int, DuplicateKind]]:
    columns = (found.first.tolist(), found.second.tolist(), [DUPLICATE_KINDS[kind] for kind in found.kinds])
    return set(zip(*columns, strict=True))


def test_all_kinds_are_found_and_named() -> None:
    one = texture(1)
    found = duplicates_within(
        prints(one, texture(2), one, stored_again(brighter(one)), flipped(texture(2)), texture(3))
    )
    assert pairs(found) == {(0, 2, DuplicateKind.EXACT), (0, 3, DuplicateKind.NEAR), (1, 4, DuplicateKind.MIRRORED)}
    assert not found.cut_short
    assert found.distances[found.kinds == 0].tolist() == [0]


def test_a_copy_of_the_mirror_image_is_mirrored_too() -> None:
    found = duplicates_within(prints(stored_again(flipped(texture(5))), texture(5)))
    assert pairs(found) == {(0, 1, DuplicateKind.MIRRORED)}


def test_a_symmetric_picture_is_no_mirrored_duplicate_of_itself_nor_of_its_copy() -> None:
    half = texture(7)
    symmetric = np.ascontiguousarray(np.concatenate([half, half[:, ::-1]], axis=1))
    assert pairs(duplicates_within(prints(symmetric))) == set()
    assert pairs(duplicates_within(prints(symmetric, brighter(symmetric)))) <= {(0, 1, DuplicateKind.NEAR)}


def test_plain_and_broken_pictures_are_duplicates_of_nothing() -> None:
    flat = np.full((48, 48, 3), 128, np.uint8)
    noisy = (flat + np.random.default_rng(0).integers(0, 2, flat.shape)).astype(np.uint8)
    all_prints = prints(flat, flat, noisy, np.zeros_like(flat))
    assert all_prints["plain"].all()
    assert len(duplicates_within(all_prints)) == 0
    broken = np.concatenate([prints(texture(1), texture(1)), np.zeros(3, PRINT)])
    broken["status"][2:] = STATUSES.index(Status.MISSING)
    assert pairs(duplicates_within(broken)) == {(0, 1, DuplicateKind.EXACT)}


def test_the_second_word_tells_likeness_by_chance() -> None:
    made = np.zeros(3, PRINT)
    made["content"] = [1, 2, 3]
    made["words"] = [[5, 0], [5, 2**duplicates.FINE - 1], [5, 2 ** (duplicates.FINE + 1) - 1]]
    assert pairs(duplicates_within(made, 0)) == {(0, 1, DuplicateKind.NEAR), (1, 2, DuplicateKind.NEAR)}


def test_a_thousand_copies_make_no_million_pairs() -> None:
    made = np.zeros(1001, PRINT)
    made["content"] = 9
    made["words"] = 12345
    assert len(duplicates_within(made)) == 1000


def test_between_two_sets_only_pairs_across_count() -> None:
    first = prints(texture(1), texture(1), texture(2), texture(3), texture(4))
    second = prints(texture(9), texture(1), texture(1), stored_again(texture(2)), flipped(texture(3)))
    found = duplicates_between(first, second)
    assert pairs(found) == {
        (0, 1, DuplicateKind.EXACT),
        (1, 1, DuplicateKind.EXACT),
        (2, 3, DuplicateKind.NEAR),
        (3, 4, DuplicateKind.MIRRORED),
    }
    assert len(duplicates_between(first, second[:0])) == len(duplicates_between(first[:0], second)) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(0, 10))
def test_within_is_what_comparing_all_pairs_gives(seed: int, count: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    made = np.zeros(count, PRINT)
    made["words"] = rng.integers(0, 2**64, (3, 2), np.uint64)[rng.integers(0, 3, count)]
    made["words"] ^= np.uint64(1) << rng.integers(0, 64, (count, 2), np.uint64)
    turned = rng.random(count) < 0.3
    made["words"][turned] = duplicates.mirrored(made["words"][turned])
    made["content"] = rng.integers(0, 2 * count, count)
    made["plain"] = rng.random(count) < 0.1
    assert pairs(duplicates_within(made, limit)) == naive(made, limit)


def naive(made: np.ndarray, limit: int) -> set[tuple[int, int, DuplicateKind]]:
    firsts: dict[int, int] = {}
    found = set()
    for place in np.flatnonzero(~made["plain"]).tolist():
        first = firsts.setdefault(int(made["content"][place]), place)
        if first != place:
            found.add((first, place, DuplicateKind.EXACT))
    for one in firsts.values():
        for two in firsts.values():
            if one < two:
                for kind, other in (
                    (DuplicateKind.NEAR, made["words"][two]),
                    (DuplicateKind.MIRRORED, duplicates.mirrored(made["words"][two])),
                ):
                    bits = [
                        bin(int(a) ^ int(b)).count("1") for a, b in zip(made["words"][one], other.ravel(), strict=True)
                    ]
                    if bits[0] <= limit and bits[1] <= duplicates.FINE:
                        found.add((one, two, kind))
                        break
    return found


def test_groups_join_what_hangs_together() -> None:
    found = Duplicates(
        *(np.array(c, np.int64) for c in ([1, 2, 4, 6], [2, 5, 6, 7], [0] * 4, [0] * 4)), cut_short=False
    )
    assert groups(found, 9).tolist() == [0, 1, 1, 3, 4, 1, 4, 4, 8]
    chain = Duplicates(np.arange(98, -1, -1), np.arange(99, 0, -1), np.zeros(99), np.zeros(99), cut_short=False)
    assert groups(chain, 100).tolist() == [0] * 100


def test_too_many_pairs_are_cut_short_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 10)
    made = np.zeros(40, PRINT)
    made["content"] = np.arange(40)
    found = duplicates_within(made)
    assert found.cut_short
    assert len(found) == 10


def words_apart(coarse: int, fine: int) -> np.ndarray:
    """Return the prints of two pictures whose words differ in so many bits each, none of them a mirror's."""
    made = np.zeros(2, PRINT)
    made["content"] = [1, 2]
    made["words"][0] = [0x0123456789ABCDEF, 0x0F1E2D3C4B5A69]
    made["words"][1] = made["words"][0] ^ np.array([2**coarse - 1, 2**fine - 1], np.uint64)
    return made


@pytest.mark.parametrize(
    ("coarse", "fine", "found"), [(8, 12, True), (9, 12, False), (8, 13, False), (0, 0, True), (9, 0, False)]
)
def test_the_published_distance_is_eight_coarse_and_twelve_fine_bits(coarse: int, fine: int, found: bool) -> None:
    """T: the edges of the duplicate search, in numbers and not by the constants' names."""
    made = words_apart(coarse, fine)
    expected = {(0, 1, DuplicateKind.NEAR)} if found else set()
    assert pairs(duplicates_within(made)) == expected
    assert pairs(duplicates_between(made[:1], made[1:])) == ({(0, 0, DuplicateKind.NEAR)} if found else set())
    if found:
        assert duplicates_within(made).distances.tolist() == [coarse]


@pytest.mark.parametrize(("coarse", "found"), [(16, True), (17, False)])
def test_the_farthest_distance_is_sixteen(coarse: int, found: bool) -> None:
    """T."""
    assert len(duplicates_within(words_apart(coarse, 0), 16)) == found


def test_the_mirror_image_has_the_words_of_the_flipped_picture() -> None:
    """T: waves with an odd number of half periods across change their sign in a mirror, and no others."""
    one = texture(11)
    straight, turned = prints(one, flipped(one))["words"]
    assert (duplicates.mirrored(straight) == turned).all()
    upside_down = prints(np.ascontiguousarray(one[::-1]))["words"][0]
    assert not (duplicates.mirrored(straight) == upside_down).all()
    assert (duplicates.mirrored(duplicates.mirrored(straight)) == straight).all()
