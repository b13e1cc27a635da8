"""The table of results: one row a face, and its forms: CSV, JSON lines, Parquet, columns, data frames.

One answer: a face and its expression, or a picture and the reason why there is none.

Results as text: rows of a CSV table or JSON lines, and a Parquet file made of the latter.

Results as columns: plain lists, or a data frame of a library that is imported only when it is asked for.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any

from dcdan.core.atomic_io import Form
from dcdan.core.errors import MissingExtraError, unknown
from dcdan.core.sanitize import no_formula
from dcdan.images.status import Status

FIXED_COLUMNS: tuple[str, ...] = ("path", "face", "status", "expression", "probability", "unsure", "decided_by")
BOX_COLUMNS: tuple[str, ...] = ("x0", "y0", "x1", "y1")
QUALITY_COLUMNS: tuple[str, ...] = ("side", "sharpness", "yaw", "roll", "score")
VIDEO_COLUMNS: tuple[str, ...] = ("frame", "time", "track")


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a face can be seen.

    Attributes:
        side: shorter side of its box in pixels of the picture.
        sharpness: 0 (blurred) .. 1 (sharp), of the aligned face; comparable between faces of one model only.
        yaw: degrees by which the head is turned, -90..90, from the five landmarks; positive to the right in the
            picture, None where no landmarks were found.
        roll: degrees by which the line through the eyes is turned, -180..180, clockwise in the picture; None likewise.
        score: the face detector's, 0..1; 1 where none was asked, 0 where it found nothing.
    """

    side: float
    sharpness: float
    yaw: float | None
    roll: float | None
    score: float


@dataclass(frozen=True, slots=True)
class FaceResult:
    """The answer for one face, or for one picture without a face (then everything after ``status`` is empty).

    Attributes:
        path: the picture as it was given; empty for an array.
        face: index of the face in the picture, the largest first; None without a face.
        status: ``ok``, ``not_aligned`` (recognised on the crop as it was) or why there is no answer.
        expression: name of the chosen class.
        probability: calibrated probability of that class, 0..1.
        decided_by: which head chose: ``fused``, ``global`` or ``sum``.
        probabilities: every class of the model and its probability; they sum to 1.
        box: x0, y0, x1, y1 in pixels of the picture.
        landmarks: five points x, y in units of the aligned face side (0..1).
        region_weights: weight that the network gave to each of the five regions; they sum to 1.
        unsure: whether the probability is below the model's ``unsure_below``; ``expression`` is the likeliest anyway.
        candidates: the classes of the conformal set, the likeliest first, where one was asked for.
        quality: how well the face can be seen; None for faces that are cut already.
        frame: index of the frame in its video, from 0; None for a picture.
        time: seconds from the beginning of the video.
        track: number of the person's track in the video, from 1; None for a picture.
    """

    path: str
    face: int | None
    status: Status
    expression: str | None = None
    probability: float | None = None
    decided_by: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    region_weights: dict[str, float] = field(default_factory=dict)
    unsure: bool = False
    candidates: tuple[str, ...] = ()
    quality: Quality | None = None
    frame: int | None = None
    time: float | None = None
    track: int | None = None

    @property
    def recognised(self) -> bool:
        """Whether there is an expression."""
        return self.expression is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain JSON types."""
        return {
            "path": self.path,
            "face": self.face,
            "status": str(self.status),
            "expression": self.expression,
            "probability": _rounded(self.probability),
            "unsure": self.unsure,
            "decided_by": self.decided_by,
            "probabilities": {name: _rounded(value) for name, value in self.probabilities.items()},
            "box": None if self.box is None else [round(value, 2) for value in self.box],
            "landmarks": None if self.landmarks is None else [[_rounded(x), _rounded(y)] for x, y in self.landmarks],
            "region_weights": {name: _rounded(value) for name, value in self.region_weights.items()},
            "candidates": list(self.candidates),
            "quality": None
            if self.quality is None
            else {name: _rounded(getattr(self.quality, name), 3) for name in QUALITY_COLUMNS},
            "frame": self.frame,
            "time": _rounded(self.time, 3),
            "track": self.track,
        }

    def to_row(self, classes: Sequence[str]) -> list[str]:
        """Return the cells of a table row in the order of ``columns(classes)``; empty where there is no value."""
        box = self.box or (None,) * len(BOX_COLUMNS)
        quality = [None if self.quality is None else getattr(self.quality, name) for name in QUALITY_COLUMNS]
        return [
            no_formula(self.path),
            "" if self.face is None else str(self.face),
            str(self.status),
            self.expression or "",
            _number(self.probability, 6),
            "yes" if self.unsure else "no" if self.recognised else "",
            self.decided_by or "",
            *(_number(self.probabilities.get(name), 6) for name in classes),
            *(_number(value, 2) for value in box),
            " ".join(self.candidates),
            *(_number(value, 3) for value in quality),
            "" if self.frame is None else str(self.frame),
            _number(self.time, 3),
            "" if self.track is None else str(self.track),
        ]


def columns(classes: Sequence[str]) -> list[str]:
    """Return the names of a table's columns for a model with these classes."""
    of_classes = [f"p_{name}" for name in classes]
    return [*FIXED_COLUMNS, *of_classes, *BOX_COLUMNS, "candidates", *QUALITY_COLUMNS, *VIDEO_COLUMNS]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(value, digits)


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


