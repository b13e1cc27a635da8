"""Alignment: the closed form against OpenCV, and pictures whose marks must land on the template."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcdan.faces import align as al

angles = st.floats(-3.1, 3.1)
scales = st.floats(0.05, 20)
shifts = st.floats(-500, 500)
seeds = st.integers(0, 2**32 - 1)


def matrix_of(scale: float, angle: float, x: float, y: float) -> np.ndarray:
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[a, -b, x], [b, a, y]])


def umeyama(source: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The textbook form by singular values."""
    centre, aim = source.mean(0), goal.mean(0)
    s, g = source - centre, goal - aim
    u, values, v = np.linalg.svd(g.T @ s / len(s))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    turn = u @ np.diag(signs) @ v
    scale = (values * signs).sum() / (s**2).sum() * len(s)
    return np.concatenate([scale * turn, (aim - scale * turn @ centre)[:, None]], axis=1)


@given(scales, angles, shifts, shifts, seeds)
def test_a_similarity_is_recovered(scale: float, angle: float, x: float, y: float, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-1, 1, (5, 2))
    matrix = matrix_of(scale, angle, x, y)
    np.testing.assert_allclose(al.similarity(points, al.move(points, matrix)), matrix, rtol=1e-6, atol=1e-6)


@given(seeds)
def test_it_is_the_least_squares_solution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, goal = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    if np.linalg.det((goal - goal.mean(0)).T @ (points - points.mean(0))) > 1e-6:
        np.testing.assert_allclose(al.similarity(points, goal), umeyama(points, goal), atol=1e-8)
    best = np.square(al.move(points, al.similarity(points, goal)) - goal).sum()
    for _ in range(10):
        other = al.similarity(points, goal) + rng.normal(scale=1e-3) * matrix_of(1, rng.uniform(-3, 3), 0.1, 0.1)
        assert np.square(al.move(points, other) - goal).sum() >= best - 1e-12


def test_it_agrees_with_opencv_on_faces() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = (al.TEMPLATE + rng.normal(scale=0.01, size=(5, 2))) * 100 + 30
        # With so wide a threshold every point is an inlier, and OpenCV refines to their least squares.
        theirs, _ = cv2.estimateAffinePartial2D(
            points, al.TEMPLATE * 112, method=cv2.RANSAC, ransacReprojThreshold=1e6, refineIters=200
        )
        np.testing.assert_allclose(al.similarity(points, al.TEMPLATE * 112), theirs, rtol=1e-3, atol=1e-2)


@given(seeds)
def test_a_batch_equals_one_by_one(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 200, (4, 5, 2))
    batch = al.similarities(points, al.TEMPLATE)
    for one, matrix in zip(points, batch, strict=True):
        np.testing.assert_allclose(al.similarity(one, al.TEMPLATE), matrix)
    moved = al.aligned_landmarks(points)
    assert moved.shape == (4, 5, 2)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved[1], al.aligned_landmarks(points[1]))


def test_points_that_coincide_are_only_shifted() -> None:
    matrix = al.similarity(np.full((5, 2), 7.0), al.TEMPLATE)
    np.testing.assert_allclose(matrix[:, :2], np.eye(2))
    np.testing.assert_allclose(al.move([(7.0, 7.0)], matrix)[0], al.TEMPLATE.mean(0), atol=1e-6)


def test_the_template_is_the_methods_and_cannot_be_changed() -> None:
    expected = [(0.34, 0.39), (0.66, 0.39), (0.50, 0.58), (0.37, 0.75), (0.63, 0.75)]
    np.testing.assert_allclose(al.TEMPLATE, expected, atol=1e-7)
    with pytest.raises(ValueError, match="read-only"):
        al.TEMPLATE[0] = 0


