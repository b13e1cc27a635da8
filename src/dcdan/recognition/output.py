"""What a command may write to, and in which form: the suffix of a file's name decides."""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from pathlib import Path

from dcdan.durable import atomic_text, write_bytes
from dcdan.errors import MissingExtraError, OutputError, UsageError

__all__ = ["Form", "atomic_text", "check_target", "form_of", "write_bytes"]


class Form(StrEnum):
    """Forms of a table of results; the value is the suffix of its file."""

    CSV = ".csv"
    JSONL = ".jsonl"
    PARQUET = ".parquet"


def form_of(path: Path, *, json: bool = False) -> Form:
    """Return the form that a file's name asks for; with ``json`` any name but that of another form may hold JSON lines.

    Raises:
        UsageError: when the suffix is none of the three, or another than ``json`` asks for.
        MissingExtraError: when the form needs a package that is not installed.
    """
    suffix = path.suffix.lower()
    known = [form.value for form in Form]
    if json and suffix not in (Form.CSV, Form.PARQUET):
        return Form.JSONL
    if json:
        raise UsageError(f"--json writes JSON lines and '{path}' asks for {suffix}: give a name that ends in .jsonl.")
    if suffix not in known:
        raise UsageError(f"'{path}' has no known suffix: give a name that ends in {', '.join(known)}.")
    if suffix == Form.PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("Parquet needs the package 'pyarrow': pip install pyarrow, or write .csv or .jsonl.")
    return Form(suffix)


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
