"""Contact sheets: faces with the predictions of a model below them, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

PAPER, INK = (255, 255, 255), (32, 38, 46)
RIGHT, WRONG = (34, 120, 66), (190, 45, 60)
_GAP, _LINE = 10, 18


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of text below a face.

    Attributes:
        text: the text.
        right: True puts a tick before it, False a cross; None, where no label is known, neither.
    """

    text: str
    right: bool | None = None


@dataclass(frozen=True, slots=True)
class SheetCell:
    """A face with the lines below it.

    Attributes:
        face: ``(S, S, 3)`` RGB or ``(S, S)`` grey, uint8.
        marks: the lines.
    """

    face: np.ndarray
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Faces under a heading, in as many lines as they need.

    Attributes:
        heading: the heading; none when empty.
        cells: the faces.
    """

    heading: str
    cells: tuple[SheetCell, ...]


def sheet_png(rows: Sequence[SheetRow], *, columns: int, side: int = 120) -> bytes:
    """Draw a contact sheet.

    Args:
        rows: groups of faces, from above. Groups without a face are left out.
        columns: number of faces side by side.
        side: width and height of each face in the picture, pixels.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: when there is no face to draw.

    Example:
        >>> face = np.zeros((48, 48), np.uint8)
        >>> sheet_png([SheetRow("anger", (SheetCell(face, (Mark("92 %", True),)),))], columns=3)[:4]
        b'\\x89PNG'
    """
    from PIL import Image

    if not any(row.cells for row in rows):
        raise ValueError("no face to draw")
    letters = _fitting([_text(mark) for row in rows for cell in row.cells for mark in cell.marks], side)
    drawn = [_row(row, columns, side, letters) for row in rows if row.cells]
    height = sum(picture.height for picture in drawn)
    sheet = Image.new("RGB", (drawn[0].width, height), PAPER)
    top = 0
    for picture in drawn:
        sheet.paste(picture, (0, top))
        top += picture.height
    buffer = BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _row(row: SheetRow, columns: int, side: int, letters: int) -> Image:
    from PIL import Image, ImageDraw

    lines = -(-len(row.cells) // columns)
    pitch = side + max(len(cell.marks) for cell in row.cells) * _LINE + _GAP
    head = 30 if row.heading else 0
    picture = Image.new("RGB", (columns * (side + _GAP) + _GAP, head + lines * pitch + _GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    if row.heading:
        draw.text((_GAP, head - 7), row.heading, INK, _font(16, bold=True), anchor="ls")
    for place, cell in enumerate(row.cells):
        left = _GAP + place % columns * (side + _GAP)
        top = head + place // columns * pitch
        face = Image.fromarray(cell.face).convert("RGB")
        picture.paste(face.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        for number, mark in enumerate(cell.marks):
            _mark(draw, mark, left, top + side + 2 + number * _LINE, letters)
    return picture


def _mark(draw: ImageDraw, mark: Mark, left: int, top: int, letters: int) -> None:
    colour = INK if mark.right is None else (RIGHT if mark.right else WRONG)
    draw.text((left, top + _LINE - 4), _text(mark), colour, _font(letters), anchor="ls")


def _text(mark: Mark) -> str:
    return mark.text if mark.right is None else f"{'✓' if mark.right else '✗'} {mark.text}"


def _fitting(texts: Sequence[str], width: int) -> int:
    """Return the size of letters in which every text fits the width; one for a sheet, as mixed sizes look restless."""
    sizes = range(14, 8, -1)
    return next((size for size in sizes if all(_font(size).getlength(text) <= width for text in texts)), 8)


@cache
def _font(size: int, bold: bool = False) -> FreeTypeFont:
    from PIL import ImageFont

    try:
        import matplotlib
    except ModuleNotFoundError:  # of the core install, which has no ticks and crosses to draw
        return cast("FreeTypeFont", ImageFont.load_default(size))
    # matplotlib brings a font with ticks and crosses; Pillow's own has neither.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)
