"""Results as text: rows of a CSV table or JSON lines, and a Parquet file made of the latter."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from dcdan.recognition.output import Form
from dcdan.recognition.results import BOX_COLUMNS, QUALITY_COLUMNS, VIDEO_COLUMNS, FaceResult, columns

_ROWS_AT_A_TIME = 8192


def csv_sink(file: IO[str], classes: Sequence[str]) -> Callable[[FaceResult], None]:
    """Write the header of a CSV table (RFC 4180) and return the sink that adds a row per result."""
    writer = csv.writer(file)
    writer.writerow(columns(classes))

    def write(result: FaceResult) -> None:
        writer.writerow(result.to_row(classes))

    return write


def json_sink(file: IO[str]) -> Callable[[FaceResult], None]:
    """Return the sink that writes each result as one line of JSON."""

    def write(result: FaceResult) -> None:
        file.write(json.dumps(result.to_dict()) + "\n")

    return write


def header_text(form: Form, classes: Sequence[str]) -> str:
    """Return what a file begins with: the names of the columns for CSV, nothing for the others."""
    text = io.StringIO(newline="")
    if form is Form.CSV:
        csv.writer(text).writerow(columns(classes))
    return text.getvalue()


def rows_text(form: Form, classes: Sequence[str], results: Sequence[Sequence[FaceResult]]) -> str:
    """Return results as the rows of a CSV table, or as JSON lines for the other forms."""
    text = io.StringIO(newline="")
    flat = (result for own in results for result in own)
    if form is Form.CSV:
        csv.writer(text).writerows(result.to_row(classes) for result in flat)
    else:
        text.writelines(json.dumps(result.to_dict()) + "\n" for result in flat)
    return text.getvalue()


def write_parquet(lines: Path, out: Path, classes: Sequence[str]) -> None:
    """Write a file of JSON lines as a Parquet table with the columns of the CSV table, typed; memory stays flat."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "face": pa.int32(),
        "probability": pa.float32(),
        "unsure": pa.bool_(),
        **{f"p_{name}": pa.float32() for name in classes},
        **dict.fromkeys((*BOX_COLUMNS, *QUALITY_COLUMNS), pa.float32()),
        "frame": pa.int64(),
        "time": pa.float64(),
        "track": pa.int32(),
    }
    assert set(VIDEO_COLUMNS) <= kinds.keys()
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in columns(classes)])
    with lines.open(encoding="utf-8") as file, pq.ParquetWriter(out, schema, compression="zstd") as writer:
        while block := [_cells(json.loads(line), classes) for line in islice(file, _ROWS_AT_A_TIME)]:
            writer.write_table(pa.Table.from_pylist(block, schema=schema))


def _cells(row: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    cells = {name: row[name] for name in ("face", "status", "expression", "probability", "decided_by")}
    # A file name need not be Unicode, a Parquet string must.
    cells["path"] = row["path"].encode("utf-8", "backslashreplace").decode()
    cells["unsure"] = None if row["expression"] is None else row["unsure"]
    cells |= {f"p_{name}": row["probabilities"].get(name) for name in classes}
    cells |= dict(zip(BOX_COLUMNS, row["box"] or (), strict=False))
    cells["candidates"] = " ".join(row["candidates"])
    return cells | (row["quality"] or {}) | {name: row[name] for name in VIDEO_COLUMNS}
