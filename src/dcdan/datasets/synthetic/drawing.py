"""Painting of a posed face: filled outlines in colour, with soft shading between skin and features."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dcdan.datasets.synthetic.action_units import FloatArray
from dcdan.datasets.synthetic.features import SIDES
from dcdan.datasets.synthetic.geometry import Geometry
from dcdan.datasets.synthetic.identity import Colour, Identity

Image = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.int32]
SUPERSAMPLING = 2
_SHIFT = 4
_NEUTRAL = 128


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Interpolate between two colours.

    Args:
        first: RGB, 0..255.
        second: RGB, 0..255.
        share: Weight of the second colour, 0..1.

    Returns:
        RGB, 0..255.

    Example:
        >>> mix((0.0, 0.0, 0.0), (100.0, 50.0, 0.0), 0.5)
        (50.0, 25.0, 0.0)
    """
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )


def shaded(colour: Colour, factor: float) -> Colour:
    """Multiply the brightness of a colour by a factor; the result is limited to 255.

    Example:
        >>> shaded((200.0, 100.0, 50.0), 2.0)
        (255.0, 200.0, 100.0)
    """
    return min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0)


def to_pixels(parts: dict[str, FloatArray], side: int) -> dict[str, Pixels]:
    """Convert all parts to fixed-point pixels at once.

    Args:
        parts: Name -> ``(n, 2) float64`` points in units of the side of the image.
        side: Side of the image in pixels.

    Returns:
        Name -> ``(n, 2) int32`` points for OpenCV, with 4 fractional bits.
    """
    ends = np.cumsum([len(points) for points in parts.values()]).tolist()
    joined = np.concatenate(list(parts.values())) * (side << _SHIFT) - (1 << (_SHIFT - 1))
    fixed = np.rint(joined).astype(np.int32)
    return {name: fixed[start:end] for name, start, end in zip(parts, [0, *ends], ends, strict=False)}


class Canvas:
    """An image on which anti-aliased shapes are drawn, given as fixed-point pixels (n, 2).

    Args:
        image: ``(S, S, 3)`` or ``(S, S) uint8``; it is modified in place.
        reduced: Binary logarithm of the ratio between the size that the shapes refer to and the size of the image.
    """

    def __init__(self, image: Image, reduced: int = 0) -> None:
        self.image = image
        self.side = image.shape[0]
        self._shift = _SHIFT + reduced

    def fill(self, points: Pixels, colour: Colour | float) -> None:
        """Fill a closed outline.

        Args:
            points: ``(n, 2) int32`` fixed-point pixels.
            colour: RGB or grey level, 0..255.
        """
        cv2.fillPoly(self.image, [points], colour, cv2.LINE_AA, self._shift)

    def line(self, points: Pixels, colour: Colour | float, width: float, closed: bool = False) -> None:
        """Draw a polyline that is at least one pixel wide.

        Args:
            points: ``(n, 2) int32`` fixed-point pixels.
            colour: RGB or grey level, 0..255.
            width: Width in units of the side of the image.
            closed: Whether to connect the last point to the first.
        """
        thickness = max(1, round(width * self.side))
        cv2.polylines(self.image, [points], closed, colour, thickness, cv2.LINE_AA, self._shift)


