"""Parquet tables from elsewhere: a few bytes of one can stand for any number of rows, and of letters in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MOST_LETTERS = 1 << 16


def open_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Open a Parquet table; text stays in Arrow's dictionaries until :func:`small_batches` has looked at its length.

    Raises an error of Arrow for what is no table, and ValueError for one with more rows than bytes, which no honest
    table has.
    """
    import pyarrow.parquet as parquet

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
