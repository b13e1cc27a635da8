"""Draw results into images: boxes, numbers, expressions, and a small chart of the probabilities beside each face.

Each expression has a colour, and text on it is dark or light, whichever has the higher contrast.
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

# RGB; hues after the palette of Okabe and Ito, which people with any colour vision can distinguish.
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
    """Return the colour of an expression; a class with another name gets a colour by its index.

    Args:
        expression: Name of the class, or None.
        classes: All classes of the model.

    Returns:
        RGB, 0..255.

    Example:
        >>> colour_of("neutral"), colour_of(None)
        ((204, 204, 204), (160, 160, 160))
    """
    if expression in COLOURS:
        return COLOURS[expression]
    if expression is None or expression not in classes:
        return WITHOUT_EXPRESSION
    palette = list(COLOURS.values())
    return palette[classes.index(expression) % len(palette)]


def ink_on(colour: Colour) -> Colour:
    """Return the text colour, dark or light, that has the higher contrast on a background colour.

    Example:
        >>> ink_on((240, 228, 66)) == DARK
        True
    """
    return max(DARK, LIGHT, key=lambda ink: contrast(ink, colour))


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of two RGB colours, 1..21 (WCAG 2.2; text should have at least 4.5).

    Example:
        >>> round(contrast((0, 0, 0), (255, 255, 255)), 3)
        21.0
    """
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: Colour) -> float:
    """Return the relative luminance of an sRGB colour, 0..1 (WCAG 2.2).

    Example:
        >>> luminance((0, 0, 0)), round(luminance((255, 255, 255)), 3)
        (0.0, 1.0)
    """
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
# A chart is omitted if faces, labels and other charts would overlap more than this share of it.
_COVERED = 0.3
_TRACK = (90, 90, 90)
_PANEL = 0.72


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths in pixels for the annotations of an image.

    Attributes:
        line: Thickness of a box.
        text: Font scale of labels.
        small: Font scale of charts.
        height: Height of a label.
        row: Height of a row of a chart.
        gap: Space between elements.
    """

    line: int
    text: float
    small: float
    height: int
    row: int
    gap: int

    @classmethod
    def of(cls, picture: Image) -> Sizes:
        """Return the lengths for an image, in proportion to its shorter side, with a readable minimum."""
        height = max(14, round(min(picture.shape[:2]) / 32))
        row = max(11, round(0.72 * height))
        return cls(max(2, height // 9), height / 30, row / 28, height, row, max(3, height // 4))


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a face.

    Attributes:
        text: The text.
        scale: Font scale.
        box: The area that it fills.
    """

    text: str
    scale: float
    box: Box


def draw(picture: Image, results: Iterable[FaceResult], *, charts: bool = True) -> Image:
    """Draw faces into a copy of an image.

    Args:
        picture: ``(H, W, 3) uint8`` RGB.
        results: Results for the image; those without a box are ignored.
        charts: Whether to draw a chart of all probabilities beside each face that has enough space.

    Returns:
        ``(H', W', 3) uint8`` RGB: the same size, or an integer multiple if the shorter side is below 360 pixels, so
        that the text is readable.

    Example:
        >>> draw(np.zeros((400, 500, 3), np.uint8), []).shape
        (400, 500, 3)
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
    """Return the position of a chart beside, below or above its face where it covers the least.

    Args:
        shape: (height, width) of the image.
        face: x0, y0, x1, y1 of the face.
        top: Upper edge of the label, above the face or inside it.
        size: (width, height) of the chart.
        taken: Boxes that should not be covered.
        gap: Space between face and chart.

    Returns:
        x0, y0, x1, y1 of the chart.
    """
    (height, width), (w, h), (x0, y0, x1, y1) = shape, size, face
    corners = [(x1 + gap, y0), (x0 - gap - w, y0), (x0, y1 + gap), (x0, min(y0, top) - gap - h), (x1 - w, y1 - h)]
    places = []
    for x, y in corners:
        left, top = max(0, min(x, width - w)), max(0, min(y, height - h))
        places.append((left, top, left + w, top + h))
    return min(places, key=lambda place: sum(_shared(place, other) for other in taken))


def label_of(shape: tuple[int, int], result: FaceResult, box: Box, sizes: Sizes) -> Label:
    """Return the label of a face, fitted to its box while it is readable; the probability is dropped first.

    Args:
        shape: (height, width) of the image.
        result: Result of the face.
        box: x0, y0, x1, y1 of the face.
        sizes: Lengths for the image.

    Returns:
        The label.
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
    """Return the possible texts of a label, the longest first."""
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
    """Write a line of text that is vertically centred in a band of this height below ``corner``."""
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
