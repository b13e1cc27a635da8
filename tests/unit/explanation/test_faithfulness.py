"""Deletion and insertion against loops, the test against SciPy, and a map that is known to be right."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dcdan.explanation.faithfulness import (
    BLUR,
    MapScore,
    area,
    centre_maps,
    curves,
    lead_p,
    random_maps,
    scores,
)

SIDE = 16


def faces(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def contrast_of_corner(given: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A network that looks at the contrast in the lower right quarter."""
    spread = given[:, SIDE // 2 :, SIDE // 2 :].astype(np.float32).std((1, 2, 3)) / 128
    p = np.clip(spread, 0, 1)
    return np.stack([p, 1 - p], 1)


def corner_maps(count: int) -> NDArray[np.float32]:
    maps = np.zeros((count, SIDE, SIDE), np.float32)
    maps[:, SIDE // 2 :, SIDE // 2 :] = 1
    return maps


def test_curves_replace_the_most_salient_pixels_first() -> None:
    some, rng = faces(5), np.random.default_rng(4)
    maps, chosen, steps = rng.random((5, SIDE, SIDE)).astype(np.float32), np.array([0, 1, 0, 1, 0]), 8
    deletion, insertion = curves(contrast_of_corner, some, chosen, maps, steps)
    for n in range(5):
        order = sorted(range(SIDE * SIDE), key=lambda place, n=n: -maps[n].flat[place])  # type: ignore[misc]
        mean = np.round(some[n].mean((0, 1))).astype(np.uint8)
        deleted, inserted = some[n].copy(), cv2.GaussianBlur(some[n], (0, 0), BLUR * SIDE)
        for step in range(steps + 1):
            for place in order[: step * SIDE * SIDE // steps]:
                y, x = divmod(place, SIDE)
                deleted[y, x], inserted[y, x] = mean, some[n, y, x]
            assert deletion[n, step] == pytest.approx(contrast_of_corner(deleted[None])[0, chosen[n]], abs=1e-5)
            assert insertion[n, step] == pytest.approx(contrast_of_corner(inserted[None])[0, chosen[n]], abs=1e-5)


def test_the_area_is_that_of_the_trapezoids() -> None:
    curve = np.random.default_rng(5).random((4, 9)).astype(np.float32)
    np.testing.assert_allclose(area(curve), np.trapezoid(curve, dx=1 / 8, axis=1), rtol=1e-6)


def test_the_p_value_is_that_of_the_permutation_test() -> None:
    rng = np.random.default_rng(6)
    for shift in (0.0, 0.2, -0.3):
        differences = rng.normal(shift, 1, 14)
        exact = stats.permutation_test(
            (differences,),
            lambda x, axis: x.mean(axis),
            permutation_type="samples",
            alternative="greater",
            n_resamples=2**14,
            vectorized=True,
        )
        assert lead_p(differences) == pytest.approx(exact.pvalue, abs=0.015)
    assert lead_p(differences) == lead_p(differences)


def test_false_leads_are_rare() -> None:
    """Without a difference, p falls below .05 in about one of twenty draws."""
    rng = np.random.default_rng(7)
    false = sum(lead_p(rng.normal(0, 1, 30), flips=1000, seed=n) < 0.05 for n in range(300))
    assert 4 <= false <= 28


def measured(maps: NDArray[np.float32], count: int) -> MapScore:
    some, chosen = faces(count), np.zeros(count, np.int64)
    areas = {}
    for name, own in (
        ("random", random_maps(count, SIDE, 0)),
        ("centre", centre_maps(count, SIDE)),
        ("map", maps),
    ):
        deletion, insertion = curves(contrast_of_corner, some, chosen, own)
        areas[name] = area(deletion), area(insertion)
    found = scores(areas)
    assert not found["random"].p_values
    assert not found["random"].faithful
    return found["map"]


def test_a_map_of_the_right_place_is_faithful_and_others_are_not() -> None:
    right = measured(corner_maps(24), 24)
    assert right.faithful
    assert set(right.p_values) == {"deletion_random", "insertion_random", "deletion_centre", "insertion_centre"}
    assert not measured(random_maps(24, SIDE, 9), 24).faithful
    assert not measured(corner_maps(24)[:, ::-1, ::-1], 24).faithful, "the opposite corner"


def test_one_failed_comparison_is_enough() -> None:
    good = {"deletion_random": 0.001, "insertion_random": 0.001, "deletion_centre": 0.001, "insertion_centre": 0.049}
    assert MapScore(deletion=0.3, insertion=0.7, p_values=good, faces=30).faithful
    assert not MapScore(deletion=0.3, insertion=0.7, p_values=good | {"deletion_centre": 0.05}, faces=30).faithful


def test_the_baselines_are_what_they_are_called() -> None:
    (centre,) = centre_maps(1, SIDE)
    assert np.unravel_index(centre.argmax(), centre.shape) in {(7, 7), (7, 8), (8, 7), (8, 8)}
    np.testing.assert_allclose(centre, centre.T)
    np.testing.assert_array_equal(random_maps(2, SIDE, 1), random_maps(2, SIDE, 1))
    assert not np.array_equal(random_maps(1, SIDE, 1), random_maps(1, SIDE, 2))
