"""A source that goes away while it is read, such as a drive: told apart from pictures that are missing or damaged."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dcdan.errors import DataError


def refuse_vanished(places: Iterable[Path]) -> None:
    """Raise DataError when a file or folder that held data is gone, cannot be reached, or is empty now."""
    for place in places:
        if not holds_data(place):
            raise DataError(
                f"'{place}' is no longer there: bring it back (a drive, a share?) and repeat the command, which then "
                "goes on."
            )


def holds_data(place: Path) -> bool:
    """Return whether a place is a file, or a folder that can be read and is not empty."""
    try:
        if place.is_file():
            return True
        with os.scandir(place) as entries:
            return any(entries)
    except OSError:
        return False
