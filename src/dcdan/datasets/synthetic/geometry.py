"""Geometry of a synthetic face: outlines, folds and landmarks of a person with action units, and the pose of the head.

Folds depend on action units and age. A pose combines the parallax of an ellipsoid with roll, scale and translation. The
coordinates are those of `features`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from dcdan.datasets.synthetic.action_units import FloatArray, Units
from dcdan.datasets.synthetic.features import (
    BROW_WIDTH,
    LIP_ROUND,
    SIDES,
    brow,
    ellipse,
    eye,
    inside,
    mirrored,
    mouth,
    nose,
    outline,
    pairs,
    ribbon,
    spline,
)
from dcdan.datasets.synthetic.identity import Identity

VISIBLE = 0.08
Points = tuple[tuple[float, float], ...]


def _across(person: Identity, units: Units) -> dict[str, tuple[float, Points]]:
    """Return the strength and points of the folds that cross the midline: on the forehead and below the lip."""
    raised = 0.5 * float(units[1].sum() + 0.8 * units[2].sum()) / 1.8
    inner_only = max(0.0, 0.5 * float(units[1].sum() - units[2].sum()))
    chin, drop = 0.5 * float(units[17].sum()), 0.025 * float(units[26].sum())
    half = 0.2 - 0.1 * inner_only
    folds: dict[str, tuple[float, Points]] = {}
    for row, start in enumerate((0.150, 0.185, 0.220)):
        y = start - 0.012 * raised
        strength = 0.5 * max(raised, inner_only) + 0.25 * max(0.0, person.age - 0.4)
        ends = ((0.5 - half, y + 0.012), (0.5 - half / 2, y)), ((0.5 + half / 2, y), (0.5 + half, y + 0.012))
        folds[f"forehead_{row}"] = strength, (*ends[0], (0.5, y + 0.006), *ends[1])
    low = 0.835 + drop - 0.012 * chin
    folds["chin"] = 0.22 + 0.7 * chin, ((0.43, low + 0.006), (0.5, low - 0.008), (0.57, low + 0.006))
    return folds


def _of_mouth(person: Identity, u: dict[int, float], corner: tuple[float, float]) -> dict[str, tuple[float, Points]]:
    """Return the folds around one mouth corner; `corner` is its distance from the midline and its y."""
    x, y = corner
    wing, lift = 0.06 * person.nose_width, 0.02 * u[9]
    smile = max(u[12], 0.85 * u[9], 0.35 * u[20], 0.3 * u[15])
    upper = (wing + 0.012, 0.565 - lift), (wing + 0.05, 0.61 - lift)
    dimple = (x + 0.018, y - 0.03), (x + 0.03, y - 0.004), (x + 0.018, y + 0.024)
    droop = (x + 0.006, y + 0.006), (x + 0.018, y + 0.03), (x + 0.014, y + 0.062)
    return {
        "cheek": (0.85 * smile + 0.35 * person.age**2, (*upper, (x + 0.026, y - 0.055), (x + 0.034, y - 0.004))),
        "dimple": (max(0.95 * u[14], 0.3 * u[12]), dimple),
        "droop": (0.8 * u[15] + 0.25 * max(0.0, person.age - 0.5), droop),
        "pout": (0.8 * u[17], ((0.02, 0.875), (0.034, 0.89), (0.026, 0.91))),
    }


def _of_eye(person: Identity, u: dict[int, float], lid: tuple[float, float]) -> dict[str, tuple[float, Points]]:
    """Return the folds around one eye and beside the nose; `lid` is the outer corner's distance and the lowest y."""
    outer, low = lid
    old = max(0.0, person.age - 0.5)
    folds: dict[str, tuple[float, Points]] = {
        "bag": (
            0.75 * max(u[6], 0.7 * u[7]) + 0.3 * person.age**2 + 0.06,
            ((0.10, low + 0.014), (0.155, low + 0.026), (0.215, low + 0.014)),
        ),
        "frown": (0.9 * u[4] + 0.35 * u[9] + 0.2 * old, ((0.022, 0.255), (0.019, 0.29), (0.027, 0.325))),
    }
    for row, (dx, dy) in enumerate(((0.044, -0.026), (0.05, 0.0), (0.042, 0.026))):
        folds[f"crow_{row}"] = 0.75 * u[6] + 0.25 * old, ((outer + 0.014, 0.39 + 0.35 * dy), (outer + dx, 0.392 + dy))
    for row, y in enumerate((0.40, 0.43, 0.46)):
        folds[f"nose_{row}"] = 0.95 * u[9], ((0.008, y - 0.006), (0.028, y), (0.05, y + 0.022))
    return folds


