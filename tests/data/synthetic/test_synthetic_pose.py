"""A pose moves points as a turned head would."""

from __future__ import annotations

import numpy as np

from dcdan.data.synthetic.action_units import no_units
from dcdan.data.synthetic.geometry import build
from dcdan.data.synthetic.identity import draw_identity
from dcdan.data.synthetic.pose import Pose

FACE = build(draw_identity(np.random.default_rng(0)), no_units())


def test_the_frontal_pose_changes_nothing() -> None:
    posed = Pose().apply(FACE)
    assert list(posed.parts) == list(FACE.parts)
    assert np.allclose(posed.landmarks, FACE.landmarks)
    assert all(np.allclose(posed.parts[name], points) for name, points in FACE.parts.items())


def test_yaw_moves_the_nose_further_than_the_eyes_and_the_contour_the_other_way() -> None:
    posed = Pose(yaw=0.3).apply(FACE)
    moved = posed.landmarks[:, 0] - FACE.landmarks[:, 0]
    eyes = moved[:2].mean()
    assert moved[2] > eyes + 0.01
    ears = np.mean(
        [(posed.parts[f"ear_{side}"] - FACE.parts[f"ear_{side}"])[:, 0].mean() for side in ("left", "right")]
    )
    assert ears < eyes - 0.05
    assert np.ptp(posed.landmarks[:2, 0]) < np.ptp(FACE.landmarks[:2, 0])


def test_opposite_yaws_are_mirror_images() -> None:
    left, right = Pose(yaw=-0.25).apply(FACE), Pose(yaw=0.25).apply(FACE)
    swapped = right.landmarks[[1, 0, 2, 4, 3]]
    assert np.allclose(left.landmarks, np.array([1.0, 0.0]) + swapped * (-1.0, 1.0))


def test_roll_and_scale_turn_and_size_the_line_between_the_eyes() -> None:
    posed = Pose(roll=0.1, scale=1.2, shift=(0.02, -0.01)).apply(FACE)
    before = FACE.landmarks[1] - FACE.landmarks[0]
    after = posed.landmarks[1] - posed.landmarks[0]
    assert np.isclose(np.hypot(*after), 1.2 * np.hypot(*before))
    assert np.isclose(abs(np.arctan2(after[1], after[0])), 0.1)


def test_pitch_moves_the_nose_down() -> None:
    moved = Pose(pitch=0.2).apply(FACE).landmarks[:, 1] - FACE.landmarks[:, 1]
    assert moved[2] > moved[:2].mean() + 0.01
