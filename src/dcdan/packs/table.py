"""The table of a pack: its schema, and a writer with row groups of one length, so that equal rows give equal bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from dcdan.core.limits import parquet_module
from dcdan.packs.format import PackCounts
from dcdan.packs.prepare import TableRow

# Larger groups are slightly smaller on disk, and need several times their size in memory while they are written.
_GROUP_ROWS = 1024
_MAPS = frozenset({"groups", "values"})


class TableWriter:
    """Writes table.parquet, a context manager. One group of rows is in memory at a time."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        """Open a table for writing; without classes it has no label columns.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        parquet = parquet_module()
        self.schema = table_schema(bool(classes))
        self._classes = classes
        self._writer = parquet.ParquetWriter(path, self.schema, compression="zstd")
        self._waiting: list[Any] = []
        self._rows = 0
        self._counted = 0
        self._faces = 0
        self._splits: Counter[str] = Counter()
        self._labels: Counter[int] = Counter()
        self._statuses: Counter[str] = Counter()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._rows:
                self._write(self._rows)
        finally:
            self._writer.close()

    def add_rows(self, rows: Sequence[TableRow]) -> None:
        """Add rows of `dcdan.packs.prepare`.

        Args:
            rows: rows, each with `row`, its index among the faces, or -1.
        """
        import pyarrow as arrow

        records = [{name: row[name] for name in self.schema.names} for row in rows]
        for record in records:
            for name in _MAPS & record.keys():
                record[name] = list(record[name].items())
        self.add(arrow.Table.from_pylist(records, schema=self.schema))

    def add(self, table: Any) -> None:
        """Add the rows of an Arrow table.

        Args:
            table: a table with the schema of :func:`table_schema`.
        """
        import pyarrow.compute as compute

        found = compute.greater_equal(table["row"], 0)
        self._counted += len(table)
        self._faces += compute.sum(found).as_py() or 0
        self._statuses.update(_counts(table["status"]))
        self._splits.update(_counts(table["split"].filter(found)))
        if self._classes:
            self._labels.update(_counts(table["label"].filter(found)))
        self._waiting.append(table)
        self._rows += len(table)
        while self._rows >= _GROUP_ROWS:
            self._write(_GROUP_ROWS)

    def counts(self) -> PackCounts:
        """Return the counts of the rows so far.

        Returns:
            The counts.
        """
        return PackCounts(
            rows=self._counted,
            faces=self._faces,
            splits=dict(sorted(self._splits.items())),
            classes={name: self._labels[index] for index, name in enumerate(self._classes)},
            statuses=dict(sorted(self._statuses.items())),
        )

    def _write(self, rows: int) -> None:
        """Write the first so many of the waiting rows as one group."""
        import pyarrow as arrow

        waiting = arrow.concat_tables(self._waiting)
        # In one piece, because the bytes would otherwise depend on how the rows were added.
        self._writer.write_table(waiting.slice(0, rows).combine_chunks(), row_group_size=_GROUP_ROWS)
        self._waiting = [waiting.slice(rows)]
        self._rows -= rows


def table_schema(labelled: bool) -> Any:
    """Return the Arrow schema of a pack's table.

    Args:
        labelled: whether it has label columns.

    Returns:
        The schema.
    """
    import pyarrow as arrow

    labels = [
        ("label", arrow.int16()),
        ("votes", arrow.list_(arrow.float32())),
        ("values", arrow.map_(arrow.string(), arrow.float32())),
    ]
    return arrow.schema(
        [
            ("path", arrow.string()),
            ("face", arrow.int32()),
            ("row", arrow.int64()),
            ("status", arrow.string()),
            ("split", arrow.string()),
            ("subject", arrow.string()),
            ("groups", arrow.map_(arrow.string(), arrow.string())),
            ("box", arrow.list_(arrow.float32())),
            ("score", arrow.float32()),
            ("landmarks", arrow.list_(arrow.float32())),
            *(labels if labelled else ()),
        ]
    )


def _counts(column: Any) -> dict[Any, int]:
    """Return value -> number of its rows in a column."""
    return {entry["values"]: entry["counts"] for entry in column.value_counts().to_pylist()}
