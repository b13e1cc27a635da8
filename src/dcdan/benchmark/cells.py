"""The finished cells of a benchmark in one compressed Parquet file, and the same cells as files of a folder.

A *cell* is one method on one pair of data sets with one trunk and one seed. Training leaves four files of each:

- ``scores.json``: one report for each test set (accuracy, recalls, confusion matrix, checksums);
- ``answers.npz``: for each test set, which faces were classified correctly, and the probability of each prediction;
- ``epochs.json``: the scores of every epoch that was kept, where epochs were kept;
- ``run.json``: command, settings, versions, commit, seed, checksums of the data.

A benchmark of a few hundred cells makes a thousand such files. Here they become one table with one row for each
report; :data:`COLUMNS` describes it. Reading gives back the same values: :func:`write_folder` of what
:func:`read_cells` returns writes the same JSON text, byte for byte, and the same arrays.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> report = {"test": "street", "seed": 0, "row": "AdaBN", "images": 3, "accuracy": 0.667}
    >>> answers = {"street": Answers(np.array([True, False, True]), np.array([0.9, 0.4, 0.6], np.float32))}
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_cells([CellRecord("adabn-0", (report,), answers=answers)], folder / "cells.parquet")
    1
    >>> [(cell.name, cell.reports[0]["accuracy"]) for cell in read_cells(folder / "cells.parquet")]
    [('adabn-0', 0.667)]
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dcdan.core.atomic_io import atomic_write, write_text
from dcdan.core.errors import DataError, OutputError
from dcdan.core.limits import read_json

CELLS = "cells.parquet"
SCORES, ANSWERS, EPOCHS, RUN = "scores.json", "answers.npz", "epochs.json", "run.json"
SCHEMA = 1
"""Version of the table, kept in the metadata of the file."""

COLUMNS: dict[str, tuple[str, str]] = {
    "cell": ("text", "name of the cell; all rows of a cell follow one another"),
    "position": ("int16", "number of the report in its cell, from 0"),
    "source": ("text", "name of the source data set"),
    "target": ("text", "name of the target data set"),
    "trunk": ("text", "name of the trunk in timm"),
    "key": ("text", "key of the method or ablation in the plan"),
    "row": ("text", "name of the method or ablation in the tables"),
    "seed": ("int32", "seed of the run"),
    "kind": ("text", "'target': the test set of the target; 'also': a further test set"),
    "test": ("text", "name of the test set"),
    "plan": ("text", "checksum of the settings that decide the figures of the cell"),
    "images": ("int32", "number of faces that were scored"),
    "accuracy": ("float64", "0..1"),
    "macro_f1": ("float64", "mean F1 of the classes, 0..1"),
    "uar": ("float64", "mean recall of the classes, 0..1"),
    "ece": ("float64", "expected calibration error, 0..1"),
    "model_sha256": ("text", "checksum of the weights that were scored"),
    "commit": ("text", "commit of the code, as run.json states it; empty where it was not recorded"),
    "report": ("text", "the whole report as JSON; the columns before are copies of its values, for queries"),
    "run": ("text", "run.json as JSON, in the first row of a cell"),
    "epochs": ("text", "epochs.json as JSON, in the first row of a cell"),
    "correct": ("list of bool", "for each face of the test set whether it was classified correctly"),
    "confidence": ("list of float32", "for each face the probability of the predicted class, 0..1"),
}
"""Type and meaning of every column. What a cell does not have is null."""

_ARROW_TYPES = {"list of bool": ("list", "bool"), "list of float32": ("list", "float32"), "text": ("string",)}
_FROM_REPORT = ("source", "target", "trunk", "key", "row", "seed", "kind", "test", "plan", "images", "accuracy")
_SCORE_NAMES = ("macro_f1", "uar", "ece")
# Of the group that is written at once: rows, and faces in them. Groups bound the memory of writer and reader.
_ROWS, _FACES = 128, 2_000_000


class Answers(NamedTuple):
    """Predictions of one cell on one test set of N faces, in the order of the faces in the data set.

    Attributes:
        correct: ``(N,) bool``, whether the face was classified correctly.
        confidence: ``(N,) float32``, probability of the predicted class, 0..1.
    """

    correct: NDArray[np.bool_]
    confidence: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CellRecord:
    """One finished cell.

    Attributes:
        name: name of the cell, which is the name of its folder.
        reports: the reports of ``scores.json``, at least one.
        run: ``run.json``; None where there is none.
        epochs: the entries of ``epochs.json``; None where no epochs were kept.
        answers: name of a test set -> predictions; None where they were not kept or not read.
    """

    name: str
    reports: tuple[dict[str, Any], ...]
    run: dict[str, Any] | None = None
    epochs: tuple[dict[str, Any], ...] | None = None
    answers: Mapping[str, Answers] | None = None


def write_cells(cells: Iterable[CellRecord], file: Path) -> int:
    """Write cells to a Parquet file, in the given order; an old file is replaced when the new one is complete.

    Args:
        cells: the cells, each with a name of its own. They are written as they come, so an iterator that reads them
            one by one keeps the memory flat.
        file: the file to write, by convention :data:`CELLS`. Missing folders are made.

    Returns:
        The number of cells written.

    Raises:
        DataError: when a name comes twice, or a cell has no report, a report that is no report, or answers of a test
            set without a report. An old file is left as it was.
        OutputError: when the file cannot be written.
    """
    import pyarrow.parquet as parquet

    schema = _schema()
    count = 0
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetWriter(partial, schema, **_encodings()) as writer:
            for cell_count, columns in _groups(cells):
                writer.write_batch(_batch(columns, schema))
                count += cell_count
        partial.replace(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"'{file}' cannot be written ({reason}): free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return count


def read_cells(file: Path, *, answers: bool = True) -> Iterator[CellRecord]:
    """Yield the cells of a Parquet file in their order; only some of them are in memory at a time.

    Args:
        file: a file of :func:`write_cells`.
        answers: whether to read the predictions for each face, which are most of the file.

    Yields:
        One record for each cell.

    Raises:
        DataError: when the file is missing, is no file of :func:`write_cells`, or is of a newer schema.
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    names = [name for name in COLUMNS if answers or name not in Answers._fields]
    names = [name for name in names if name in ("cell", "report", "run", "epochs", *Answers._fields)]
    try:
        with parquet.ParquetFile(file) as table:
            _check_schema(table.schema_arrow, file)
            rows: list[dict[str, Any]] = []
            for batch in table.iter_batches(batch_size=_ROWS, columns=names):
                for row in _rows(batch, names):
                    if rows and row["cell"] != rows[0]["cell"]:
                        yield _record(rows)
                        rows = []
                    rows.append(row)
            if rows:
                yield _record(rows)
    except (OSError, arrow.ArrowException, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"'{file}' is no readable table of cells: write the results of its benchmark again, or remove it."
        ) from error