def dotted(points: np.ndarray, side: int, radius: float) -> np.ndarray:
    """A black picture with a Gaussian white dot at each point (continuous coordinates, first pixel 0 to 1).

    The centre of gravity of a sampled Gaussian is its centre, wherever between two pixels that lies.
    """
    y, x = np.mgrid[:side, :side] + 0.5
    away = np.min([np.hypot(x - px, y - py) for px, py in points], axis=0)
    grey = np.rint(255 * np.exp(-0.5 * (away / radius) ** 2)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def centres(face: np.ndarray) -> np.ndarray:
    """The centre of gravity of the light around each place of the template, (5, 2) in continuous pixels."""
    size = len(face)
    y, x = np.mgrid[:size, :size] + 0.5
    found = []
    for px, py in al.TEMPLATE * size:
        weight = face[:, :, 0] * (np.hypot(x - px, y - py) < 0.12 * size)
        found.append(((x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()))
    return np.array(found)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.15, 4), st.floats(-0.7, 0.7), st.sampled_from([48, 64, 112]))
@example(0.15625, 0.0, 112)
@example(0.15625, 0.4, 112)
@example(0.15, -0.7, 112)
def test_marks_land_on_the_template(scale: float, angle: float, size: int) -> None:
    face = 100 * scale
    side = int(2 * face + 40)
    matrix = matrix_of(face, angle, 0, 0)
    points = al.move(al.TEMPLATE, matrix)
    points += side / 2 - points.mean(0)
    # The dots are .03 of the face: large enough to be seen in the smallest picture, small enough to keep apart.
    picture = dotted(points, side, max(0.8, 0.03 * face))
    aligned = al.align(picture, points, size)
    assert aligned.shape == (size, size, 3)
    assert aligned.dtype == np.uint8
    # Levels are whole and the warp is bilinear: the centre of gravity moves by a few hundredths of a source pixel.
    np.testing.assert_allclose(centres(aligned), al.TEMPLATE * size, atol=0.2 + 0.06 * size / face)
    np.testing.assert_allclose(al.aligned_landmarks(points), al.TEMPLATE, atol=1e-5)


def test_an_identical_frame_changes_no_pixel() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(al.align(picture, al.TEMPLATE * 64, 64), picture)


def test_large_faces_are_averaged_not_sampled() -> None:
    checks = np.indices((900, 900)).sum(0) % 2 * 255
    picture = np.repeat(checks.astype(np.uint8)[:, :, None], 3, axis=2)
    aligned = al.align(picture, al.TEMPLATE * 900, 100)
    assert abs(aligned.astype(float) - 127.5).max() < 3


def test_beyond_the_edge_the_last_pixels_go_on() -> None:
    picture = np.full((50, 50, 3), 200, np.uint8)
    assert (al.align(picture, al.TEMPLATE * 100 - 25, 32) == 200).all()


def test_a_picture_wider_than_opencv_can_warp() -> None:
    picture = np.zeros((60, 40_000, 3), np.uint8)
    picture[:, 39_000:39_048] = np.random.default_rng(2).integers(0, 256, (60, 48, 3), dtype=np.uint8)
    points = al.TEMPLATE * 48 + (39_000, 6)
    np.testing.assert_array_equal(al.align(picture, points, 48), picture[6:54, 39_000:39_048])


def test_landmarks_that_are_no_face_ask_for_no_huge_picture() -> None:
    mirrored = al.TEMPLATE * (-1, 1) * 100 + (100, 0)
    nearly = mirrored + np.random.default_rng(3).normal(scale=1e-3, size=(5, 2))
    assert al.align(np.zeros((80, 80, 3), np.uint8), nearly, 112).shape == (112, 112, 3)


def test_a_face_in_a_very_wide_picture_is_that_of_its_surroundings() -> None:
    x = np.arange(40_000)
    image = np.broadcast_to((x // 3 % 256).astype(np.uint8)[None, :, None], (300, 40_000, 3)).copy()
    points = al.TEMPLATE * 260 + (39_700, 20)
    expected = al.align(image[:, 39_000:].copy(), points - (39_000, 0), 16)
    assert np.abs(al.align(image, points, 16).astype(int) - expected).max() <= 1


def test_points_far_beyond_the_picture_ask_for_no_finer_grid_than_it_has() -> None:
    assert al.align(np.full((50, 50, 3), 9, np.uint8), al.TEMPLATE * 1e5, 32).max() == 9
