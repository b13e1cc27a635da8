"""Hair, headscarf, beard, neck, clothes and freckles of a synthetic person, added to the geometry before it is posed.

Outlines are in units of the face side, in front of the head or behind it. No hair style covers the brows, because they
convey expression.
"""

from __future__ import annotations

import numpy as np

from dcdan.datasets.synthetic.action_units import FloatArray
from dcdan.datasets.synthetic.features import spline
from dcdan.datasets.synthetic.geometry import Geometry
from dcdan.datasets.synthetic.identity import Identity

Point = tuple[float, float]


def _closed(points: list[Point], steps: int = 4) -> FloatArray:
    return spline(np.array(points, dtype=np.float64), closed=True, steps=steps)


def _mirrored(half: list[Point]) -> list[Point]:
    """Return the points of the right half (distance from the midline, y) and their mirror image, as one ring."""
    right = [(0.5 + x, y) for x, y in half]
    left = [(0.5 - x, y) for x, y in reversed(half) if x > 0]
    return right + left


def _crown(wide: float, rise: float) -> list[Point]:
    """Return the right half of the hair's upper contour, from the top down to the temple."""
    return [(0.2, -0.3), (0.7 * wide + rise, -0.12), (0.92 * wide + rise, 0.02), (wide + 0.01 + rise / 3, 0.16)]


def back_hair(person: Identity) -> FloatArray | None:
    """Return the outline ``(n, 2) float64`` of the hair behind the head, or None for a bald head."""
    wide = person.half_width
    top = [(0.0, -0.3), (0.85 * wide + 0.03, -0.1)]
    match person.hair_style:
        case "bald":
            return None
        case "long" | "scarf":
            half = [*top, (wide + 0.085, 0.25), (wide + 0.085, 0.7), (wide + 0.08, 1.2), (0.0, 1.25)]
        case "bob":
            half = [*top, (wide + 0.085, 0.3), (wide + 0.10, 0.78), (wide - 0.02, 0.86), (0.0, 0.6)]
        case "curly":
            top = [(0.0, -0.3), (wide + 0.12, -0.1)]
            half = [*top, (wide + 0.15, 0.25), (wide + 0.1, 0.55), (wide - 0.05, 0.5), (0.0, 0.3)]
        case _:
            top = [(0.0, -0.3), (0.8 * wide, -0.12)]
            half = [*top, (wide + 0.02, 0.12), (wide + 0.012, 0.36), (wide - 0.05, 0.4), (0.0, 0.3)]
    return _closed(_mirrored(half))


def front_hair(person: Identity) -> list[FloatArray]:
    """Return the outlines ``(n, 2) float64`` of the hair over the forehead and along the cheeks."""
    match person.hair_style:
        case "bald":
            return []
        case "short":
            return [_cap(person, sideburn=0.40, recess=0.0, rise=0.05)]
        case "tied":
            return [_cap(person, sideburn=0.28, recess=0.0, rise=0.03)]
        case "crop":
            return [_cap(person, sideburn=0.36, recess=0.035, rise=0.03)]
        case "fringe":
            return [_fringe(person)]
        case "parted":
            return [_parted(person)]
        case "curly":
            return [_curls(person)]
        case "scarf":
            return [_scarf(person)]
        case _:
            return _curtains(person, 0.80 if person.hair_style == "bob" else 1.15)


def _cap(person: Identity, sideburn: float, recess: float, rise: float) -> FloatArray:
    wide, line = person.half_width, person.hairline - recess
    edge = [(wide + 0.02, sideburn), (0.93 * wide, sideburn - 0.1), (0.8 * wide, line + 0.085)]
    return _closed(_mirrored([*_crown(wide, rise), *edge, (0.45 * wide, line + 0.012), (0.0, line)]))


def _fringe(person: Identity) -> FloatArray:
    wide, low = person.half_width, person.hairline + 0.075
    edge = [(wide + 0.02, 0.37), (0.93 * wide, 0.25), (0.84 * wide, low + 0.03)]
    tips = [(t * wide, low + (0.018 if row % 2 else 0.0)) for row, t in enumerate((0.7, 0.52, 0.35, 0.18, 0.0))]
    return _closed(_mirrored([*_crown(wide, 0.05), *edge, *tips]), 3)


def _parted(person: Identity) -> FloatArray:
    """Return hair combed from a parting on one side to the other."""
    wide, line = person.half_width, person.hairline
    right = _crown(wide, 0.05)
    near = [(wide + 0.02, 0.38), (0.92 * wide, 0.22), (0.20, line + 0.055), (0.15, line - 0.01)]
    far = [(-0.12, line + 0.03), (-0.82 * wide, line + 0.10), (-0.95 * wide, 0.26), (-wide - 0.02, 0.38)]
    ring = [*right, *near, (0.0, line), *far, *((-x, y) for x, y in reversed(right))]
    side = 1.0 if person.parting > 0 else -1.0
    return _closed([(0.5 + side * x, y) for x, y in ring])


def _curls(person: Identity) -> FloatArray:
    wide, line = person.half_width, person.hairline
    edge = []
    for row, angle in enumerate(np.linspace(-0.06, np.pi / 2, 7)):
        swell = 0.02 if row % 2 else -0.012
        edge.append(((wide + 0.03) * float(np.cos(angle)), 0.30 - (0.25 - line) * float(np.sin(angle)) + swell))
    edge[-1] = (0.0, edge[-1][1])
    return _closed(_mirrored([*_crown(wide, 0.06), *edge]), 5)