def creases(person: Identity, units: Units, parts: dict[str, FloatArray]) -> dict[str, float]:
    """Add the visible folds to the parts of a face.

    Args:
        person: Identity of the face.
        units: Action units.
        parts: Parts of the face; the folds are added as lines with names that begin with ``fold_``.

    Returns:
        Name -> strength of the added folds, 0..1.
    """
    strengths: dict[str, float] = {}

    def add(name: str, strength: float, points: Points, sign: float = 0.0) -> None:
        if strength > VISIBLE:
            placed = [(0.5 + sign * x, y) for x, y in points] if sign else points
            parts[name] = spline(np.array(placed), steps=3)
            strengths[name] = min(strength, 1.0)

    for fold, (strength, points) in _across(person, units).items():
        add(f"fold_{fold}", strength, points)
    for side, name in enumerate(("left", "right")):
        u = {number: float(value[side]) for number, value in units.items()}
        corner, eye = parts["lip_top"][-side], parts[f"lid_lower_{name}"]
        folds = _of_mouth(person, u, (abs(float(corner[0]) - 0.5), float(corner[1])))
        folds.update(_of_eye(person, u, (abs(float(eye[-1, 0]) - 0.5), float(eye[7, 1]))))
        for fold, (strength, points) in folds.items():
            add(f"fold_{fold}_{name}", strength, points, 2.0 * side - 1.0)
    return strengths


_EAR = pairs((-0.02, 0.37), (0.035, 0.36), (0.05, 0.43), (0.028, 0.53), (0.0, 0.585), (-0.04, 0.52))
_CORE = np.array([0.5, 0.48])
_TONGUE = np.sin(np.linspace(0.0, np.pi, 13))[:, None] ** 0.5 * 0.42


@dataclass(frozen=True, slots=True)
class Geometry:
    """The geometry of a face.

    Attributes:
        parts: Name -> ``(n, 2) float64`` outline or line.
        creases: Name of a soft crease -> its strength, 0..1.
        landmarks: ``(5, 2) float64`` left eye, right eye, nose, left and right mouth corner.
    """

    parts: dict[str, FloatArray]
    creases: dict[str, float]
    landmarks: FloatArray

    def moved(self, parts: dict[str, FloatArray], landmarks: FloatArray) -> Geometry:
        """Return a copy with other parts and landmarks."""
        return replace(self, parts=parts, landmarks=landmarks)


def _mouth_shapes(parts: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the filled and drawn shapes of a mouth from its lip curves."""
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
    """Return the filled and drawn shapes of one eye; the lids clip iris and pupil."""
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
    """Return brow, ear, earring, and the soft areas of the eye socket and the cheek of one side."""
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
    """Build the geometry of a face without hair and clothes.

    Args:
        person: Identity of the face.
        units: Action units.
        gaze: Horizontal and vertical shift of the irises, in half widths of an eye.

    Returns:
        The geometry before the pose is applied.
    """
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


_CENTRE = np.array([0.5, 0.55])
_RADII = np.array([0.42, 0.62])
_HEAD_DEPTH = 0.36
_RAISED = {"tip": 0.085, "wing": 0.05, "nostril": 0.05, "nose": 0.06, "glasses": 0.03, "ear": -0.06, "hair_back": -0.12}


@lru_cache(maxsize=512)
def _depth(part: str) -> float:
    """Return the height of a part above the ellipsoid of the head, by the longest known prefix of its name."""
    return next(
        (_RAISED[start] for start in ("hair_back", part.split("_")[0]) if part.startswith(start) and start in _RAISED),
        0.0,
    )


@dataclass(frozen=True, slots=True)
class Pose:
    """The pose of a head.

    Attributes:
        yaw: Radians, positive to the right in the image.
        pitch: Radians, positive downwards.
        roll: Radians, positive clockwise.
        scale: Size factor.
        shift: (x, y) translation in face sides.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def project(self, points: FloatArray, raised: FloatArray | float = 0.0) -> FloatArray:
        """Project points on the head to the image.

        Args:
            points: ``(n, 2) float64``.
            raised: Height of the points above the head in face sides, a number or ``(n,)``.

        Returns:
            ``(n, 2) float64``.
        """
        offset = (points - _CENTRE) / _RADII
        depth = _HEAD_DEPTH * np.sqrt(np.clip(1.0 - (offset**2).sum(axis=1), 0.0, 1.0)) + raised
        # The plane of the features does not move, as after alignment by the landmarks.
        depth = depth - 0.9 * _HEAD_DEPTH
        turned = points + 0.0
        turned[:, 0] += (points[:, 0] - 0.5) * (np.cos(self.yaw) - 1.0) + depth * np.sin(self.yaw)
        turned[:, 1] += depth * np.sin(self.pitch)
        cos, sin = self.scale * np.cos(self.roll), self.scale * np.sin(self.roll)
        rotation = np.array([[cos, sin], [-sin, cos]])
        moved: FloatArray = (turned - _CENTRE) @ rotation + _CENTRE + np.asarray(self.shift)
        return moved

    def apply(self, geometry: Geometry) -> Geometry:
        """Return the geometry with every part and landmark projected."""
        names = list(geometry.parts)
        sizes = [len(geometry.parts[name]) for name in names]
        depths = [_depth(name) for name in names]
        points = np.concatenate([geometry.parts[name] for name in names] + [geometry.landmarks])
        raised = np.concatenate([np.repeat(depths, sizes), [0.0, 0.0, _RAISED["tip"], 0.0, 0.0]])
        moved = self.project(points, raised)
        ends = np.cumsum(sizes).tolist()
        parts = {name: moved[start:end] for name, start, end in zip(names, [0, *ends], ends, strict=False)}
        return geometry.moved(parts, moved[ends[-1] :])
