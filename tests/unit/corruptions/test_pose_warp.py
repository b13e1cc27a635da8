"""Turned faces: the maps against points of the head turned in space one by one."""

from __future__ import annotations

import numpy as np
import pytest

from dcdan.corruptions.pose_warp import depth, pose_maps
from dcdan.faces.align import TEMPLATE

SIZE = 128


def spun(points: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Turn points (n, 3) by matrices: first about the vertical axis, then about the one across."""
    a, b = np.radians([yaw, pitch])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    return points @ about_y.T @ about_x.T


def placed(points: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Where points (n, 2) of the face lie once it is turned and its five points are fitted to the template."""
    with_depth = np.column_stack([points, depth(points[:, 0], points[:, 1])])
    five = np.column_stack([TEMPLATE, depth(TEMPLATE[:, 0], TEMPLATE[:, 1])])
    x, y = spun(five, yaw, pitch)[:, :2].T
    ones, none = np.ones(5), np.zeros(5)
    system = np.concatenate([np.column_stack([x, -y, ones, none]), np.column_stack([y, x, none, ones])])
    a, b, dx, dy = np.linalg.lstsq(system, np.concatenate([TEMPLATE[:, 0], TEMPLATE[:, 1]]), rcond=None)[0]
    seen = spun(with_depth, yaw, pitch)[:, :2]
    return seen @ np.array([[a, b], [-b, a]]) + (dx, dy)


@pytest.mark.parametrize(("yaw", "pitch"), [(20, 0), (-20, 0), (0, 12), (30, -10), (-38, 12)])
def test_every_visible_point_comes_from_where_it_was(yaw: float, pitch: float) -> None:
    # The five points and places on forehead and chin: none is hidden by the nose at these angles but an eye's side.
    points = np.concatenate([TEMPLATE, [(0.5, 0.25), (0.5, 0.85), (0.42, 0.3), (0.58, 0.8)]])
    across, down = pose_maps(SIZE, yaw, pitch)
    for (x, y), (u, v) in zip(points, placed(points, yaw, pitch), strict=True):
        column, row = round(u * SIZE - 0.5), round(v * SIZE - 0.5)
        assert across[row, column] == pytest.approx(x * SIZE - 0.5, abs=1.6)
        assert down[row, column] == pytest.approx(y * SIZE - 0.5, abs=1.6)


def test_no_turn_changes_nothing() -> None:
    across, down = pose_maps(32, 0, 0)
    columns, rows = np.meshgrid(np.arange(32), np.arange(32))
    assert np.allclose(across, columns, atol=1e-3)
    assert np.allclose(down, rows, atol=1e-3)


def test_left_is_the_mirror_of_right() -> None:
    right, left = pose_maps(64, 30, 8), pose_maps(64, -30, 8)
    differs = abs(63 - left[0][:, ::-1] - right[0]) > 0.5
    assert differs.mean() < 0.01
    assert (abs(left[1][:, ::-1] - right[1]) > 0.5).mean() < 0.01


def test_the_nose_goes_with_the_turn() -> None:
    nose, eyes = TEMPLATE[2:3], TEMPLATE[:2]
    assert placed(nose, 20, 0)[0, 0] > placed(eyes, 20, 0)[:, 0].mean() + 0.02
    assert placed(nose, 0, 15)[0, 1] > placed(nose, 0, -15)[0, 1] + 0.02
