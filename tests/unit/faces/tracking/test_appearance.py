"""Descriptions of looks against a naive average of pixels, and what they do not depend on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dcdan.faces.tracking.appearance import appearance
from drawn import COUNT, face


def naive(picture: np.ndarray) -> np.ndarray:
    """Enlarge every pixel 16 times, so that each cell is a whole number of pixels, and average the cells."""
    size = len(picture)
    large = picture.astype(float).repeat(16, axis=0).repeat(16, axis=1)
    cells = large.reshape(16, size, 16, size, 3).mean(axis=(1, 3))
    flat = cells.ravel() - cells.mean()
    return flat / np.linalg.norm(flat)


@pytest.mark.parametrize("size", [16, 18, 64, 5])
def test_it_is_the_mean_of_each_cell_centred_and_brought_to_length_one(size: int) -> None:
    picture = np.random.default_rng(size).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    np.testing.assert_allclose(appearance(picture)[0], naive(picture[0]), atol=1e-5)


def test_light_and_blur_count_little_and_another_face_much() -> None:
    faces = np.stack([face(index, 64)[0] for index in range(COUNT)])
    dark = (0.5 * faces + 10).astype(np.uint8)
    blurred = np.stack([cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in faces])
    for other in (dark, blurred):
        alike = appearance(faces) @ appearance(other).T
        assert np.diag(alike).min() > 0.95
        assert (alike.argmax(axis=1) == np.arange(COUNT)).all()


def test_a_face_of_one_colour_is_like_none() -> None:
    flat = np.full((2, 32, 32, 3), 77, np.uint8)
    assert not appearance(flat).any()
    noise = np.random.default_rng(0).integers(-2, 3, flat.shape)
    assert not appearance((flat + noise).astype(np.uint8)).any()
    assert appearance(flat[:0]).shape == (0, 768)
