"""Contact sheets: every face is there, where it belongs, with its lines below."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dcdan.plots.contact_sheet import RIGHT, WRONG, Mark, SheetCell, SheetRow, sheet_png

SIDE, GAP = 40, 10


def plain(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((16, 16, 3), colour, np.uint8)


def drawn(rows: list[SheetRow], columns: int = 2) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(sheet_png(rows, columns=columns, side=SIDE))))


def test_faces_stand_in_reading_order() -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    sheet = drawn([SheetRow("", tuple(SheetCell(plain(colour), ()) for colour in colours))])
    assert sheet.shape == (2 * (SIDE + GAP) + GAP, 2 * (SIDE + GAP) + GAP, 3)
    centre = GAP + SIDE // 2
    assert tuple(sheet[SIDE // 2, centre]) == colours[0]
    assert tuple(sheet[SIDE // 2, centre + SIDE + GAP]) == colours[1]
    assert tuple(sheet[SIDE // 2 + SIDE + GAP, centre]) == colours[2]


def test_right_and_wrong_answers_differ_in_colour_and_sign() -> None:
    def inked(mark: Mark) -> tuple[int, int, np.ndarray]:
        below = drawn([SheetRow("", (SheetCell(plain((255, 255, 255)), (mark,)),))], columns=3)[SIDE:].reshape(-1, 3)
        near = [int((np.abs(below.astype(int) - ink).sum(1) < 60).sum()) for ink in (RIGHT, WRONG)]
        return near[0], near[1], below

    right, wrong, unknown = (inked(Mark("fear", value)) for value in (True, False, None))
    assert right[0] > 10 > right[1]
    assert wrong[1] > 10 > wrong[0]
    assert unknown[0] == unknown[1] == 0
    assert (unknown[2] < 128).any()


def test_headings_take_room_and_empty_rows_none() -> None:
    face = SheetCell(plain((9, 9, 9)), ())
    without, headed = drawn([SheetRow("", (face,))]), drawn([SheetRow("fear", (face,)), SheetRow("anger", ())])
    assert headed.shape[0] == without.shape[0] + 30
    assert (headed[:30] < 100).any()


def test_grey_faces_and_long_names_fit() -> None:
    cell = SheetCell(np.full((16, 16), 7, np.uint8), (Mark("a name that is far too long for its face", True),))
    assert (drawn([SheetRow("", (cell, cell))])[5, GAP + 5] == 7).all()


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="no face"):
        sheet_png([SheetRow("fear", ())], columns=2)
