"""Files from elsewhere, read within bounds: no larger or deeper than they have reason to be, not out of their folder.

What is wrong is a ValueError in words, for the caller to put in its own sentence.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_BYTES = 4 << 20
LONGEST_LINE = 1 << 20
DEEPEST = 64
_MOST_DOTS = 100


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return a small UTF-8 text file; raise OSError, or ValueError when it has more than ``most`` bytes or is no text.

    Only so much is ever read, whatever the file is.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most} bytes")
    return content.decode("utf-8")


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Return what a small JSON file holds; raise OSError, or ValueError also when it is nested deeper than DEEPEST."""
    return _shallow(parse_json(read_text(path, most)))


def parse_json(text: str) -> Any:
    """Return what JSON text holds; raise ValueError."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_toml(path: Path, *, expand: bool = False) -> dict[str, Any]:
    """Return what a small TOML file holds; raises as :func:`read_json`.

    With ``expand``, ``$NAME`` stands for a variable of the environment.
    """
    text = os.path.expandvars(read_text(path)) if expand else read_text(path)
    # The time that a key takes grows with the square of its parts.
    if any(line.count(".") > _MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line has more than {_MOST_DOTS} dots")
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _shallow(content)
    return content


def _shallow(content: Any) -> Any:
    level = [content]
    for _ in range(DEEPEST):
        held = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [child for children in held for child in children]
        if not level:
            return content
    raise ValueError(f"it is nested more than {DEEPEST} deep")


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a table of any length, with their ends; what is no UTF-8 is replaced.

    Raises OSError, and ValueError at a line that is longer than LONGEST_LINE letters.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise ValueError(f"a line is longer than {LONGEST_LINE} letters")
            yield line


def within(folder: Path, path: Path) -> bool:
    """Return whether a path, all links followed, lies in a folder or is that folder."""
    return path.resolve().is_relative_to(folder.resolve())
