"""Box arithmetic against loops that do one thing at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.faces import boxes as bx

seeds = st.integers(0, 2**32 - 1)


def random_boxes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 40, (count, 2))], axis=1).astype(np.float32)
    return boxes, rng.permutation(np.linspace(0.1, 0.99, count)).astype(np.float32)


def share(a: np.ndarray, b: np.ndarray, measure: str) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    one, other = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return float(both / (min(one, other) if measure == "smaller" else one + other - both))


def greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float, measure: str) -> list[int]:
    left = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if share(boxes[best], boxes[i], measure) <= threshold]
    return kept


@given(seeds, st.integers(0, 40), st.floats(0.2, 0.8))
@settings(deadline=None)
def test_suppression_equals_the_greedy_loop(seed: int, count: int, threshold: float) -> None:
    boxes, scores = random_boxes(np.random.default_rng(seed), count)
    assert bx.suppress_by_union(boxes, scores, threshold).tolist() == greedy(boxes, scores, threshold, "union")
    assert bx.suppress_by_smaller(boxes, scores, threshold).tolist() == greedy(boxes, scores, threshold, "smaller")


def test_a_chain_keeps_its_first_and_third() -> None:
    boxes = np.array([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert bx.suppress_by_smaller(boxes, scores, 0.5).tolist() == [0, 2]
    assert bx.suppress_by_union(boxes, scores, 0.5).tolist() == [0, 2]


@given(seeds)
def test_overlaps(seed: int) -> None:
    boxes, _ = random_boxes(np.random.default_rng(seed), 6)
    for measure in ("union", "smaller"):
        naive = [[share(a, b, measure) for b in boxes] for a in boxes]
        np.testing.assert_allclose(bx.overlaps(boxes, measure), naive, rtol=1e-4, atol=1e-5)


def test_regression_moves_each_corner_by_shares_of_the_box() -> None:
    boxes = np.array([[10, 20, 30, 60]], np.float32)
    offsets = np.array([[0.1, -0.1, 0.5, 0.25]], np.float32)
    np.testing.assert_allclose(bx.regress(boxes, offsets), [[12, 16, 40, 70]])


@given(seeds)
def test_squares_keep_the_centre_and_the_longer_side(seed: int) -> None:
    boxes, _ = random_boxes(np.random.default_rng(seed), 8)
    squares = bx.squares(boxes)
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    np.testing.assert_allclose(squares[:, 2], longer, atol=0.51)
    centre = squares[:, :2] + squares[:, 2:] / 2
    np.testing.assert_allclose(centre, (boxes[:, :2] + boxes[:, 2:]) / 2, atol=0.51)


def test_boxes_inside_out_have_no_area() -> None:
    assert bx.areas(np.array([[0, 0, 2, 3], [5, 5, 4, 9]], np.float32)).tolist() == [6, 0]


def test_cut_takes_each_square_from_its_own_picture() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(3)]
    owners = np.array([0, 2, 2])
    cuts = np.array([[3, 4, 24], [0, 0, 24], [26, 16, 24]])
    crops = bx.cut(images, owners, cuts, 24)
    for crop, owner, (x, y, side) in zip(crops, owners, cuts, strict=True):
        np.testing.assert_array_equal(crop, images[owner][y : y + side, x : x + side])


@pytest.mark.parametrize(("x", "y"), [(-10, -6), (40, 20), (-10, 30)])
def test_cut_is_black_outside_the_picture(x: int, y: int) -> None:
    image = np.full((40, 50, 3), 99, np.uint8)
    crop = bx.cut([image], np.array([0]), np.array([[x, y, 24]]), 24)[0]
    rows, columns = np.mgrid[y : y + 24, x : x + 24]
    inside = (rows >= 0) & (rows < 40) & (columns >= 0) & (columns < 50)
    np.testing.assert_array_equal(crop, np.where(inside, 99, 0)[:, :, None].repeat(3, 2))


def test_cut_averages_what_it_makes_much_smaller() -> None:
    checks = (np.indices((96, 96)).sum(0) % 2 * 255).astype(np.uint8)
    crop = bx.cut([np.repeat(checks[:, :, None], 3, 2)], np.array([0]), np.array([[0, 0, 96]]), 24)[0]
    assert abs(crop.astype(float) - 127.5).max() <= 1
