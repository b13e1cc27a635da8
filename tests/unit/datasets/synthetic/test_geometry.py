"""Each action unit moves what it should, measured on control points; y grows downwards.

A pose moves points as a turned head would.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from dcdan.datasets.synthetic.action_units import no_units, units_of
from dcdan.datasets.synthetic.geometry import Geometry, Pose, build
from dcdan.datasets.synthetic.identity import draw_identity
from dcdan.expressions import EXPRESSIONS

TEMPLATE = np.array([(0.34, 0.39), (0.66, 0.39), (0.50, 0.58), (0.37, 0.75), (0.63, 0.75)])
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
Measure = Callable[[Geometry], float]


def brow(end: int, axis: int, side: str = "left") -> Measure:
    return lambda face: float(face.parts[f"brow_line_{side}"][end, axis])


def corner(which: int, axis: int) -> Measure:
    return lambda face: float(face.parts["lip_top"][which, axis])


def lid(name: str, side: str = "left") -> Measure:
    return lambda face: float(face.parts[f"lid_{name}_{side}"][7, 1])


def middle_of_lip(name: str) -> Measure:
    return lambda face: float(face.parts[name][12, 1])


def opening(face: Geometry) -> float:
    return float(face.parts["lip_bottom"][12, 1] - face.parts["lip_top"][12, 1])


def thickness(face: Geometry) -> float:
    return float(face.parts["lip_lower"][12, 1] - face.parts["lip_bottom"][12, 1])


def lowest(part: str) -> Measure:
    return lambda face: float(face.parts[part][:, 1].max())


def width(face: Geometry) -> float:
    return float(np.ptp(face.parts["lip_top"][:, 0]))


MOVES = [
    (1, "inner brow up", brow(0, 1), -1),
    (2, "outer brow up", brow(-1, 1), -1),
    (4, "inner brow down", brow(0, 1), 1),
    (4, "left inner brow towards the midline", brow(0, 0), 1),
    (5, "upper lid up", lid("upper"), -1),
    (6, "lower lid up", lid("lower"), -1),
    (7, "upper lid down", lid("upper"), 1),
    (7, "lower lid up", lid("lower"), -1),
    (9, "nose wings up", lowest("wing_left"), -1),
    (9, "upper lip up", middle_of_lip("lip_upper"), -1),
    (12, "left corner up", corner(0, 1), -1),
    (12, "mouth wider", width, 1),
    (14, "left corner out", corner(0, 0), -1),
    (15, "left corner down", corner(0, 1), 1),
    (17, "lower lip up", middle_of_lip("lip_bottom"), -1),
    (20, "mouth wider", width, 1),
    (23, "lips thinner", thickness, -1),
    (25, "lips part", opening, 1),
    (26, "mouth opens", opening, 1),
    (26, "chin down", lowest("head"), 1),
]


@pytest.mark.parametrize(("unit", "what", "measure", "direction"), MOVES, ids=[f"AU{m[0]} {m[1]}" for m in MOVES])
@pytest.mark.parametrize("seed", range(3))
def test_a_unit_moves_its_points_the_more_the_stronger_it_is(
    unit: int, what: str, measure: Measure, direction: int, seed: int
) -> None:
    person = draw_identity(np.random.default_rng(seed))
    values = []
    for level in LEVELS:
        units = no_units()
        units[unit][:] = level
        values.append(measure(build(person, units)))
    steps = np.diff(values) * direction
    assert (steps > 0).all(), what
    assert steps.sum() > 0.003


@pytest.mark.parametrize("unit", [1, 2, 4, 5, 6, 7, 12, 15])
def test_a_unit_of_one_side_leaves_the_other_where_it_was(unit: int) -> None:
    person = draw_identity(np.random.default_rng(2))
    units = no_units()
    rest = build(person, units)
    units[unit][0] = 1.0
    moved = build(person, units)
    for part in ("brow_line", "lid_upper", "lid_lower"):
        assert np.array_equal(rest.parts[f"{part}_right"], moved.parts[f"{part}_right"])
    assert np.allclose(rest.landmarks[4], moved.landmarks[4])
    shifts = [
        np.abs(rest.parts[name] - moved.parts[name]).max()
        for name in ("brow_line_left", "lid_upper_left", "lid_lower_left")
    ]
    assert max(*shifts, float(np.abs(rest.landmarks[3] - moved.landmarks[3]).max())) > 0.005


def test_both_sides_are_mirror_images_when_both_sides_move_alike() -> None:
    person = draw_identity(np.random.default_rng(4))
    face = build(person, units_of("fear", 0.8))
    for part in ("brow", "lid_upper", "lid_lower", "wing", "ear"):
        left, right = face.parts[f"{part}_left"], face.parts[f"{part}_right"]
        mirror = np.array([1.0, 0.0]) + right * (-1.0, 1.0)
        # The outline of a brow starts on its upper edge on one side and on its lower edge on the other.
        assert np.allclose(left[np.lexsort(left.round(9).T)], mirror[np.lexsort(mirror.round(9).T)])


def test_sadness_slants_the_brows_and_surprise_does_not() -> None:
    person = draw_identity(np.random.default_rng(3))
    slant = {}
    for expression in ("sadness", "surprise", "anger", "neutral"):
        line = build(person, units_of(expression)).parts["brow_line_left"]
        slant[expression] = float(line[-1, 1] - line[0, 1])
    assert slant["sadness"] > slant["neutral"] + 0.02 > slant["anger"] + 0.04
    assert abs(slant["surprise"] - slant["neutral"]) < 0.01


def test_a_face_at_rest_lies_near_the_alignment_template() -> None:
    rng = np.random.default_rng(0)
    marks = np.stack([build(draw_identity(rng), no_units()).landmarks for _ in range(200)])
    assert np.abs(marks.mean(axis=0) - TEMPLATE).max() < 0.01
    assert np.abs(marks - TEMPLATE).max() < 0.04


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_lips_never_cross_and_irises_stay_between_the_lids(expression: str) -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        face = build(draw_identity(rng), units_of(expression, float(rng.uniform(0, 1))), (0.2, 0.1))
        order = [face.parts[name][:, 1] for name in ("lip_upper", "lip_top", "lip_bottom", "lip_lower")]
        assert all((lower - upper > -1e-9).all() for upper, lower in pairwise(order))
        for side in ("left", "right"):
            iris, eye = face.parts[f"iris_{side}"][:, 1], face.parts[f"eye_{side}"][:, 1]
            assert eye.min() - 1e-9 <= iris.min() <= iris.max() <= eye.max() + 1e-9


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
