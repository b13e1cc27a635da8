"""A colour for each expression, and the ink that can be read on it."""

from __future__ import annotations

from collections.abc import Sequence

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
