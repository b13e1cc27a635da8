"""What a command may write to: a file that is not there yet, unless the user says to replace it."""

from __future__ import annotations

from pathlib import Path

from dcdan.durable import atomic_text, write_bytes
from dcdan.errors import OutputError

__all__ = ["atomic_text", "check_target", "write_bytes"]


def check_target(path: Path, *, force: bool = False) -> None:
    """Refuse an output file that exists, unless forced, and one that is no file.

    Raises:
        OutputError: see above.
    """
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder: give the name of a file.")
    if path.exists() and not path.is_file():
        raise OutputError(f"'{path}' is not a regular file: give the name of a file.")
    if path.exists() and not force:
        raise OutputError(f"'{path}' exists already: give another name, or --force to replace it.")
