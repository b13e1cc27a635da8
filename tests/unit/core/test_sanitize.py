"""Text of files made safe for terminals, spreadsheets and UTF-8."""

from __future__ import annotations

import os

import pytest

from dcdan.core.sanitize import encodable, inert, no_formula, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain.jpg", "plain.jpg"),
        ("Zoë – 顔.jpg".encode(), "Zoë – 顔.jpg"),
        (b"a\xffb.jpg", "a\\udcffb.jpg"),
        ("ë".encode() + b"\xe9.jpg", "ë\\udce9.jpg"),
    ],
)
def test_names_that_are_no_utf_8_can_be_written_anywhere(name: bytes, shown: str) -> None:
    """S9: one escaping; the answer is itself valid UTF-8 and is not escaped twice."""
    text = encodable(os.fsdecode(name))
    assert text == shown
    assert text.encode("utf-8").decode("utf-8") == text
    assert encodable(text) == text


def test_what_drives_a_terminal_is_shown_as_escapes() -> None:
    assert printable("a\x1b[2J\u202eb\n") == "a\\x1b[2J\\u202eb\\n"
    assert inert("a\x1b[2J\u202eb\n\t\u00a0") == "a\\x1b[2J\\u202eb\n\t\u00a0"


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert no_formula(text) == f"'{text}"


@pytest.mark.parametrize("cell", ["-0.5", "+3", "-1.5e-7", "a=1", "", 3, None])
def test_numbers_and_plain_text_stay(cell: object) -> None:
    assert no_formula(cell) == cell
