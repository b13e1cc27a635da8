"""Pictures of both domains: their shape, their landmarks and how they differ.

The contact sheet has every expression and domain, and is the same each time.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dcdan.datasets.synthetic.domains import DOMAINS, contact_sheet, draw_face
from dcdan.datasets.synthetic.identity import draw_identity
from dcdan.expressions import EXPRESSIONS

TEMPLATE = np.array([(0.34, 0.39), (0.66, 0.39), (0.50, 0.58), (0.37, 0.75), (0.63, 0.75)])


def faces(domain: str, count: int = 48, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    drawn = [draw_face(rng, EXPRESSIONS[index % 8], domain, size) for index in range(count)]
    return np.stack([pixels for pixels, _ in drawn]), np.stack([marks for _, marks in drawn])


def colourfulness(pictures: np.ndarray) -> float:
    return float(np.ptp(pictures.astype(np.float64), axis=-1).mean())


def sharpness(pictures: np.ndarray) -> float:
    """The steepest steps between neighbouring pixels, in standard deviations of a picture's brightness."""
    steps = []
    for picture in pictures:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        steps.append(np.percentile(np.abs(np.diff(grey, axis=0)), 99.5) / grey.std())
    return float(np.mean(steps))


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("size", [48, 65, 112])
def test_a_face_has_the_asked_size_and_landmarks_inside(domain: str, size: int) -> None:
    pixels, marks = draw_face(np.random.default_rng(0), "fear", domain, size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert marks.shape == (5, 2)
    assert marks.dtype == np.float32
    assert 0.0 < marks.min() < marks.max() < 1.0


def test_studio_faces_lie_on_the_template_and_street_faces_around_it() -> None:
    for domain, nearest_allowed, furthest in (("studio", 0.0, 0.1), ("street", 0.015, 0.25)):
        _, marks = faces(domain, 96)
        away = np.abs(marks[:, :3] - TEMPLATE[:3])
        assert nearest_allowed <= away.mean() < 0.06
        assert away.max() < furthest
        assert (marks > 0).all()
        assert (marks < 1).all()


def test_the_domains_differ_in_colour_sharpness_and_background() -> None:
    studio, street = faces("studio", size=112)[0], faces("street", size=112)[0]
    assert colourfulness(studio) == 0.0
    assert colourfulness(street) > 20.0
    assert sharpness(studio) > 1.3 * sharpness(street)
    corners = [np.concatenate([p[:, :10, :10], p[:, :10, -10:]], axis=2).astype(float) for p in (studio, street)]
    assert corners[1].std(axis=(1, 2)).mean() > 1.5 * corners[0].std(axis=(1, 2)).mean()


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_generator_state_gives_the_same_face_and_another_one_another(domain: str) -> None:
    first, second, third = (draw_face(np.random.default_rng(seed), "anger", domain, 64) for seed in (3, 3, 4))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], third[0])


def test_a_given_person_is_drawn_with_another_face() -> None:
    person = draw_identity(np.random.default_rng(1))
    sad, _ = draw_face(np.random.default_rng(2), "sadness", "studio", 64, person)
    glad, _ = draw_face(np.random.default_rng(2), "happiness", "studio", 64, person)
    stranger, _ = draw_face(np.random.default_rng(2), "sadness", "studio", 64, draw_identity(np.random.default_rng(9)))
    difference = np.abs(sad.astype(int) - glad).mean()
    assert 0.5 < difference < np.abs(sad.astype(int) - stranger).mean()


def test_the_eyes_are_where_the_landmarks_say() -> None:
    """Pupils are the darkest spot near the eye landmarks of an open-eyed studio face."""
    for seed in range(6):
        pixels, marks = draw_face(np.random.default_rng(seed), "surprise", "studio", 112)
        for x, y in marks[:2] * 112:
            window = pixels[int(y) - 6 : int(y) + 7, int(x) - 6 : int(x) + 7, 0]
            ring = pixels[int(y) - 14 : int(y) + 15, int(x) - 14 : int(x) + 15, 0]
            assert window.min() < 60
            assert window.min() <= np.percentile(ring, 3)


def test_layout_and_reproducibility() -> None:
    sheet = contact_sheet(expressions=("happiness", "anger"), columns=2, size=48, seed=1)
    assert sheet.shape == (2 * 48, 48 + 2 * 48 + 6 + 2 * 48, 3)
    assert sheet.dtype == np.uint8
    assert np.array_equal(sheet, contact_sheet(expressions=("happiness", "anger"), columns=2, size=48, seed=1))
    assert not np.array_equal(sheet, contact_sheet(expressions=("happiness", "anger"), columns=2, size=48, seed=2))


def test_one_domain_alone() -> None:
    sheet = contact_sheet(("street",), expressions=("fear",), columns=3, size=48)
    assert sheet.shape == (48, 48 + 3 * 48, 3)
    assert np.ptp(sheet[:, 48:].astype(int), axis=-1).mean() > 10
