"""Smooth curves through control points, as one matrix product."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dcdan.data.synthetic.action_units import FloatArray


@lru_cache(maxsize=64)
def _basis(count: int, closed: bool, steps: int) -> FloatArray:
    """Return the (samples, count) Catmull-Rom matrix that takes control points to points on the curve."""
    segments = count if closed else count - 1
    t = np.arange(steps) / steps
    blend = 0.5 * np.stack(
        [-(t**3) + 2 * t**2 - t, 3 * t**3 - 5 * t**2 + 2, -3 * t**3 + 4 * t**2 + t, t**3 - t**2], axis=1
    )
    matrix = np.zeros((segments * steps + (0 if closed else 1), count))
    for segment in range(segments):
        rows = slice(segment * steps, (segment + 1) * steps)
        for offset in range(4):
            point = segment + offset - 1
            point = point % count if closed else min(max(point, 0), count - 1)
            matrix[rows, point] += blend[:, offset]
    if not closed:
        matrix[-1, -1] = 1.0
    return matrix


def spline(points: FloatArray, *, closed: bool = False, steps: int = 6) -> FloatArray:
    """Return the Catmull-Rom curve through (n, 2) points, `steps` samples a segment; an open one keeps its ends."""
    curve: FloatArray = _basis(len(points), closed, steps) @ points
    return curve


def ribbon(centre: FloatArray, half_width: FloatArray) -> FloatArray:
    """Return the closed outline (2n, 2) of a band along (n, 2) points whose half width varies by point (n,)."""
    direction = np.empty_like(centre)
    direction[1:-1] = centre[2:] - centre[:-2]
    direction[0], direction[-1] = centre[1] - centre[0], centre[-1] - centre[-2]
    normal = direction[:, ::-1] * (-1.0, 1.0)
    normal *= (half_width / np.maximum(np.hypot(direction[:, 0], direction[:, 1]), 1e-9))[:, None]
    return np.concatenate([centre + normal, (centre - normal)[::-1]])


def ellipse(centre: tuple[float, float], radii: tuple[float, float], count: int = 16) -> FloatArray:
    """Return `count` points (count, 2) of an upright ellipse."""
    ring: FloatArray = _circle(count) * np.asarray(radii) + np.asarray(centre)
    return ring


@lru_cache(maxsize=8)
def _circle(count: int) -> FloatArray:
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