def _form(parts: dict[str, Pixels], person: Identity, side: int) -> Image:
    """Return the soft, large-scale shading (side, side) of the head; 128 leaves a colour unchanged."""
    canvas = Canvas(np.full((side // 2, side // 2), 106, np.uint8), 2)
    canvas.fill(parts["neck"], 82.0)
    canvas.fill(parts["head"], 108.0)
    canvas.fill(parts["head_core"], 130.0)
    if person.beard == "stubble":
        canvas.fill(parts["beard"], 106.0)
    for name in SIDES:
        canvas.fill(parts[f"socket_{name}"], 117.0)
        canvas.fill(parts[f"cheek_{name}"], 140.0)
        canvas.line(parts[f"ridge_{name}"], 111.0, 0.03)
    canvas.fill(parts["nose_shadow"], 102.0)
    canvas.fill(parts["nose_light"], 148.0)
    return np.asarray(cv2.resize(cv2.GaussianBlur(canvas.image, (0, 0), side / 40), (side, side)), np.uint8)


def _folds(parts: dict[str, Pixels], creases: dict[str, float], side: int) -> Image:
    """Return the finer shading (side, side) of creases."""
    canvas = Canvas(np.full((side, side), _NEUTRAL, np.uint8), 1)
    for fold, strength in creases.items():
        canvas.line(parts[fold], _NEUTRAL - 78.0 * strength, 0.009)
    for name in SIDES:
        canvas.line(parts[f"wing_{name}"], 86.0, 0.009)
    canvas.line(parts["nose_base"], 98.0, 0.009)
    canvas.line(parts["lip_shadow"], 98.0, 0.016)
    return np.asarray(cv2.GaussianBlur(canvas.image, (3, 3), 0), np.uint8)


def _shade(image: Image, parts: dict[str, Pixels], person: Identity, creases: dict[str, float]) -> None:
    """Multiply the image by both shadings, in place."""
    side = image.shape[0]
    field = cv2.multiply(_form(parts, person, side // 2), _folds(parts, creases, side // 2), scale=1 / _NEUTRAL)
    field = cv2.cvtColor(cv2.resize(field, (side, side)), cv2.COLOR_GRAY2RGB)
    cv2.multiply(image, field, dst=image, scale=1 / _NEUTRAL)


def _skin(canvas: Canvas, person: Identity, parts: dict[str, Pixels]) -> None:
    skin = person.skin
    if "hair_back" in parts:
        back = person.clothes if person.hair_style == "scarf" else shaded(person.hair, 0.72)
        canvas.fill(parts["hair_back"], back)
    canvas.fill(parts["neck"], shaded(skin, 0.94))
    canvas.fill(parts["shoulders"], person.clothes)
    for name in SIDES:
        canvas.fill(parts[f"ear_{name}"], shaded(skin, 0.92))
    canvas.fill(parts["head"], skin)
    if person.beard in ("goatee", "full"):
        canvas.fill(parts["beard"], mix(skin, person.hair, 0.82))


def _eyes(canvas: Canvas, person: Identity, parts: dict[str, Pixels]) -> None:
    skin = person.skin
    lash = mix(shaded(skin, 0.35), (24.0, 18.0, 18.0), 0.5 + 0.5 * person.lashes)
    brow = mix(shaded(person.hair, 0.85), shaded(skin, 0.55), 0.25)
    for name in SIDES:
        canvas.line(parts[f"crease_{name}"], shaded(skin, 0.70), 0.006)
        canvas.fill(parts[f"eye_{name}"], (238.0, 235.0, 232.0))
        iris = parts[f"iris_{name}"]
        canvas.fill(iris, person.iris)
        canvas.fill(parts[f"pupil_{name}"], (18.0, 14.0, 14.0))
        if np.ptp(iris[:, 1]) > 0.025 * (canvas.side << _SHIFT):
            canvas.fill(parts[f"glint_{name}"], (250.0, 250.0, 250.0))
        canvas.line(parts[f"lid_lower_{name}"], shaded(skin, 0.58), 0.006)
        canvas.line(parts[f"lid_upper_{name}"], lash, 0.011 + 0.005 * person.lashes)
        canvas.fill(parts[f"brow_{name}"], brow)


def _mouth(canvas: Canvas, person: Identity, parts: dict[str, Pixels]) -> None:
    skin = person.skin
    red = (min(255.0, skin[0] * 0.86), skin[1] * 0.52, skin[2] * 0.55)
    lip = mix(shaded(skin, 0.84), red, 0.35 + 0.65 * person.lip_colour)
    canvas.fill(parts["mouth_upper"], shaded(lip, 0.86))
    canvas.fill(parts["mouth_lower"], lip)
    gap = int((parts["lip_bottom"] - parts["lip_top"])[:, 1].max()) / (canvas.side << _SHIFT)
    if gap > 0.006:
        canvas.fill(parts["mouth_hole"], (58.0, 20.0, 24.0))
        if gap > 0.05:
            canvas.fill(parts["tongue"], (160.0, 74.0, 78.0))
        canvas.fill(parts["teeth"], (240.0, 236.0, 226.0))
    canvas.line(parts["lip_top"], shaded(lip, 0.42), 0.007)
    canvas.line(parts["lip_light"], mix(lip, (255.0, 235.0, 230.0), 0.16), 0.009)


def _hair(canvas: Canvas, person: Identity, parts: dict[str, Pixels]) -> None:
    colour = person.clothes if person.hair_style == "scarf" else person.hair
    if "moustache" in parts:
        canvas.fill(parts["moustache"], person.hair)
    for name in (name for name in parts if name.startswith("hair_front")):
        canvas.fill(parts[name], colour)
    for row, name in enumerate(name for name in parts if name.startswith("hair_strand")):
        canvas.line(parts[name], mix(colour, (255.0, 240.0, 220.0), 0.18) if row % 2 else shaded(colour, 0.75), 0.008)


def _spots(canvas: Canvas, person: Identity, parts: dict[str, Pixels]) -> None:
    for name in SIDES:
        canvas.fill(parts[f"nostril_{name}"], shaded(person.skin, 0.45))
        if person.freckles > 0.0:
            colour = mix(person.skin, (150.0, 92.0, 60.0), 0.3 + 0.3 * person.freckles)
            for point in parts[f"freckle_{name}"]:
                canvas.line(np.stack([point, point + 8]), colour, 0.007)
        if person.earrings and person.hair_style not in ("long", "bob", "scarf"):
            canvas.fill(parts[f"earring_{name}"], (226.0, 196.0, 110.0))


def paint(background: Image, person: Identity, geometry: Geometry) -> Image:
    """Paint a face over a background, in place.

    Args:
        background: ``(S, S, 3) uint8`` RGB.
        person: Identity, which gives the colours.
        geometry: Outlines after the pose is applied.

    Returns:
        The background with the face.
    """
    canvas = Canvas(background)
    parts = to_pixels(geometry.parts, canvas.side)
    _skin(canvas, person, parts)
    _shade(background, parts, person, geometry.creases)
    _spots(canvas, person, parts)
    _eyes(canvas, person, parts)
    _mouth(canvas, person, parts)
    _hair(canvas, person, parts)
    return background
