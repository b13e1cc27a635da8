"""Fingerprints: the signs that a naive transform gives, and what changes them little or not at all."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn
from textured import brighter, stored_again, texture

from dcdan.data import fingerprint
from dcdan.data.doubles import DISTANCE, FINE
from dcdan.data.fingerprint import distance, fingerprints, mirrored, squeezed

SEEDS = st.integers(0, 2**32 - 1)


def words(*pictures: np.ndarray) -> np.ndarray:
    return fingerprints(np.stack([squeezed(picture) for picture in pictures]))[0]


def apart(first: np.ndarray, second: np.ndarray) -> list[int]:
    return distance(*words(first, second)).tolist()


def test_the_bits_are_the_signs_of_a_naive_transform() -> None:
    square = squeezed(texture(3))
    coefficients = dctn(square.astype(np.float64), norm="ortho")
    coarse = fine = coarse_bits = fine_bits = 0
    for down in range(1, 12):
        for across in range(1, 12):
            bit = int(coefficients[down, across] > 0)
            if down <= 8 and across <= 8:
                coarse, coarse_bits = coarse | bit << coarse_bits, coarse_bits + 1
            else:
                fine, fine_bits = fine | bit << fine_bits, fine_bits + 1
    assert (coarse_bits, fine_bits) == (fingerprint.BITS, fingerprint.FINE_BITS) == (64, 57)
    assert fingerprints(square[None])[0].tolist() == [[coarse, fine]]


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(60, 95), st.floats(0.6, 1.15), st.floats(0, 20), st.integers(48, 200))
def test_a_copy_is_near(seed: int, quality: int, gain: float, lift: float, side: int) -> None:
    picture = texture(seed)
    resized = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA))
    for copy in (stored_again(picture, quality), brighter(picture, gain, lift), resized):
        coarse, fine = apart(picture, copy)
        assert coarse <= DISTANCE
        assert fine <= FINE


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_another_picture_is_far(first: int, second: int) -> None:
    coarse, _ = apart(texture(first), texture(second))
    assert coarse > DISTANCE or first == second


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(20, 100), st.integers(20, 100))
def test_a_mirrored_word_is_the_word_of_the_mirrored_picture(seed: int, height: int, width: int) -> None:
    picture = texture(seed, 100)[:height, :width]
    plain, turned = words(picture, np.ascontiguousarray(picture[:, ::-1]))
    assert distance(mirrored(plain), turned).sum() <= 1  # a coefficient may be zero but for rounding
    np.testing.assert_array_equal(mirrored(mirrored(plain)), plain)
    assert distance(plain, turned)[0] > DISTANCE


def test_light_from_one_side_and_a_border_above_change_nothing() -> None:
    picture = texture(8).astype(np.float64)
    side_light = np.linspace(0, 50, picture.shape[1])[None, :, None]
    assert apart(picture.astype(np.uint8), (picture + side_light).astype(np.uint8))[0] <= 2


@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0])
def test_plain_pictures_are_called_plain(slope: float) -> None:
    rng = np.random.default_rng(1)
    ramp = np.round(60 + slope * np.arange(64)[None, :] + rng.integers(0, 2, (64, 64)))
    _, plain = fingerprints(
        np.stack([squeezed(ramp.astype(np.uint8)), squeezed(texture(1)), squeezed(texture(1) // 16)])
    )
    assert plain.tolist() == [True, False, False]


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1))
def test_distances_are_those_of_the_bits(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(column, np.uint64) for column in zip(*pairs, strict=True))
    expected = [bin(one ^ two).count("1") for one, two in pairs]
    assert distance(first, second).tolist() == expected


def test_distances_are_the_same_with_an_older_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = np.random.default_rng(0).integers(0, 2**64, (2, 50, 2), np.uint64)
    expected = distance(first, second)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(distance(first, second), expected)