# What `recognise` gives for one picture, for a list of pictures, and what `stream` and `watch` give.
Results = Iterable[FaceResult | Sequence[FaceResult]]

FRAMES: tuple[str, ...] = ("columns", "pandas", "polars", "pyarrow")


def to_columns(results: Results, classes: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Return results as columns, those of the CSV table in its order, with typed values and None where there is none.

    Args:
        results: results of one picture, of many, or a stream of them.
        classes: expressions that have a column ``p_<expression>``; by default those of the first recognised face.
    """
    rows = list(_flat(results))
    if classes is None:
        classes = next((list(row.probabilities) for row in rows if row.probabilities), [])
    columns: dict[str, list[Any]] = {
        "path": [row.path for row in rows],
        "face": [row.face for row in rows],
        "status": [str(row.status) for row in rows],
        "expression": [row.expression for row in rows],
        "probability": [row.probability for row in rows],
        "unsure": [row.unsure if row.recognised else None for row in rows],
        "decided_by": [row.decided_by for row in rows],
    }
    for name in classes:
        columns[f"p_{name}"] = [row.probabilities.get(name) for row in rows]
    for index, name in enumerate(BOX_COLUMNS):
        columns[name] = [None if row.box is None else row.box[index] for row in rows]
    columns["candidates"] = [" ".join(row.candidates) for row in rows]
    for name in QUALITY_COLUMNS:
        columns[name] = [None if row.quality is None else getattr(row.quality, name) for row in rows]
    for name in VIDEO_COLUMNS:
        columns[name] = [getattr(row, name) for row in rows]
    return columns


def to_frame(results: Results, kind: str = "pandas", classes: Sequence[str] | None = None) -> Any:
    """Return results as ``columns`` (a dictionary of lists), or as a frame of ``pandas``, ``polars`` or ``pyarrow``.

    Raises:
        UsageError: another kind.
        MissingExtraError: the library is not installed.
    """
    if kind not in FRAMES:
        raise unknown("kind of frame", kind, FRAMES)
    library = None if kind == "columns" else _imported(kind)
    columns = to_columns(results, classes)
    if library is None:
        return columns
    if kind == "pyarrow":
        return library.table(columns)
    if kind == "polars":
        # The first rows of a folder can all be without a face, so types are inferred from all of them.
        return library.DataFrame(columns, infer_schema_length=None)
    return library.DataFrame(columns)


def to_pandas(results: Results, classes: Sequence[str] | None = None) -> Any:
    """Return results as a pandas ``DataFrame``; see :func:`to_columns`."""
    return to_frame(results, "pandas", classes)


def to_polars(results: Results, classes: Sequence[str] | None = None) -> Any:
    """Return results as a polars ``DataFrame``; see :func:`to_columns`."""
    return to_frame(results, "polars", classes)


def _flat(results: Results) -> Iterator[FaceResult]:
    for result in results:
        if isinstance(result, FaceResult):
            yield result
        else:
            yield from result


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"This needs the package '{error.name}': pip install {name}.") from None