def holds_cells(file: Path) -> bool:
    """Return whether a Parquet file is one of :func:`write_cells`, by its metadata; no rows are read.

    Args:
        file: any Parquet file.

    Returns:
        False for a table of something else.

    Raises:
        DataError: when the file is missing or no Parquet file.
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        return _VERSION in (parquet.read_schema(file).metadata or {})
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"'{file}' is no readable Parquet file: write it again, or remove it.") from error


def update_cells(cells: Iterable[CellRecord], file: Path) -> int:
    """Put cells into a Parquet file: they replace those of the same name, and all others stay.

    Args:
        cells: the new cells; they are held in memory.
        file: the file, which need not be there yet.

    Returns:
        The number of cells that the file holds now.

    Raises:
        DataError: as :func:`read_cells` and :func:`write_cells`.
        OutputError: when the file cannot be written.
    """
    new = {cell.name: cell for cell in cells}

    def merged() -> Iterator[CellRecord]:
        if file.exists():
            for old in read_cells(file):
                yield new.pop(old.name, old)
        yield from new.values()

    return write_cells(merged(), file)


def read_folder(folder: Path) -> Iterator[CellRecord]:
    """Yield the cells that a folder holds as files, sorted by name, reading one at a time.

    Both layouts are read: a folder for each cell (``NAME/scores.json``), as training leaves it, and files side by side
    (``NAME.scores.json``). Files of a cell that has no ``scores.json`` are left out: it is not finished.

    Args:
        folder: the folder of the cells.

    Yields:
        One record for each finished cell.

    Raises:
        DataError: when the folder is missing or a file cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder '{folder}': give one that holds the cells of a benchmark.")
    nested = {path.parent.name: path.parent for path in folder.glob(f"*/{SCORES}")}
    side_by_side = {path.name.removesuffix(f".{SCORES}"): path for path in folder.glob(f"*.{SCORES}")}
    for name in sorted(nested.keys() | side_by_side.keys()):
        yield read_cell(folder, name)


