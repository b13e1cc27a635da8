"""Rotation of faces to the side and up or down, with the framing of an aligner.

The face is projected onto half an ellipsoid with a nose, rotated, projected without perspective, and brought back to
the template by its five points. Occluded parts are hidden; uncovered parts are stretched skin. Lengths are in units of
the face side (about 20 cm); x points to the right, y down, z to the camera.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from dcdan.faces.align import TEMPLATE, similarity

Floats = npt.NDArray[np.float64]

_CENTRE = (0.5, 0.52)
_HALF_WIDTH, _HALF_HEIGHT, _DEPTH = 0.42, 0.62, 0.36
_NOSE, _NOSE_AT, _NOSE_WIDTH, _NOSE_HEIGHT = 0.09, 0.57, 0.05, 0.07
_GRID = np.linspace(-0.5, 1.5, 513)


def depth(x: Floats, y: Floats) -> Floats:
    """Return the depth of the head at points of the face.

    Args:
        x: x of the points, any shape.
        y: y of the points, the same shape.

    Returns:
        z of the same shape; 0 outside the head.
    """
    right, down = x - _CENTRE[0], y - _CENTRE[1]
    dome = np.sqrt(np.maximum(0, 1 - (right / _HALF_WIDTH) ** 2 - (down / _HALF_HEIGHT) ** 2))
    nose = np.exp(-0.5 * ((right / _NOSE_WIDTH) ** 2 + ((y - _NOSE_AT) / _NOSE_HEIGHT) ** 2))
    return np.asarray(_DEPTH * dome + _NOSE * nose)


@lru_cache(maxsize=64)
def pose_maps(size: int, yaw: float, pitch: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the source of each pixel of a rotated face, as `cv2.remap` takes it.

    Args:
        size: side of the face in pixels.
        yaw: degrees; positive turns the nose to the right of the picture.
        pitch: degrees; positive turns the nose down.

    Returns:
        `(size, size) float32` x and `(size, size) float32` y of the source, in pixels.
    """
    sideways, nodding = math.radians(yaw), math.radians(pitch)
    x, y = np.meshgrid(_GRID, _GRID)
    z = depth(x, y)
    from_x = _sources(x * math.cos(sideways) + z * math.sin(sideways), sideways >= 0)
    turned_z = depth(from_x, y) * math.cos(sideways) - from_x * math.sin(sideways)
    from_y = _sources((y * math.cos(nodding) + turned_z * math.sin(nodding)).T, nodding >= 0).T
    inverse = cv2.invertAffineTransform(similarity(_turned(TEMPLATE, sideways, nodding), TEMPLATE))
    pixels = (np.arange(size) + 0.5) / size
    seen = np.stack(np.meshgrid(pixels, pixels), axis=-1) @ inverse[:, :2].T + inverse[:, 2]
    y_there = _looked_up(from_y, seen[..., 0], seen[..., 1])
    x_there = _looked_up(from_x, seen[..., 0], y_there)
    return (x_there * size - 0.5).astype(np.float32), (y_there * size - 0.5).astype(np.float32)


def _turned(points: npt.ArrayLike, sideways: float, nodding: float) -> Floats:
    """Return the places `(n, 2)` of points `(n, 2)` of the face after the rotation of the head; angles in radians."""
    x, y = np.asarray(points, np.float64).T
    z = depth(x, y)
    behind = z * math.cos(sideways) - x * math.sin(sideways)
    across = x * math.cos(sideways) + z * math.sin(sideways)
    return np.stack([across, y * math.cos(nodding) + behind * math.sin(nodding)], axis=-1)


def _sources(moved: Floats, rightwards: bool) -> Floats:
    """Invert, row by row, the map from points of the grid to their new places; of points that meet, the nearest wins.

    Near points move furthest in the direction of the turn, so a point that a nearer one has overtaken is hidden.
    """
    if rightwards:
        visible = np.maximum.accumulate(moved, axis=1)
    else:
        visible = np.minimum.accumulate(moved[:, ::-1], axis=1)[:, ::-1]
    return np.stack([np.interp(_GRID, row, _GRID) for row in visible])


def _looked_up(table: Floats, x: Floats, y: Floats) -> Floats:
    """Return the values of a table over the grid at points (x, y), interpolated bilinearly."""
    step, first = _GRID[1] - _GRID[0], _GRID[0]
    column, row = (((axis - first) / step).astype(np.float32) for axis in (x, y))
    found = cv2.remap(table.astype(np.float32), column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64)
