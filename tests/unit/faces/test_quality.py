"""Quality of faces: against naive formulas, and on drawn faces whose pose and blur are known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcdan.datasets.synthetic.action_units import draw_units
from dcdan.datasets.synthetic.geometry import Pose, build
from dcdan.datasets.synthetic.identity import draw_identity
from dcdan.faces.align import TEMPLATE, aligned_landmarks
from dcdan.faces.extract import Extractor, Face
from dcdan.faces.quality import qualities, roll, sharpness, yaw
from dcdan.images.status import Status
from drawn import COUNT, face, photo

# Eyes at -1 and 1, the tip of the nose 1.2 before them, in a plane with the mouth; y down, z to the viewer.
HEAD = np.array([(-1, -1, 0), (1, -1, 0), (0, 0.2, 1.2), (-0.8, 1.2, 0), (0.8, 1.2, 0)], float)


def seen(turn: float, tilt: float, scale: float = 40.0) -> np.ndarray:
    """Return where the points of the head are (5, 2), turned to the right and then clockwise by so many degrees."""
    a, b = math.radians(turn), math.radians(tilt)
    rows = []
    for x, y, z in HEAD:
        across = x * math.cos(a) + z * math.sin(a)
        rows.append((across * math.cos(b) - y * math.sin(b) + 7, across * math.sin(b) + y * math.cos(b) - 3))
    return np.array(rows) * scale


@given(st.floats(-85, 85), st.floats(-170, 170), st.floats(0.1, 1000))
def test_a_turned_head_is_measured(turn: float, tilt: float, scale: float) -> None:
    points = seen(turn, tilt, scale)[None]
    assert yaw(points)[0] == pytest.approx(turn, abs=0.01)
    assert roll(points)[0] == pytest.approx(tilt, abs=0.01)


def test_aligned_landmarks_keep_the_yaw() -> None:
    points = np.stack([seen(turn, 25.0) for turn in (-60, -10, 0, 35)])
    np.testing.assert_allclose(yaw(aligned_landmarks(points)), yaw(points), atol=0.01)


def test_drawn_heads_turn_as_they_were_drawn() -> None:
    rng = np.random.default_rng(3)
    turns = np.linspace(-0.55, 0.55, 12)
    for _ in range(5):
        geometry = build(draw_identity(rng), draw_units(rng, "neutral"))
        points = np.stack([Pose(yaw=turn, roll=0.15).apply(geometry).landmarks for turn in turns])
        measured = yaw(points)
        assert (np.diff(measured) > 0).all()
        assert (np.sign(measured[[0, -1]]) == [-1, 1]).all()
        # The drawn head is flatter than a real one, so it seems to turn less.
        assert np.abs(measured - np.degrees(turns)).max() < 16
        assert roll(points) == pytest.approx(np.degrees(0.15), abs=3)


def test_any_blur_makes_a_face_less_sharp() -> None:
    for index in range(COUNT):
        pixels = face(index, 64)[0]
        blurred = [pixels, *(cv2.GaussianBlur(pixels, (0, 0), sigma) for sigma in (0.6, 1, 1.5, 2.5, 4, 8))]
        measured = sharpness(np.stack(blurred))
        assert (np.diff(measured)[:4] < 0).all()
        assert (np.diff(measured) <= 0).all()
        assert 0 <= measured[-1] < 0.05
        assert 0.5 < measured[0] <= 1


def test_sharpness_is_that_of_each_face_alone() -> None:
    faces = np.stack([face(index, 48)[0] for index in range(COUNT)])
    faces[2] = 200
    for pixels, measured in zip(faces, sharpness(faces), strict=True):
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(float)
        detail = max(cv2.Laplacian(grey, cv2.CV_64F)[1:-1, 1:-1].var() - 20 / 12, 0)
        waves = detail / (grey.var() + 25) * (48 / 32) ** 4
        assert measured == pytest.approx(waves / (1 + waves), abs=1e-5)
    assert sharpness(faces)[2] == 0


def test_sharpness_does_not_hang_on_contrast_or_on_the_size_of_the_face() -> None:
    for sigma in (1, 3, 5):
        soft = cv2.GaussianBlur(face(1, 120)[0], (0, 0), sigma)
        whole = float(sharpness(soft[None])[0])
        pale = (soft * 0.6 + 60).astype(np.uint8)
        small = cv2.resize(soft, (56, 56), interpolation=cv2.INTER_AREA)
        assert float(sharpness(pale[None])[0]) == pytest.approx(whole, abs=0.05)
        assert float(sharpness(small[None])[0]) == pytest.approx(whole, abs=0.06)


def test_faces_of_a_photograph_have_their_qualities() -> None:
    (faces,) = Extractor(64, threads=1).extract([photo([[0, 1]])])
    assert len(faces) == 2
    found = qualities(faces)
    for index, each in enumerate(faces):
        assert each.points is not None
        np.testing.assert_allclose(aligned_landmarks(each.points), each.landmarks, atol=1e-5)
        x0, y0, x1, y1 = each.box.tolist()
        assert found.side[index] == pytest.approx(min(x1 - x0, y1 - y0))
        assert found.score[index] == pytest.approx(each.score)
        assert abs(found.yaw[index]) < 12
        assert abs(found.roll[index]) < 6
        assert found.sharpness[index] > 0.3


def test_without_landmarks_there_is_no_pose() -> None:
    pixels = face(0, 64)[0]
    found = qualities([Face(pixels, np.array([0, 0, 30, 20], np.float32), TEMPLATE, 0.0, Status.NOT_ALIGNED)])
    assert (found.side.tolist(), found.score.tolist()) == ([20], [0])
    assert np.isnan([found.yaw[0], found.roll[0]]).all()


def test_many_faces_are_measured_as_a_few_are_and_none_as_none() -> None:
    few = [Face(face(i, 32)[0], np.arange(4, dtype=np.float32), TEMPLATE, 0.5, Status.OK, TEMPLATE) for i in range(3)]
    many = qualities(few * 50)
    for name in ("side", "sharpness", "yaw", "roll", "score"):
        np.testing.assert_array_equal(getattr(many, name), np.tile(getattr(qualities(few), name), 50))
    assert qualities([]).yaw.shape == (0,)


def test_the_sign_of_yaw_and_roll() -> None:
    """Section T: with the nose to the right in the picture yaw is positive; turned clockwise, roll is."""
    level = np.array([[[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]]], float)
    right = level.copy()
    right[0, 2, 0] += 10
    assert yaw(level)[0] == pytest.approx(0, abs=1e-5)
    # The nose stands 10 off the middle, 1.2 halves of the eyes' distance (20) before the face: atan(10 / 1.2 / 20).
    assert yaw(right)[0] == pytest.approx(22.62, abs=0.01)
    left = level.copy()
    left[0, 2, 0] -= 10
    assert yaw(left)[0] == pytest.approx(-22.62, abs=0.01)
    lowered = level.copy()
    lowered[0, 1] = 70, 80
    assert roll(lowered)[0] == pytest.approx(45)