def read_cell(folder: Path, name: str, *, answers: bool = True) -> CellRecord:
    """Read one cell from its files, in either layout of :func:`read_folder`.

    Args:
        folder: the folder of the cells.
        name: name of the cell.
        answers: whether to read the predictions for each face.

    Returns:
        The cell.

    Raises:
        DataError: when the cell has no ``scores.json`` or a file cannot be read.
    """
    nested = (folder / name / SCORES).is_file()
    paths = {part: folder / name / part if nested else folder / f"{name}.{part}" for part in _PARTS}
    reports, run, epochs = (_read_json(paths[part]) for part in (SCORES, RUN, EPOCHS))
    if not isinstance(reports, list) or not isinstance(epochs, list | None) or not isinstance(run, dict | None):
        raise DataError(f"'{paths[SCORES]}' is no finished cell: run its benchmark again, or remove it.")
    found = _read_npz(paths[ANSWERS]) if answers else None
    return CellRecord(name, tuple(reports), run, None if epochs is None else tuple(epochs), found)


def write_folder(cells: Iterable[CellRecord], folder: Path, *, nested: bool = False) -> int:
    """Write cells as the files that they were.

    Args:
        cells: the cells.
        folder: where to; it is made when missing. Files of the same names are replaced.
        nested: write ``NAME/scores.json``, as training does, instead of ``NAME.scores.json``.

    Returns:
        The number of cells written.

    Raises:
        DataError: when the name of a cell is not a plain file name.
        OutputError: when a file cannot be written.
    """
    count = 0
    for cell in cells:
        if cell.name in ("", ".", "..") or cell.name != Path(cell.name).name or "\\" in cell.name:
            raise DataError(f"A cell has the name '{cell.name}', which is no file name: the table is damaged.")
        place = folder / cell.name if nested else folder
        paths = {part: place / part if nested else place / f"{cell.name}.{part}" for part in _PARTS}
        for part, value in ((RUN, cell.run), (EPOCHS, cell.epochs)):
            if value is not None:
                write_text(paths[part], json.dumps(value, indent=1) + "\n")
        if cell.answers is not None:
            arrays = {
                f"{test}/{name}": a for test, found in cell.answers.items() for name, a in found._asdict().items()
            }
            with atomic_write(paths[ANSWERS]) as temporary, temporary.open("wb") as handle:
                np.savez_compressed(handle, allow_pickle=False, **arrays)
        # The scores come last: their file says that the cell is complete.
        write_text(paths[SCORES], json.dumps(cell.reports, indent=1) + "\n")
        count += 1
    return count


_PARTS = (SCORES, RUN, EPOCHS, ANSWERS)
_VERSION = b"dcdan_cells"


def _schema() -> Any:
    import pyarrow as arrow

    def arrow_type(name: str) -> Any:
        kinds = _ARROW_TYPES.get(name, (name,))
        inner = arrow.bool_() if kinds[-1] == "bool" else getattr(arrow, kinds[-1])()
        return arrow.list_(inner) if kinds[0] == "list" else inner

    fields = [arrow.field(name, arrow_type(kind), name in _NULLABLE) for name, (kind, _) in COLUMNS.items()]
    return arrow.schema(fields, metadata={_VERSION: str(SCHEMA).encode()})


_NULLABLE = frozenset(COLUMNS) - {"cell", "position", "test", "report"}


def _encodings() -> dict[str, Any]:
    """Return how the columns are stored: floats of a face by byte planes, which compress, all else by dictionary."""
    return {
        "compression": "zstd",
        "compression_level": 9,
        "use_dictionary": [name for name in COLUMNS if name not in Answers._fields],
        "use_byte_stream_split": ["confidence.list.element"],
        "write_statistics": False,
    }


def _groups(cells: Iterable[CellRecord]) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    """Yield the columns of some cells at a time, with the number of cells in them."""
    names: set[str] = set()
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    count = faces = 0
    for cell in cells:
        if cell.name in names:
            raise DataError(f"The cell '{cell.name}' comes twice: give each cell a name of its own.")
        names.add(cell.name)
        for row in _table_rows(cell):
            faces += 0 if row["correct"] is None else len(row["correct"])
            for name, value in row.items():
                columns[name].append(value)
        count += 1
        if len(columns["cell"]) >= _ROWS or faces >= _FACES:
            yield count, columns
            columns, count, faces = {name: [] for name in COLUMNS}, 0, 0
    if count:
        yield count, columns


