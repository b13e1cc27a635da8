"""Text that a file, a name or a library has given, made safe for a terminal and for a spreadsheet."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")


def printable(text: str) -> str:
    """Return text in one line that changes nothing of the terminal: what cannot be printed is shown as an escape.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def encodable(text: str) -> str:
    r"""Return text that every UTF-8 file can hold: bytes of a file name that are no UTF-8 are shown as escapes.

    The one escaping of names in CSV, JSON lines, Parquet and data frames.

    Example:
        >>> import os
        >>> encodable(os.fsdecode(b"Zo" + bytes([255]) + b".jpg")), encodable("Zoë.jpg")
        ('Zo\\udcff.jpg', 'Zoë.jpg')
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def inert(text: str) -> str:
    r"""Return text whose characters that drive a terminal or turn the direction of writing are shown as escapes.

    Lines, tabs and spaces of any kind stay.

    >>> inert("a\x1b[2J\u202eb")
    'a\\x1b[2J\\u202eb'
    """
    return text if text.isprintable() else "".join(each if _is_shown(each) else ascii(each)[1:-1] for each in text)


def no_formula(cell: Any) -> Any:
    """Return a cell of a table in which text that a spreadsheet would run has an apostrophe before it (CSV injection).

    Numbers, as such or as text, stay.

    >>> no_formula("=1+1"), no_formula("-0.5"), no_formula(-3)
    ("'=1+1", '-0.5', -3)
    """
    if not isinstance(cell, str) or cell[:1] not in _FORMULA or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in "\n\t" or unicodedata.category(letter) == "Zs"
