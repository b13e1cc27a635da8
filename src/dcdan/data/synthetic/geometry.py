"""All that is drawn of a face: outlines and lines, their folds, and five landmarks, from a person and action units.

See `features` for the frame that the points lie in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dcdan.data.synthetic.action_units import FloatArray, Units
from dcdan.data.synthetic.creases import creases
from dcdan.data.synthetic.curves import ellipse, ribbon, spline
from dcdan.data.synthetic.features import (
    BROW_WIDTH,
    LIP_ROUND,
    SIDES,
    brow,
    eye,
    inside,
    mirrored,
    mouth,
    nose,
    outline,
    pairs,
)
from dcdan.data.synthetic.identity import Identity

_EAR = pairs((-0.02, 0.37), (0.035, 0.36), (0.05, 0.43), (0.028, 0.53), (0.0, 0.585), (-0.04, 0.52))
_CORE = np.array([0.5, 0.48])
_TONGUE = np.sin(np.linspace(0.0, np.pi, 13))[:, None] ** 0.5 * 0.42


@dataclass(frozen=True, slots=True)
class Geometry:
    """Named outlines and lines (n, 2), soft creases with their strength 0..1, and the five landmarks (5, 2)."""

    parts: dict[str, FloatArray]
    creases: dict[str, float]
    landmarks: FloatArray

    def moved(self, parts: dict[str, FloatArray], landmarks: FloatArray) -> Geometry:
        """Return the same face with its points elsewhere."""
        return replace(self, parts=parts, landmarks=landmarks)


def _mouth_shapes(parts: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Return what is filled and drawn of a mouth, from its lip curves."""
    upper, top, bottom, lower = (parts[name] for name in ("lip_upper", "lip_top", "lip_bottom", "lip_lower"))
    teeth = np.minimum(bottom, top + np.array([0.0, 0.026]) * LIP_ROUND[:, None])
    inner = slice(6, -6)
    return {
        "mouth_upper": np.concatenate([upper, bottom[::-1]]),
        "mouth_lower": np.concatenate([bottom, lower[::-1]]),
        "mouth_hole": np.concatenate([top, bottom[::-1]]),
        "teeth": np.concatenate([top, teeth[::-1]]),
        "tongue": np.concatenate([bottom[inner], (bottom[inner] + _TONGUE * (top - bottom)[inner])[::-1]]),
        "lip_shadow": lower[inner] + np.array([0.0, 0.012]),
        "lip_light": lower[9:-9] - np.array([0.0, 0.013]),
    }


def _eye_shapes(person: Identity, lids: dict[str, FloatArray], gaze: tuple[float, float]) -> dict[str, FloatArray]:
    """Return what is filled and drawn of one eye, from its lids; iris and pupil are cut off where a lid covers them."""
    upper, lower = lids["upper"], lids["lower"]
    x, y = (float(value) for value in lids["centre"][0])
    x, y = x + gaze[0] * person.eye_width, y + gaze[1] * person.eye_width - 0.004
    return {
        "lid_upper": upper,
        "lid_lower": lower,
        "eye": np.concatenate([upper, lower[::-1]]),
        "crease": upper[2:-1] - np.array([0.0, 0.013 + 0.006 * person.crease]),
        "iris": inside(ellipse((x, y), (0.0345, 0.0345)), upper, lower),
        "pupil": inside(ellipse((x, y), (0.0155, 0.0155)), upper, lower),
        "glint": ellipse((x - 0.010, y - 0.012), (0.0065, 0.0065), 8),
    }


def _side_shapes(person: Identity, units: Units, side: int) -> dict[str, FloatArray]:
    """Return brow, ear, earring, and the soft patches of eye socket and cheek of one side."""
    sign, half = 2 * side - 1, person.half_width
    line = brow(person, units, side)
    ear = _EAR + np.array([half, 0.0])
    lift = 0.03 * max(float(units[12][side]), float(units[6][side]))
    return {
        "brow_line": line,
        "brow": ribbon(spline(line, steps=3), BROW_WIDTH * person.brow_width),
        "ear": spline(mirrored(ear, side), closed=True, steps=3),
        "earring": ellipse((0.5 + sign * (half + 0.012), 0.6), (0.016, 0.018), 10),
        "socket": ellipse((0.5 + sign * person.eye_spacing, 0.365), (0.105, 0.06)),
        "cheek": ellipse((0.5 + sign * 0.205, 0.585 - lift), (0.085, 0.062)),
    }


def build(person: Identity, units: Units, gaze: tuple[float, float] = (0.0, 0.0)) -> Geometry:
    """Return everything of this face that units move; `gaze` turns the irises, in half widths of an eye."""
    head = outline(person, units)
    parts: dict[str, FloatArray] = {"head": head, "head_core": head + (_CORE - head) * 0.13}
    parts.update(mouth(person, units))
    parts.update(_mouth_shapes(parts))
    parts.update(nose(person, units))
    centres = []
    for side, name in enumerate(SIDES):
        lids = eye(person, units, side)
        shapes = {**_eye_shapes(person, lids, gaze), **_side_shapes(person, units, side)}
        parts.update({f"{shape}_{name}": points for shape, points in shapes.items()})
        centres.append(lids["centre"])
    strengths = creases(person, units, parts)
    landmarks = np.concatenate([*centres, parts["tip"], parts["lip_top"][[0, -1]]])
    return Geometry(parts, strengths, landmarks)