def _table_rows(cell: CellRecord) -> Iterator[dict[str, Any]]:
    """Yield the rows of a cell, one for each report."""
    tests = [report.get("test") if isinstance(report, dict) else None for report in cell.reports]
    if not tests or not all(isinstance(test, str) for test in tests) or len(set(tests)) < len(tests):
        raise DataError(f"The cell '{cell.name}' has no report, or one without a test set of its own.")
    if cell.answers is not None and set(cell.answers) != set(tests):
        raise DataError(f"The cell '{cell.name}' has answers of other test sets than its reports.")
    for position, report in enumerate(cell.reports):
        found = None if cell.answers is None else cell.answers[report["test"]]
        yield {
            "cell": cell.name,
            "position": position,
            **{name: report.get(name) for name in (*_FROM_REPORT, *_SCORE_NAMES)},
            "model_sha256": report.get("provenance", {}).get("model_sha256"),
            "commit": None if cell.run is None else cell.run.get("commit"),
            "report": _compact(report),
            "run": None if position or cell.run is None else _compact(cell.run),
            "epochs": None if position or cell.epochs is None else _compact(cell.epochs),
            "correct": None if found is None else _as_is(found.correct, np.bool_, cell.name),
            "confidence": None if found is None else _as_is(found.confidence, np.float32, cell.name),
        }


def _as_is(values: NDArray[Any], kind: type[np.generic], name: str) -> NDArray[Any]:
    """Return a vector of the right type; another type is an error, since converting could change a value."""
    if values.dtype != kind or values.ndim != 1:
        raise DataError(f"The cell '{name}' has answers of type {values.dtype}, not {np.dtype(kind)}.")
    return values


def _batch(columns: dict[str, list[Any]], schema: Any) -> Any:
    import pyarrow as arrow

    try:
        arrays = [arrow.array(columns[field.name], type=field.type) for field in schema]
        return arrow.record_batch(arrays, schema=schema)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
        raise DataError(f"A report holds a value of the wrong type ({error}).") from error


def _check_schema(schema: Any, file: Path) -> None:
    version = int((schema.metadata or {}).get(_VERSION, b"0"))
    if version > SCHEMA:
        raise DataError(f"'{file}' was written by a newer dcdan (schema {version}): upgrade dcdan to read it.")
    if version < 1:
        raise KeyError(_VERSION)


def _rows(batch: Any, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    columns = {name: batch.column(name) for name in names}
    texts = {name: column.to_pylist() for name, column in columns.items() if name not in Answers._fields}
    for index in range(batch.num_rows):
        row: dict[str, Any] = {name: values[index] for name, values in texts.items()}
        for name in Answers._fields:
            values = columns[name][index].values if name in columns else None
            row[name] = None if values is None else values.to_numpy(zero_copy_only=False)
        yield row


def _record(rows: Sequence[dict[str, Any]]) -> CellRecord:
    """Put the rows of one cell together."""
    reports = tuple(json.loads(row["report"]) for row in rows)
    first = rows[0]
    kept = all(row["correct"] is not None for row in rows)
    answers = {
        report["test"]: Answers(row["correct"], row["confidence"]) for report, row in zip(reports, rows, strict=True)
    }
    return CellRecord(
        first["cell"],
        reports,
        None if first["run"] is None else json.loads(first["run"]),
        None if first["epochs"] is None else tuple(json.loads(first["epochs"])),
        answers if kept else None,
    )


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise DataError(f"'{path}' cannot be read as JSON: run its benchmark again, or remove it.") from None


def _read_npz(path: Path) -> dict[str, Answers] | None:
    """Read predictions; the names of the arrays are ``TEST/correct`` and ``TEST/confidence``."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tests = [name.removesuffix("/correct") for name in arrays.files if name.endswith("/correct")]
            return {test: Answers(*(arrays[f"{test}/{name}"] for name in Answers._fields)) for test in tests}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, BadZipFile):
        raise DataError(f"'{path}' cannot be read: run its benchmark again, or remove it.") from None