def _scarf(person: Identity) -> FloatArray:
    wide, line = person.half_width, person.hairline
    upper = [(0.0, line + 0.03), (0.6 * wide, line + 0.06), (0.97 * wide, 0.30), (0.985 * wide, 0.52)]
    inner = _closed(_mirrored([*upper, (0.86 * wide, 0.78), (0.12, 1.0), (0.0, 1.02)]))
    outer = _closed(_mirrored([(0.0, -0.3), (wide + 0.1, -0.2), (wide + 0.1, 0.5), (wide + 0.08, 1.0), (0.0, 1.4)]))
    # One outline with a hole: along the outer ring, over a bridge at the top, back along the inner one.
    return np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])


def _curtains(person: Identity, low: float) -> list[FloatArray]:
    """Return hair that falls on both sides of the face from a parting down to y = `low`."""
    wide, line, part = person.half_width, person.hairline, 0.6 * person.parting
    sides = []
    for sign in (-1.0, 1.0):
        inner = [(part, -0.3), (part, line - 0.02), (part + sign * 0.13, line + 0.05), (sign * 0.83 * wide, 0.26)]
        lock = [(sign * 0.93 * wide, 0.5), (sign * 0.93 * wide, low), (sign * (wide + 0.1), low)]
        outer = [(sign * (wide + 0.075), 0.3), (sign * (0.85 * wide + 0.03), -0.1)]
        sides.append(_closed([(0.5 + x, y) for x, y in (*inner, *lock, *outer)]))
    return sides


def strands(person: Identity) -> list[FloatArray]:
    """Return lines ``(n, 2) float64`` along the hair, for texture; empty for styles without them."""
    if person.hair_style in ("bald", "scarf", "curly", "crop"):
        return []
    lines = []
    for t in np.linspace(-0.8, 0.8, 7):
        x = 0.5 + t * person.half_width
        low = person.hairline - 0.03 + 0.1 * t * t
        lines.append(spline(np.array([(x * 0.6 + 0.2, -0.1), (0.9 * x + 0.05, 0.3 * low), (x, low)]), steps=3))
    return lines


_FRECKLES: FloatArray = np.array(
    [(0.09, 0.51), (0.13, 0.55), (0.17, 0.52), (0.20, 0.57), (0.11, 0.60), (0.16, 0.62), (0.235, 0.54), (0.065, 0.55)]
)

_SHOULDER: FloatArray = np.array([(-0.4, 1.5), (-0.4, 1.06), (0.2, 0.985), (0.29, 1.03)])
_SHOULDERS: FloatArray = np.concatenate([_SHOULDER, [(0.5, 1.16)], _SHOULDER[::-1] * (-1.0, 1.0) + (1.0, 0.0)])


def _beard(person: Identity, parts: dict[str, FloatArray]) -> FloatArray:
    """Return the outline of the beard: along the jaw, cheeks and around the mouth; for a goatee only the chin."""
    lower = parts["lip_lower"]
    low, high = float(parts["head"][:, 1].max()), float(parts["lip_upper"][:, 1].min())
    if person.beard == "goatee":
        y = float(lower[12, 1]) + 0.03
        ring = [(0.43, y), (0.5, y - 0.012), (0.57, y), (0.575, low - 0.03), (0.5, low + 0.012), (0.425, low - 0.03)]
        return spline(np.array(ring), closed=True, steps=4)
    head = parts["head"]
    jaw = head[head[:, 1] > 0.5]
    right, left = jaw[jaw[:, 0] >= 0.5], jaw[jaw[:, 0] < 0.5]
    right, left = right[np.argsort(right[:, 1])], left[np.argsort(-left[:, 1])]
    wide = person.half_width
    cheek = [
        (0.5 - 0.9 * wide, 0.60),
        (0.5 - 0.66 * wide, 0.67),
        (0.5 - 0.45 * wide, high - 0.01),
        (0.42, high - 0.028),
    ]
    mirrored = [(1.0 - x, y) for x, y in reversed(cheek)]
    return np.concatenate([right, left, spline(np.array([*cheek, (0.5, high - 0.03), *mirrored]), steps=4)])


def dress(person: Identity, geometry: Geometry) -> Geometry:
    """Add hair, beard, neck, clothes and freckles to a face.

    Args:
        person: Identity of the face.
        geometry: The face before the pose is applied.

    Returns:
        The geometry with the additional parts.
    """
    parts = dict(geometry.parts)
    back = back_hair(person)
    if back is not None:
        parts["hair_back"] = back
    parts["neck"] = np.array([(0.27, 0.7), (0.73, 0.7), (0.74, 1.3), (0.26, 1.3)])
    parts["shoulders"] = _SHOULDERS
    if person.beard in ("stubble", "goatee", "full"):
        parts["beard"] = _beard(person, parts)
    if person.beard in ("moustache", "full", "goatee"):
        upper = parts["lip_upper"][3:-3]
        swell = np.sin(np.linspace(0.0, np.pi, len(upper)))[:, None] ** 0.5
        parts["moustache"] = np.concatenate([upper - (0.0, 0.006), (upper - (0.0, 0.006) - swell * (0.0, 0.024))[::-1]])
    if person.freckles > 0.0:
        parts["freckle_right"] = _FRECKLES * (1.0, 1.0) + (0.5, 0.0)
        parts["freckle_left"] = _FRECKLES * (-1.0, 1.0) + (0.5, 0.0)
    for row, outline in enumerate(front_hair(person)):
        parts[f"hair_front_{row}"] = outline
    for row, line in enumerate(strands(person)):
        parts[f"hair_strand_{row}"] = line
    return geometry.moved(parts, geometry.landmarks)
