"""The features of a synthetic face as smooth curves that action units move: brows, lids, lips, nose and head.

Curves are Catmull-Rom splines through control points, computed as one matrix product. Points are (x, y) in units of the
face side, x to the right and y down, in the frame of the alignment template (eyes at (.34, .39) and (.66, .39), nose
(.50, .58), mouth corners (.37, .75) and (.63, .75)). Each side is defined by distances from the midline and then
mirrored, so that a one-sided unit moves one side only.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dcdan.datasets.synthetic.action_units import FloatArray, Units
from dcdan.datasets.synthetic.identity import Identity


@lru_cache(maxsize=64)
def _basis(count: int, closed: bool, steps: int) -> FloatArray:
    """Return the (samples, count) Catmull-Rom matrix that maps control points to points on the curve."""
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
    """Return points on the Catmull-Rom curve through control points.

    Args:
        points: ``(n, 2) float64`` control points.
        closed: Whether the curve is closed; an open curve begins and ends at its end points.
        steps: Samples per segment.

    Returns:
        ``(m, 2) float64`` with m = n steps for a closed curve, else (n - 1) steps + 1.

    Example:
        >>> spline(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]), steps=2).shape
        (5, 2)
    """
    curve: FloatArray = _basis(len(points), closed, steps) @ points
    return curve


def ribbon(centre: FloatArray, half_width: FloatArray) -> FloatArray:
    """Return the closed outline of a band of variable width.

    Args:
        centre: ``(n, 2) float64`` centre line.
        half_width: ``(n,) float64`` half of the width at each point.

    Returns:
        ``(2n, 2) float64``.
    """
    direction = np.empty_like(centre)
    direction[1:-1] = centre[2:] - centre[:-2]
    direction[0], direction[-1] = centre[1] - centre[0], centre[-1] - centre[-2]
    normal = direction[:, ::-1] * (-1.0, 1.0)
    normal *= (half_width / np.maximum(np.hypot(direction[:, 0], direction[:, 1]), 1e-9))[:, None]
    return np.concatenate([centre + normal, (centre - normal)[::-1]])


def ellipse(centre: tuple[float, float], radii: tuple[float, float], count: int = 16) -> FloatArray:
    """Return points on an ellipse with horizontal and vertical axes.

    Args:
        centre: (x, y).
        radii: Horizontal and vertical radius.
        count: Number of points.

    Returns:
        ``(count, 2) float64``.

    Example:
        >>> ellipse((1.0, 2.0), (3.0, 1.0), 4).round(6).tolist()
        [[4.0, 2.0], [1.0, 3.0], [-2.0, 2.0], [1.0, 1.0]]
    """
    ring: FloatArray = _circle(count) * np.asarray(radii) + np.asarray(centre)
    return ring


@lru_cache(maxsize=8)
def _circle(count: int) -> FloatArray:
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


SIDES = ("left", "right")
_MIRROR = (np.array([-1.0, 1.0]), np.array([1.0, 1.0]))
_MIDLINE = np.array([0.5, 0.0])
BROW = np.linspace(0.0, 1.0, 6)
_BROW_INNER = np.clip(1.0 - 1.45 * BROW, 0.0, 1.0)
_BROW_OUTER = np.clip(1.35 * BROW - 0.15, 0.0, 1.0)
BROW_WIDTH = np.interp(np.linspace(0.0, 1.0, 16), BROW, [0.75, 1.0, 1.0, 0.85, 0.55, 0.15])
_LID = np.linspace(-1.0, 1.0, 15)
_UPPER_LID = (1.0 - _LID**2) ** 0.75 * (1.0 - 0.12 * _LID)
_LOWER_LID = (1.0 - _LID**2) ** 0.85 * (1.0 + 0.15 * _LID)
_LIP = np.linspace(-1.0, 1.0, 25)
LIP_ROUND = (1.0 - _LIP**2) ** 0.62
_CUPID = (1.0 - _LIP**2) ** 0.8 * (1.0 - 0.22 * np.exp(-((_LIP / 0.14) ** 2)))


def mirrored(points: FloatArray, side: int) -> FloatArray:
    """Convert (distance from the midline, y) to (x, y).

    Args:
        points: ``(n, 2) float64``.
        side: 0 for left, 1 for right in the image.

    Returns:
        ``(n, 2) float64``.

    Example:
        >>> mirrored(np.array([[0.2, 0.4]]), 0).tolist()
        [[0.3, 0.4]]
    """
    moved: FloatArray = points * _MIRROR[side] + _MIDLINE
    return moved


def _columns(x: FloatArray, y: FloatArray) -> FloatArray:
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    return points


def pairs(*points: tuple[float, float]) -> FloatArray:
    """Return points as an ``(n, 2) float64`` array."""
    return np.array(points, dtype=np.float64)


def brow(person: Identity, units: Units, side: int) -> FloatArray:
    """Return the centre line of a brow from its inner to its outer end.

    AU4 lowers the inner end less if AU1 raises it: together they produce the slanted brow of sadness instead of
    cancelling.

    Args:
        person: Identity of the face.
        units: Action units.
        side: 0 for left, 1 for right in the image.

    Returns:
        ``(6, 2) float64``.
    """
    up_in, up_out, down, wrinkle = (float(units[number][side]) for number in (1, 2, 4, 9))
    x = 0.078 + BROW * 0.195
    y = (
        person.brow_height
        + person.brow_tilt * (BROW - 0.5)
        - person.brow_arch * np.sin(np.pi * BROW**1.2)
        + 0.012 * BROW
    )
    y = y - 0.052 * up_in * _BROW_INNER - 0.05 * up_out * _BROW_OUTER
    y = y + down * (0.046 * _BROW_INNER * (1.0 - 0.9 * up_in) + 0.012 + 0.014 * np.sin(np.pi * BROW))
    y = y + 0.022 * wrinkle * _BROW_INNER + 0.006 * wrinkle
    x = x - 0.024 * down * _BROW_INNER
    return mirrored(_columns(x, y), side)


def eye(person: Identity, units: Units, side: int) -> dict[str, FloatArray]:
    """Return the curves of one eye.

    Args:
        person: Identity of the face.
        units: Action units.
        side: 0 for left, 1 for right in the image.

    Returns:
        ``upper`` and ``lower`` lid, each ``(15, 2) float64`` from the inner to the outer corner, and ``centre``, ``(1,
        2)``.
    """
    inner_up, raise_, cheek, tight, wrinkle = (float(units[number][side]) for number in (1, 5, 6, 7, 9))
    upper = 0.036 * person.eye_open + 0.026 * raise_ - 0.012 * tight - 0.010 * cheek - 0.012 * wrinkle
    lower = 0.021 * person.eye_open + 0.005 * raise_ - 0.010 * tight - 0.014 * cheek - 0.008 * wrinkle
    upper, lower = max(upper, 0.008), max(lower, 0.002)
    sad = inner_up * float(units[4][side])
    x = person.eye_spacing + _LID * person.eye_width
    axis = 0.392 + person.eye_tilt * _LID
    top = axis - upper * _UPPER_LID + 0.010 * sad * _LID * (1 - _LID**2)
    return {
        "upper": mirrored(_columns(x, top), side),
        "lower": mirrored(_columns(x, axis + lower * _LOWER_LID), side),
        "centre": mirrored(pairs((person.eye_spacing, 0.39)), side),
    }


def inside(disc: FloatArray, upper: FloatArray, lower: FloatArray) -> FloatArray:
    """Return the outline of the visible part of a disc between two lids.

    Args:
        disc: ``(n, 2) float64`` outline of the disc.
        upper: ``(m, 2) float64`` upper lid.
        lower: ``(m, 2) float64`` lower lid.

    Returns:
        ``(n, 2) float64``.
    """
    rising = slice(None, None, 1 if upper[0, 0] < upper[-1, 0] else -1)
    low = np.interp(disc[:, 0], upper[rising, 0], upper[rising, 1])
    high = np.interp(disc[:, 0], lower[rising, 0], lower[rising, 1])
    return _columns(disc[:, 0], np.minimum(np.maximum(disc[:, 1], low), high))


def mouth(person: Identity, units: Units) -> dict[str, FloatArray]:
    """Return the lip curves.

    A jaw drop opens the mouth downwards, a strong pull of the corners parts the lips, and the units of each side move
    the corner of that side.

    Args:
        person: Identity of the face.
        units: Action units.

    Returns:
        ``lip_upper``, ``lip_top``, ``lip_bottom`` and ``lip_lower``, each ``(25, 2) float64`` from the left to the
        right corner; top and bottom are the inner curves.
    """
    mean = {number: 0.5 * float(value[0] + value[1]) for number, value in units.items()}
    side = (_LIP > 0).astype(int)
    corner_x = (
        0.126 * person.mouth_width
        + 0.034 * units[12] + 0.016 * units[14] + 0.036 * units[20]
        - 0.016 * units[23] - 0.022 * mean[26] * (1.0 - units[20])
    )  # fmt: skip
    corner_y = (
        person.mouth_height + 0.002
        - 0.058 * units[12] - 0.014 * units[14] + 0.044 * units[15] + 0.010 * units[20] + 0.018 * mean[26]
    )  # fmt: skip
    middle = person.mouth_height - 0.004 + 0.008 * mean[12] - 0.016 * mean[17] - 0.010 * mean[15] - 0.008 * mean[9]
    across = np.abs(_LIP)
    bend = 0.35 * across**1.6 + 0.65 * across**2.6
    line = middle + (corner_y[side] - middle) * bend
    x = 0.5 + _LIP * corner_x[side]
    gap = 0.105 * mean[26] + 0.03 * mean[25] + 0.055 * max(0.0, mean[12] - 0.42) + 0.012 * mean[20] + 0.012 * mean[9]
    thin = (1.0 - 0.6 * mean[23]) * (1.0 - 0.3 * mean[20]) * (1.0 - 0.25 * mean[12])
    top = line - (0.12 * gap + 0.016 * mean[9]) * LIP_ROUND
    bottom = line + 0.88 * gap * LIP_ROUND - 0.004 * mean[17] * LIP_ROUND
    bottom = np.maximum(bottom, top)
    upper = top - 0.027 * person.upper_lip * thin * (1.0 - 0.3 * mean[9]) * _CUPID
    lower = bottom + 0.036 * person.lower_lip * thin * (1.0 + 0.25 * mean[17]) * LIP_ROUND
    curves = {"lip_upper": upper, "lip_top": top, "lip_bottom": bottom, "lip_lower": lower}
    return {name: _columns(x, y) for name, y in curves.items()}


def nose(person: Identity, units: Units) -> dict[str, FloatArray]:
    """Return the parts of the nose: wings, nostrils, ridge, base and tip; AU9 raises and widens the wings.

    Args:
        person: Identity of the face.
        units: Action units.

    Returns:
        Name -> ``(n, 2) float64`` points.
    """
    parts: dict[str, FloatArray] = {}
    tip = 0.39 + 0.19 * person.nose_length
    for side, name in enumerate(SIDES):
        up = float(units[9][side])
        lift = 0.020 * up
        wide = 0.062 * person.nose_width * (1.0 + 0.14 * up + 0.06 * float(units[12][side]))
        wing = pairs(
            (wide - 0.012, tip - 0.022), (wide, tip - 0.004), (wide - 0.004, tip + 0.016), (wide - 0.022, tip + 0.021)
        )
        wing[:, 1] -= lift
        parts[f"wing_{name}"] = spline(mirrored(wing, side), steps=3)
        x, y = 0.5 + (2 * side - 1) * 0.030 * person.nose_width, tip + 0.019 - 0.7 * lift
        parts[f"nostril_{name}"] = ellipse((x, y), (0.014 * person.nose_width, 0.006), 10)
        parts[f"ridge_{name}"] = mirrored(
            pairs((0.034, 0.33), (0.022, 0.42), (0.030, 0.52), (wide * 0.75, tip - 0.01)), side
        )
    parts["nose_base"] = spline(pairs((0.484, tip + 0.024), (0.5, tip + 0.030), (0.516, tip + 0.024)), steps=3)
    parts["nose_shadow"] = ellipse((0.5, tip + 0.026), (0.052 * person.nose_width, 0.016))
    parts["nose_light"] = pairs(
        (0.488, 0.36),
        (0.512, 0.36),
        (0.514, 0.5),
        (0.524, tip - 0.012),
        (0.5, tip + 0.004),
        (0.476, tip - 0.012),
        (0.486, 0.5),
    )
    parts["tip"] = pairs((0.5, tip - 0.006 * float(units[9].mean())))
    return parts


def outline(person: Identity, units: Units) -> FloatArray:
    """Return the closed contour of the head: crown, temples, cheeks, jaw, and the chin, which AU26 lowers.

    Args:
        person: Identity of the face.
        units: Action units.

    Returns:
        ``(n, 2) float64``.
    """
    wide, jaw = person.half_width, person.jaw
    drop = 0.055 * float(units[26].mean())
    chin = person.chin + drop - 0.008 * float(units[17].mean())
    cheek = 0.008 * float(np.maximum(units[12], units[6]).mean())
    half = pairs(
        (0.0, -0.14), (0.22, -0.09), (0.92 * wide, 0.10), (wide, 0.32), (0.985 * wide + cheek, 0.52),
        (wide * (0.5 + 0.55 * jaw), 0.70 + 0.3 * drop), (wide * (0.16 + 0.78 * jaw), 0.84 + 0.7 * drop),
        (person.chin_width * 0.5, chin - 0.03), (0.0, chin),
    )  # fmt: skip
    return spline(np.concatenate([mirrored(half, 1), mirrored(half[-2:0:-1], 0)]), closed=True, steps=4)
