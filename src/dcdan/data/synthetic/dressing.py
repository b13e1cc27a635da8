"""What a person wears or grows, added to the geometry before it is posed: hair, beard, neck, clothes, freckles."""

from __future__ import annotations

import numpy as np

from dcdan.data.synthetic.action_units import FloatArray
from dcdan.data.synthetic.curves import spline
from dcdan.data.synthetic.geometry import Geometry
from dcdan.data.synthetic.hair import back_hair, front_hair, strands
from dcdan.data.synthetic.identity import Identity

_FRECKLES: FloatArray = np.array(
    [(0.09, 0.51), (0.13, 0.55), (0.17, 0.52), (0.20, 0.57), (0.11, 0.60), (0.16, 0.62), (0.235, 0.54), (0.065, 0.55)]
)

_SHOULDER: FloatArray = np.array([(-0.4, 1.5), (-0.4, 1.06), (0.2, 0.985), (0.29, 1.03)])
_SHOULDERS: FloatArray = np.concatenate([_SHOULDER, [(0.5, 1.16)], _SHOULDER[::-1] * (-1.0, 1.0) + (1.0, 0.0)])


def _beard(person: Identity, parts: dict[str, FloatArray]) -> FloatArray:
    """Return the beard's outline: along the jaw, up to the cheeks and around the mouth; a goatee only the chin."""
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
    """Return the geometry with everything that is not the face itself."""
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
