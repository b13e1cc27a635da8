"""Bounded reading of untrusted text, JSON, TOML and Parquet files.

Size, nesting depth and line length are limited, because a few bytes of a file can expand to any amount of memory. A
violation raises a ValueError whose message is a clause, so that the caller can include it in a sentence.
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
    """Open a regular file for reading; a pipe or a device, which could block forever, is rejected.

    Args:
        path: The file.

    Returns:
        The open binary file.

    Raises:
        OSError: The path cannot be opened, or is a folder.
        ValueError: The path is a pipe or a device.
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
    """Return the content of a small UTF-8 text file; at most ``most + 1`` bytes are read.

    Args:
        path: The file.
        most: Maximum size in bytes.

    Returns:
        The text.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is larger than ``most`` or is not UTF-8.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most} bytes")
    return content.decode("utf-8")


def refuse_device(path: Path) -> None:
    """Raise an error for a pipe, a socket or a device, which could block forever when opened.

    Args:
        path: A file or folder.

    Raises:
        OSError: The path does not exist or cannot be read.
        ValueError: The path is neither a regular file nor a folder.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError("it is a pipe or a device and no file")


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Return the content of a small JSON file.

    Args:
        path: The file.
        most: Maximum size in bytes.

    Returns:
        The parsed value.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is too large, is not JSON, or is nested deeper than ``DEEPEST`` levels.
    """
    return _shallow(parse_json(read_text(path, most)))


def parse_json(text: str) -> Any:
    """Parse JSON text.

    Args:
        text: The JSON text.

    Returns:
        The parsed value.

    Raises:
        ValueError: The text is not JSON or is nested too deeply.

    Example:
        >>> parse_json('{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_toml(path: Path, *, expand: bool = False) -> dict[str, Any]:
    """Return the content of a small TOML file.

    Args:
        path: The file.
        expand: Whether to replace ``$NAME`` by the environment variable of that name.

    Returns:
        The parsed table.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is too large, is not TOML, or is nested deeper than ``DEEPEST`` levels.
    """
    text = os.path.expandvars(read_text(path)) if expand else read_text(path)
    # The parse time of a key is quadratic in the number of its parts.
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
        nested = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [child for children in nested for child in children]
        if not level:
            return content
    raise ValueError(f"it is nested more than {DEEPEST} deep")


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file of any length, including their line ends; invalid UTF-8 is replaced.

    Args:
        path: The file.

    Yields:
        One line at a time.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line has ``LONGEST_LINE`` characters or more.
    """
    with open_regular(path) as binary, io.TextIOWrapper(binary, "utf-8-sig", "replace", newline="") as file:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise ValueError(f"a line is longer than {LONGEST_LINE} letters")
            yield line


def within(folder: Path, path: Path) -> bool:
    """Return whether a path, after following all links, is a folder or lies inside it.

    Example:
        >>> within(Path("/data"), Path("/data/a/../b")), within(Path("/data"), Path("/data/../etc"))
        (True, False)
    """
    return path.resolve().is_relative_to(folder.resolve())


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSON lines log; an incomplete line, as an interrupted run leaves it, is skipped.

    Args:
        path: The log.

    Returns:
        The JSON objects that have the keys ``kind`` and ``step``, in order.

    Raises:
        OSError: The file cannot be read.
        ValueError: The path is a pipe or a device.
    """
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
    """Import and return ``pyarrow.parquet``.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise MissingExtraError(
            "The table of a pack and other Parquet files need the package 'pyarrow': pip install 'dcdan[parquet]'."
        ) from None
    return parquet


def open_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Open a Parquet table with dictionary-encoded text, so that :func:`small_batches` can check text lengths.

    Args:
        path: The file.
        columns: Names of the columns to read; None for all.

    Returns:
        A ``pyarrow.parquet.ParquetFile``.

    Raises:
        pyarrow.ArrowException: The file is not a Parquet table.
        ValueError: The table declares more rows than the file has bytes.
    """
    parquet = parquet_module()
    file = parquet.ParquetFile(path)
    names = [file.schema.column(place).path for place in range(len(file.schema))]
    rows, size = file.metadata.num_rows, path.stat().st_size
    file.close()
    if rows > size:
        raise ValueError(f"it declares {rows} rows in {size} bytes")
    wanted = [name for name in names if columns is None or name.partition(".")[0] in columns]
    return parquet.ParquetFile(path, read_dictionary=wanted)


def small_batches(file: Any, columns: Sequence[str], rows: int = 8192) -> Iterator[Any]:
    """Yield the record batches of an open table after checking the length of every text.

    Args:
        file: The table, from :func:`open_table`.
        columns: Names of the columns to read.
        rows: Maximum number of rows in a batch.

    Yields:
        ``pyarrow.RecordBatch`` objects.

    Raises:
        ValueError: A text is longer than ``MOST_LETTERS`` bytes.
    """
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
