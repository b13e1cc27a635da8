"""Results drawn into pictures, in a colour for each expression.

A colour for each expression, and the ink that can be read on it.

Results drawn into pictures: boxes, numbers, expressions, and a small chart of the probabilities beside each face.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dcdan.inference.table import FaceResult

Colour = tuple[int, int, int]

DARK: Colour = (24, 24, 24)
LIGHT: Colour = (255, 255, 255)

# RGB; hues after Okabe and Ito's palette, which people of all kinds of colour vision can tell apart.
COLOURS: dict[str, Colour] = {
    "surprise": (230, 159, 0),
    "fear": (176, 130, 255),
    "disgust": (0, 176, 128),
    "happiness": (240, 228, 66),
    "sadness": (86, 180, 233),
    "anger": (255, 112, 80),
    "neutral": (204, 204, 204),
    "contempt": (228, 135, 190),
}
WITHOUT_EXPRESSION: Colour = (160, 160, 160)


def colour_of(expression: str | None, classes: Sequence[str] = ()) -> Colour:
    """Return the colour of an expression; a class of another name gets one by its place among the classes."""
    if expression in COLOURS:
        return COLOURS[expression]
    if expression is None or expression not in classes:
        return WITHOUT_EXPRESSION
    palette = list(COLOURS.values())
    return palette[classes.index(expression) % len(palette)]


def ink_on(colour: Colour) -> Colour:
    """Return dark or light, whichever can be read better on a colour."""
    return max(DARK, LIGHT, key=lambda ink: contrast(ink, colour))


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast of two colours, 1..21 (WCAG 2.2; text should have 4.5)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: Colour) -> float:
    """Return the relative luminance of an sRGB colour, 0..1 (WCAG 2.2)."""
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (channel / 255 for channel in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Below this shorter side letters cannot be read, so the picture is enlarged.
_LEAST_SIDE = 360
# The smallest font that can be read, at about 9 pixels.
_LEAST_TEXT = 0.34
# A chart that would cover more than this share of itself in faces, labels and other charts is left out.
_COVERED = 0.3
_TRACK = (90, 90, 90)
_PANEL = 0.72


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths in pixels that fit a picture.

    Attributes:
        line: thickness of a box.
        text: scale of the font for labels; charts have ``small``.
        height: of a label.
        row: height of a row of a chart.
        gap: between things.
    """

    line: int
    text: float
    small: float
    height: int
    row: int
    gap: int

    @classmethod
    def of(cls, picture: Image) -> Sizes:
        """Return the lengths for a picture: text is a fortieth of its shorter side, and never tiny."""
        height = max(14, round(min(picture.shape[:2]) / 32))
        row = max(11, round(0.72 * height))
        return cls(max(2, height // 9), height / 30, row / 28, height, row, max(3, height // 4))


@dataclass(frozen=True, slots=True)
class Label:
    """What stands above a face: its text, the scale of the font, and the box that it fills."""

    text: str
    scale: float
    box: Box


def draw(picture: Image, results: Iterable[FaceResult], *, charts: bool = True) -> Image:
    """Return the picture with its faces drawn in; the one given is left as it is.

    Args:
        picture: (H, W, 3) uint8 RGB.
        results: what was recognised in it; results without a box are passed over.
        charts: whether a chart of all probabilities stands beside each face that has room for one.

    Returns:
        (H', W', 3) uint8 RGB: of the same size, or a whole number of times as large when its shorter side is below
        360 pixels, so that the text can be read.
    """
    times = max(1, -(-_LEAST_SIDE // max(1, min(picture.shape[:2]))))
    out = np.repeat(np.repeat(picture, times, axis=0), times, axis=1) if times > 1 else picture.copy()
    sizes = Sizes.of(out)
    faces = [(result, _scaled(result.box, times)) for result in results if result.box is not None]
    # The largest come last, so that their labels lie on top of those of small faces behind them.
    faces.sort(key=lambda face: _area(face[1]))
    labels = [label_of(out.shape[:2], result, box, sizes) for result, box in faces]
    taken = [box for _, box in faces] + [label.box for label in labels]
    if charts:
        for (result, box), label in zip(faces, labels, strict=True):
            if result.probabilities:
                place = free_place(out.shape[:2], box, label.box[1], _chart_size(result, sizes), taken, sizes.gap)
                if sum(_shared(place, other) for other in taken) <= _COVERED * _area(place):
                    taken.append(place)
                    _draw_chart(out, result, place, sizes)
    for (result, box), label in zip(faces, labels, strict=True):
        _draw_face(out, result, box, label, sizes)
    return out


def free_place(
    shape: tuple[int, int], face: Box, top: int, size: tuple[int, int], taken: Sequence[Box], gap: int
) -> Box:
    """Return where a chart of ``size`` (width, height) goes: beside, below or above its face, where least is covered.

    Args:
        shape: height and width of the picture.
        face: x0, y0, x1, y1 of the face.
        top: where its label begins, above the face or in it.
        size: width and height of the chart.
        taken: boxes that should not be covered.
        gap: between face and chart.
    """
    (height, width), (w, h), (x0, y0, x1, y1) = shape, size, face
    corners = [(x1 + gap, y0), (x0 - gap - w, y0), (x0, y1 + gap), (x0, min(y0, top) - gap - h), (x1 - w, y1 - h)]
    places = []
    for x, y in corners:
        left, top = max(0, min(x, width - w)), max(0, min(y, height - h))
        places.append((left, top, left + w, top + h))
    return min(places, key=lambda place: sum(_shared(place, other) for other in taken))


def label_of(shape: tuple[int, int], result: FaceResult, box: Box, sizes: Sizes) -> Label:
    """Return a face's label, as wide as its box at most where it can be read then; the probability goes first.

    ``shape`` is the picture's height and width.
    """
    texts = _texts(result)
    room = box[2] - box[0] - 2 * sizes.gap
    scales = [min(sizes.text, sizes.text * room / max(1, _width(text, sizes.text))) for text in texts]
    fitting = [pair for pair in zip(texts, scales, strict=True) if pair[1] >= min(_LEAST_TEXT, sizes.text)]
    text, scale = fitting[0] if fitting else (texts[-1], min(_LEAST_TEXT, sizes.text))
    width, height = _width(text, scale) + 2 * sizes.gap, round(sizes.height * scale / sizes.text) + sizes.gap
    x = max(0, min(box[0] - sizes.line // 2, shape[1] - width - 1))
    y = box[1] - height if box[1] >= height else max(0, min(box[1], shape[0] - height - 1))
    return Label(text, scale, (x, y, x + width, y + height))


def _draw_face(out: Image, result: FaceResult, box: Box, label: Label, sizes: Sizes) -> None:
    colour = colour_of(result.expression, list(result.probabilities))
    # A dark edge on both sides keeps the line visible on any background.
    cv2.rectangle(out, box[:2], box[2:], DARK, sizes.line + 2, cv2.LINE_AA)
    cv2.rectangle(out, box[:2], box[2:], colour, sizes.line, cv2.LINE_AA)
    (x0, y0, _, y1) = label.box
    cv2.rectangle(out, label.box[:2], label.box[2:], colour, cv2.FILLED)
    _write(out, label.text, (x0 + sizes.gap, y0), y1 - y0, label.scale, ink_on(colour))


def _texts(result: FaceResult) -> list[str]:
    """Return what a label may say, the whole first, then less."""
    number = result.track if result.track is not None else result.face
    name = " ".join(
        part for part in ("" if number is None else f"{number}", result.expression or result.status) if part
    )
    doubt = "?" if result.unsure else ""
    if result.probability is None:
        return [name + doubt]
    return [f"{name} {100 * result.probability:.0f}%{doubt}", name + doubt]


def _chart_size(result: FaceResult, sizes: Sizes) -> tuple[int, int]:
    names = max(_width(name, sizes.small) for name in result.probabilities)
    return names + _bar(sizes) + 3 * sizes.gap, len(result.probabilities) * sizes.row + 2 * sizes.gap


def _bar(sizes: Sizes) -> int:
    return 5 * sizes.row


def _draw_chart(out: Image, result: FaceResult, place: Box, sizes: Sizes) -> None:
    x0, y0, x1, y1 = place
    panel = out[y0:y1, x0:x1]
    panel[:] = np.rint((1 - _PANEL) * panel + _PANEL * np.array(DARK)).astype(np.uint8)
    classes = list(result.probabilities)
    left = x1 - sizes.gap - _bar(sizes)
    for number, (name, probability) in enumerate(result.probabilities.items()):
        top = y0 + sizes.gap + number * sizes.row
        _write(out, name, (x0 + sizes.gap, top), sizes.row, sizes.small, LIGHT)
        upper, lower = (left, top + 2), (left + _bar(sizes), top + sizes.row - 2)
        cv2.rectangle(out, upper, lower, _TRACK, cv2.FILLED)
        filled = round(_bar(sizes) * min(max(probability, 0.0), 1.0))
        if filled:
            cv2.rectangle(out, upper, (left + filled, lower[1]), colour_of(name, classes), cv2.FILLED)


def _write(out: Image, text: str, corner: tuple[int, int], height: int, scale: float, ink: Colour) -> None:
    """Write a line of text whose capitals stand in the middle of a band of that height below ``corner``."""
    capital = cv2.getTextSize("H", _FONT, scale, 1)[0][1]
    base = (corner[0], corner[1] + (height + capital) // 2)
    cv2.putText(out, text, base, _FONT, scale, ink, _thickness(scale), cv2.LINE_AA)


def _width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, _FONT, scale, _thickness(scale))[0][0])


def _thickness(scale: float) -> int:
    return max(1, round(1.8 * scale))


def _scaled(box: tuple[float, float, float, float], times: int) -> Box:
    x0, y0, x1, y1 = (round(times * value) for value in box)
    return (x0, y0, x1, y1)


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _shared(one: Box, other: Box) -> int:
    return _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
