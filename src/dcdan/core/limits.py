"""Reading text, JSON, TOML and Parquet from elsewhere within bounds of size and depth.

Files from elsewhere, read within bounds: no larger or deeper than they have reason to be, not out of their folder.

What is wrong is a ValueError in words, for the caller to put in its own sentence.

Parquet tables from elsewhere: a few bytes of one can stand for any number of rows, and of letters in each.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dcdan.core.errors import MissingExtraError

MOST_BYTES = 4 << 20
LONGEST_LINE = 1 << 20
DEEPEST = 64
_MOST_DOTS = 100


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading; a pipe or device, which could wait for ever, is refused.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is a folder, pipe or device.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    number = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise ValueError("it is a pipe or a device, not a file")
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return a small UTF-8 text file; raise OSError, or ValueError when it has more than ``most`` bytes or is no text.

    Only so much is ever read, whatever the file is.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most} bytes")
    return content.decode("utf-8")


def refuse_device(path: Path) -> None:
    """Raise ValueError for a pipe, a socket or a device, whose opening may wait for ever."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError("it is a pipe or a device and no file")


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
    with open_regular(path) as binary, io.TextIOWrapper(binary, "utf-8-sig", "replace", newline="") as file:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise ValueError(f"a line is longer than {LONGEST_LINE} letters")
            yield line


def within(folder: Path, path: Path) -> bool:
    """Return whether a path, all links followed, lies in a folder or is that folder."""
    return path.resolve().is_relative_to(folder.resolve())


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of a log; a line that a killed run left half written is passed over."""
    records = []
    with open_regular(path) as file:
        content = file.read().decode("utf-8", "replace")
    for line in content.splitlines():
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict) and {"kind", "step"} <= record.keys():
            records.append(record)
    return records


MOST_LETTERS = 1 << 16


def parquet_module() -> Any:
    """Return `pyarrow.parquet`; raise MissingExtraError where it is not installed."""
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise MissingExtraError(
            "The table of a pack and other Parquet files need the package 'pyarrow': pip install 'dcdan[parquet]'."
        ) from None
    return parquet


def open_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Open a Parquet table; text stays in Arrow's dictionaries until :func:`small_batches` has looked at its length.

    Raises an error of Arrow for what is no table, and ValueError for one with more rows than bytes, which no honest
    table has.
    """
    parquet = parquet_module()
    file = parquet.ParquetFile(path)
    names = [file.schema.column(place).path for place in range(len(file.schema))]
    rows, size = file.metadata.num_rows, path.stat().st_size
    file.close()
    if rows > size:
        raise ValueError(f"it says that it has {rows} rows in {size} bytes")
    wanted = [name for name in names if columns is None or name.partition(".")[0] in columns]
    return parquet.ParquetFile(path, read_dictionary=wanted)


def small_batches(file: Any, columns: Sequence[str], rows: int = 8192) -> Iterator[Any]:
    """Yield record batches of an open table; raise ValueError at a text of more than MOST_LETTERS bytes."""
    for batch in file.iter_batches(rows, columns=list(columns)):
        for column in batch.columns:
            _check(column)
        yield batch


def _check(column: Any) -> None:
    import pyarrow as arrow
    import pyarrow.compute as compute

    kind = column.type
    if arrow.types.is_dictionary(kind):
        _check(column.dictionary)
    elif arrow.types.is_map(kind):
        _check(column.keys)
        _check(column.items)
    elif arrow.types.is_list(kind):
        _check(column.values)
    elif kind in (arrow.string(), arrow.large_string(), arrow.binary(), arrow.large_binary()):
        longest = compute.max(compute.binary_length(column)).as_py() or 0
        if longest > MOST_LETTERS:
            raise ValueError(f"a text in it has {longest} bytes, more than {MOST_LETTERS}")
