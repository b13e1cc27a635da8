"""Occlusions of faces in the domain `street`: glasses and a hand."""

from __future__ import annotations

import cv2
import numpy as np

from dcdan.datasets.synthetic.action_units import FloatArray
from dcdan.datasets.synthetic.drawing import Canvas, Image, Pixels, mix, shaded, to_pixels
from dcdan.datasets.synthetic.features import SIDES, ribbon, spline
from dcdan.datasets.synthetic.geometry import Geometry
from dcdan.datasets.synthetic.identity import Colour, Identity

_GLASSES = 0.22
_HAND = 0.14
_FRAMES: tuple[Colour, ...] = ((30, 28, 30), (92, 56, 34), (120, 122, 128), (128, 32, 44))
_SQUARE: FloatArray = np.array(
    [(-1.0, -0.75), (0.0, -0.95), (1.0, -0.8), (0.98, 0.3), (0.7, 0.9), (0.0, 1.0), (-0.7, 0.85), (-0.95, 0.2)]
)


def _glasses(rng: np.random.Generator, person: Identity) -> dict[str, FloatArray]:
    """Return the rims of both lenses, the bridge and the temples."""
    width, height = rng.uniform(0.118, 0.135), rng.uniform(0.082, 0.105)
    lens = spline(_SQUARE, closed=True, steps=4) * (width, height)
    parts = {}
    for side, name in enumerate(SIDES):
        sign = 2 * side - 1
        parts[f"glasses_{name}"] = lens * (sign, 1.0) + (0.5 + sign * person.eye_spacing, 0.405)
        outer = person.eye_spacing + width
        parts[f"glasses_temple_{name}"] = np.array(
            [(0.5 + sign * outer, 0.37), (0.5 + sign * (person.half_width + 0.02), 0.385)]
        )
    inner = person.eye_spacing - width
    parts["glasses_bridge"] = spline(np.array([(0.5 - inner, 0.385), (0.5, 0.372), (0.5 + inner, 0.385)]), steps=4)
    return parts


def _hand(rng: np.random.Generator) -> dict[str, FloatArray]:
    """Return the fingers and palm of a hand at a cheek, the chin or the forehead; the middle of the face is free."""
    sign = 1.0 if rng.random() < 0.5 else -1.0
    kind = rng.integers(3)
    start, direction = ((0.37, 0.93), -1.3) if kind < 2 else ((0.40, 0.0), 1.95)
    if kind == 1:
        start, direction = (0.12, 1.12), -1.5
    base = np.array(start) + rng.normal(0, 0.02, 2)
    parts = {}
    for finger in range(4):
        angle = direction + 0.10 * (finger - 1.5) + rng.normal(0, 0.03)
        across = np.array([-np.sin(direction), np.cos(direction)]) * 0.052 * (finger - 1.5)
        length = (0.25, 0.29, 0.28, 0.22)[finger] * rng.uniform(0.85, 1.05)
        along = np.linspace(0.0, 1.0, 7)[:, None] * np.array([np.cos(angle), np.sin(angle)]) * length
        centre = base + across + along
        width = np.array([0.028, 0.028, 0.0275, 0.027, 0.0255, 0.021, 0.009])
        parts[f"hand_{finger}"] = ribbon(centre, width) * (sign, 1.0) + (0.5, 0.0)
    palm = base + np.array([np.cos(direction), np.sin(direction)]) * np.linspace(0.06, -0.4, 4)[:, None]
    parts["hand_palm"] = ribbon(palm, np.array([0.09, 0.115, 0.12, 0.12])) * (sign, 1.0) + (0.5, 0.0)
    return parts


def draw_cover(rng: np.random.Generator, person: Identity) -> dict[str, FloatArray]:
    """Sample the occlusions of a face; most faces have none.

    Args:
        rng: Random number generator.
        person: Identity of the face.

    Returns:
        Name -> ``(n, 2) float64`` parts, to be posed together with the face.
    """
    parts: dict[str, FloatArray] = {}
    if rng.random() < _GLASSES:
        parts.update(_glasses(rng, person))
    if rng.random() < _HAND:
        parts.update(_hand(rng))
    return parts


def cover(rng: np.random.Generator, image: Image, person: Identity, posed: Geometry) -> None:
    """Paint glasses and hand over an image, in place.

    Args:
        rng: Random number generator.
        image: ``(S, S, 3) uint8`` RGB.
        person: Identity of the face.
        posed: Geometry after the pose is applied.
    """
    worn = {name: points for name, points in posed.parts.items() if name.startswith(("glasses", "hand"))}
    if not worn:
        return
    canvas = Canvas(image)
    parts = to_pixels(worn, canvas.side)
    if "glasses_bridge" in parts:
        _paint_glasses(rng, canvas, parts)
    if "hand_palm" in parts:
        skin = shaded(person.skin, 0.97)
        canvas.fill(parts["hand_palm"], skin)
        for finger in range(4):
            outline = parts[f"hand_{finger}"]
            canvas.fill(outline, skin)
            canvas.line(outline, shaded(skin, 0.72), 0.006)
            nail = outline[4:10].mean(axis=0).astype(np.int32)
            canvas.line(np.stack([nail, nail]), mix(skin, (255.0, 225.0, 220.0), 0.5), 0.02)


def _paint_glasses(rng: np.random.Generator, canvas: Canvas, parts: dict[str, Pixels]) -> None:
    frame = _FRAMES[int(rng.integers(len(_FRAMES)))]
    width = rng.uniform(0.008, 0.018)
    tinted = rng.random() < 0.2
    for name in SIDES:
        lens = parts[f"glasses_{name}"]
        if tinted:
            glass = canvas.image.copy()
            Canvas(glass).fill(lens, shaded(frame, 0.8))
            cv2.addWeighted(canvas.image, 0.55, glass, 0.45, 0.0, dst=canvas.image)
        canvas.line(lens, frame, width, closed=True)
        canvas.line(parts[f"glasses_temple_{name}"], frame, width)
    canvas.line(parts["glasses_bridge"], frame, width)
