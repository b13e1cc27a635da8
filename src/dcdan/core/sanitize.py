"""Untrusted text made safe for terminals and spreadsheets."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")


def printable(text: str) -> str:
    r"""Return text as one line in which every non-printable character is escaped.

    Args:
        text: Any text.

    Returns:
        Text without line breaks and control characters.

    Example:
        >>> printable("a\nb")
        'a\\nb'
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def encodable(text: str) -> str:
    r"""Return text that can be encoded as UTF-8; undecodable bytes of a file name become escapes.

    All tables (CSV, JSON lines, Parquet and data frames) escape names with this function.

    Args:
        text: Any text, also with surrogate escapes.

    Returns:
        Valid Unicode text.

    Example:
        >>> import os
        >>> encodable(os.fsdecode(b"Zo" + bytes([255]) + b".jpg")), encodable("Zoë.jpg")
        ('Zo\\udcff.jpg', 'Zoë.jpg')
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def inert(text: str) -> str:
    r"""Return text in which characters that control a terminal or change the writing direction are escaped.

    Line breaks, tabs and spaces of any kind are preserved.

    Args:
        text: Any text.

    Returns:
        Text that is safe to print.

    Example:
        >>> inert("a\x1b[2J\u202eb")
        'a\\x1b[2J\\u202eb'
    """
    return text if text.isprintable() else "".join(each if _is_shown(each) else ascii(each)[1:-1] for each in text)


def no_formula(cell: Any) -> Any:
    """Prefix a cell that a spreadsheet would execute as a formula with an apostrophe (CSV injection).

    Args:
        cell: A value of a table; numbers, also as text, are returned unchanged.

    Returns:
        The safe value.

    Example:
        >>> no_formula("=1+1"), no_formula("-0.5"), no_formula(-3)
        ("'=1+1", '-0.5', -3)
    """
    if not isinstance(cell, str) or cell[:1] not in _FORMULA or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in "\n\t" or unicodedata.category(letter) == "Zs"
