"""The result of a face, and the list of columns that defines every table of results.

CSV, JSON lines, Parquet, data frames and the ``predictions.csv`` of a run differ in format only: :func:`table_columns`
defines the columns, their meaning and the format of their values.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from dcdan.core.atomic_io import Form
from dcdan.core.errors import MissingExtraError, unknown
from dcdan.core.sanitize import no_formula
from dcdan.facial_actions import facial_action, with_unit
from dcdan.images.status import Status


@dataclass(frozen=True, slots=True)
class Quality:
    """Visual quality of a face.

    Attributes:
        side: Shorter side of the box in pixels of the image.
        sharpness: 0 (blurred) .. 1 (sharp), of the aligned face; comparable only between faces of one model.
        yaw: Degrees, -90..90, estimated from the landmarks; positive to the right in the image, None without landmarks.
        roll: Degrees, -180..180, clockwise angle of the line through the eyes; None without landmarks.
        score: Score of the face detector, 0..1; 1 without a detector, 0 if it found nothing.
        grey: Whether the face has no colour; not a column of the table.
    """

    side: float
    sharpness: float
    yaw: float | None
    roll: float | None
    score: float
    grey: bool = False


@dataclass(frozen=True, slots=True)
class FaceResult:
    """The result of one face, or of one image without a face (then ``path``, ``status`` and perhaps ``box`` are set).

    Attributes:
        path: The image as it was given; empty for an array.
        face: Index of the face in the image, the largest first; None without a face.
        status: ``ok``, ``turned``, ``not_aligned`` (recognised without alignment), or why there is no expression.
        expression: Name of the chosen class.
        probability: Calibrated probability of that class, 0..1.
        decided_by: The head that decided: ``fused``, ``global`` or ``sum``.
        probabilities: Class -> probability; they sum to 1.
        box: x0, y0, x1, y1 in pixels of the image.
        landmarks: Five points (x, y) in units of the side of the aligned face, 0..1.
        region_weights: Region -> weight in the network; they sum to 1.
        unsure: Whether the probability is below the model's ``unsure_below``.
        candidates: Classes of the conformal set, the most probable first, if sets were requested.
        quality: Visual quality of the face; None for faces that were already cropped.
        frame: Index of the frame in its video, from 0; None for an image.
        time: Seconds from the beginning of the video.
        track: Number of the person's track in the video, from 1; None for an image.
        actions: Facial action -> activation, 0..1, if the model has them.
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
    actions: dict[str, float] = field(default_factory=dict)

    @property
    def recognised(self) -> bool:
        """Whether the result has an expression."""
        return self.expression is not None

    def to_dict(self, actions: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the result as JSON values, as in a JSON line.

        Args:
            actions: Facial actions to include where the result has them; None for all of its actions.

        Returns:
            The values.
        """
        out: dict[str, Any] = {}
        shown = tuple(self.actions if actions is None else (name for name in actions if name in self.actions))
        for column in table_columns(tuple(self.probabilities), shown):
            value = column.json_value(self)
            if not column.group:
                out[column.name] = value
            elif column.group == "box":
                out["box"] = None if self.box is None else [*(out.get("box") or []), value]
            elif column.group == "quality":
                out["quality"] = None if self.quality is None else {**(out.get("quality") or {}), column.name: value}
            else:
                out.setdefault(column.group, {})[column.key] = value
        out.setdefault("probabilities", {})
        out["landmarks"] = None
        if self.landmarks is not None:
            out["landmarks"] = [[round(x, 6), round(y, 6)] for x, y in self.landmarks]
        out["region_weights"] = {name: round(value, 6) for name, value in self.region_weights.items()}
        return out

    def to_row(self, classes: Sequence[str], actions: Sequence[str] = ()) -> list[str]:
        """Return the cells of a CSV row.

        Args:
            classes: Classes of the model.
            actions: Facial actions of the model.

        Returns:
            One text per column of :func:`columns`; empty for a missing value.
        """
        return [column.cell(self) for column in table_columns(tuple(classes), tuple(actions))]


class FaceResults(list[FaceResult]):
    """The results of one image or frame: a list with one result per face.

    Attributes:
        without: The row of a table for an image without a face; None if there are faces.

    Example:
        >>> found = FaceResults(without=FaceResult("sky.jpg", None, Status.NO_FACE))
        >>> len(found), found.status, [row.path for row in found.rows]
        (0, <Status.NO_FACE: 'no_face'>, ['sky.jpg'])
    """

    def __init__(self, faces: Iterable[FaceResult] = (), without: FaceResult | None = None) -> None:
        super().__init__(faces)
        self.without = None if self else without

    @property
    def status(self) -> Status:
        """Status of the largest face, or why there is no face."""
        rows = self.rows
        return rows[0].status if rows else Status.NO_FACE

    @property
    def rows(self) -> list[FaceResult]:
        """The rows of a table: one per face, or one that explains why there is none."""
        return list(self) if self.without is None else [self.without]

    def __reduce__(self) -> tuple[type[FaceResults], tuple[list[FaceResult], FaceResult | None]]:
        return FaceResults, (list(self), self.without)


Kind = Literal["text", "integer", "number", "flag", "names"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table of results.

    Attributes:
        name: Name in CSV, Parquet and data frames.
        kind: Type of the values; ``names`` is a list in JSON lines and text elsewhere.
        about: One line of documentation.
        value: Returns the value for a result; None if it is missing.
        digits: Decimal places in CSV and JSON lines.
        group: The object of a JSON line that contains the value: ``probabilities``, ``box``, ``quality`` or
            ``actions``; empty for the line itself.
        key: Name of the value in ``probabilities`` or ``actions``.
    """

    name: str
    kind: Kind
    about: str
    value: Callable[[FaceResult], Any]
    digits: int = 0
    group: str = ""
    key: str = ""

    def typed(self, result: FaceResult) -> Any:
        """Return the value for a data frame."""
        value = self.value(result)
        return " ".join(value) if self.kind == "names" else value

    def cell(self, result: FaceResult) -> str:
        """Return the cell of a CSV row."""
        value = self.typed(result)
        if value is None:
            return ""
        if self.kind == "flag":
            return "yes" if value else "no"
        return f"{value:.{self.digits}f}" if self.kind == "number" else str(no_formula(str(value)))

    def json_value(self, result: FaceResult) -> Any:
        """Return the value for a JSON line."""
        value = self.value(result)
        if self.kind == "number" and value is not None:
            return round(value, self.digits)
        return list(value) if self.kind == "names" else value


def utf8_path(path: str) -> str:
    r"""Return a path as valid Unicode; bytes of a file name that are not UTF-8 are written as ``\xNN``.

    >>> utf8_path("a\udcff.jpg")
    'a\\xff.jpg'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@lru_cache(maxsize=64)
def table_columns(classes: tuple[str, ...], actions: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """Return the columns of a table for a model with these classes and facial actions, in order.

    Args:
        classes: Classes of the model.
        actions: Facial actions of the model.

    Returns:
        The columns.

    Example:
        >>> [column.name for column in table_columns(("fear",))][5:9]
        ['unsure', 'decided_by', 'p_fear', 'x0']
    """
    return (
        Column("path", "text", "the picture, as it was given", lambda r: utf8_path(r.path)),
        Column("face", "integer", "index of the face in the picture, from 0, the largest first", lambda r: r.face),
        Column("status", "text", "`ok`, or what is the matter", lambda r: str(r.status)),
        Column("expression", "text", "the likeliest class", lambda r: r.expression),
        Column("probability", "number", "calibrated probability of that class, 0..1", lambda r: r.probability, 6),
        Column(
            "unsure",
            "flag",
            "whether the probability is below the model's `unsure_below`",
            lambda r: r.unsure if r.recognised else None,
        ),
        Column("decided_by", "text", "the head that chose: `fused`, `global` or `sum`", lambda r: r.decided_by),
        *(
            Column(
                f"p_{name}",
                "number",
                f"probability of {name}, 0..1",
                _entry("probabilities", name),
                6,
                "probabilities",
                name,
            )
            for name in classes
        ),
        *(
            Column(name, "number", f"{about} of the box, pixels of the picture", _corner(index), 2, "box")
            for index, (name, about) in enumerate(
                (("x0", "left edge"), ("y0", "upper edge"), ("x1", "right edge"), ("y1", "lower edge"))
            )
        ),
        Column(
            "candidates",
            "names",
            "classes of the conformal set, the likeliest first; filled with `--sets`",
            lambda r: r.candidates,
        ),
        *(
            Column(name, "number", about, _quality(name), 3, "quality")
            for name, about in (
                ("side", "shorter side of the box, pixels"),
                ("sharpness", "0 (blurred) .. 1 (sharp), comparable within one model"),
                ("yaw", "turn of the head, degrees, positive to the right in the picture"),
                ("roll", "angle of the line through the eyes, degrees, clockwise"),
                ("score", "score of the face detector, 0..1"),
            )
        ),
        Column("frame", "integer", "index of the frame in its video, from 0", lambda r: r.frame),
        Column("time", "number", "seconds from the beginning of the video", lambda r: r.time, 3),
        Column("track", "integer", "number of the person's track in its video, from 1", lambda r: r.track),
        *(
            Column(
                action_column(name),
                "number",
                f"activation of {with_unit(name)}, 0..1",
                _entry("actions", name),
                6,
                "actions",
                name,
            )
            for name in actions
        ),
    )


def action_column(name: str) -> str:
    """Return the name of the column of a facial action: ARKit's name, and the action unit where there is one.

    Example:
        >>> action_column("browDownLeft"), action_column("jawOpen"), action_column("mouthLeft")
        ('a_browDownLeft_AU4', 'a_jawOpen_AU26_27', 'a_mouthLeft')
    """
    unit = facial_action(name).unit.replace("/", "_")
    return f"a_{name}_{unit}" if unit else f"a_{name}"


def _entry(mapping: str, key: str) -> Callable[[FaceResult], float | None]:
    return lambda result: getattr(result, mapping).get(key)


def _corner(index: int) -> Callable[[FaceResult], float | None]:
    return lambda result: None if result.box is None else result.box[index]


def _quality(name: str) -> Callable[[FaceResult], float | None]:
    return lambda result: None if result.quality is None else getattr(result.quality, name)


def columns(classes: Sequence[str], actions: Sequence[str] = ()) -> list[str]:
    """Return the names of the columns of a table for a model with these classes and facial actions."""
    return [column.name for column in table_columns(tuple(classes), tuple(actions))]


_ROWS_AT_A_TIME = 8192


def csv_sink(file: IO[str], classes: Sequence[str], actions: Sequence[str] = ()) -> Callable[[FaceResult], None]:
    """Write the header of a CSV table (RFC 4180) and return a function that appends the row of a result.

    Args:
        file: A text file that was opened with ``newline=""``.
        classes: Classes of the model.
        actions: Facial actions of the model.

    Returns:
        The function.
    """
    writer = csv.writer(file)
    writer.writerow(columns(classes, actions))

    def write(result: FaceResult) -> None:
        writer.writerow(result.to_row(classes, actions))

    return write


def json_sink(file: IO[str], actions: Sequence[str] | None = None) -> Callable[[FaceResult], None]:
    """Return a function that writes a result as one line of JSON to ``file``; see :meth:`FaceResult.to_dict`."""

    def write(result: FaceResult) -> None:
        file.write(json.dumps(result.to_dict(actions)) + "\n")

    return write


def header_text(form: Form, classes: Sequence[str], actions: Sequence[str] = ()) -> str:
    """Return the header of a file of results: the column names for CSV, otherwise an empty text."""
    text = io.StringIO(newline="")
    if form is Form.CSV:
        csv.writer(text).writerow(columns(classes, actions))
    return text.getvalue()


def rows_text(
    form: Form, classes: Sequence[str], results: Sequence[Sequence[FaceResult]], actions: Sequence[str] = ()
) -> str:
    """Return results as rows of a CSV table, or as JSON lines for the other formats.

    Args:
        form: Format of the table.
        classes: Classes of the model.
        results: Results of each image.
        actions: Facial actions of the model.

    Returns:
        Complete lines of text.
    """
    text = io.StringIO(newline="")
    flat = (result for own in results for result in own)
    if form is Form.CSV:
        csv.writer(text).writerows(result.to_row(classes, actions) for result in flat)
    else:
        text.writelines(json.dumps(result.to_dict(actions)) + "\n" for result in flat)
    return text.getvalue()


def write_parquet(lines: Path, out: Path, classes: Sequence[str], actions: Sequence[str] = ()) -> None:
    """Convert a file of JSON lines to a Parquet table with the columns of the CSV table, in constant memory.

    Args:
        lines: The file of JSON lines.
        out: The Parquet file to write.
        classes: Classes of the model.
        actions: Facial actions of the model.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "text": pa.string(),
        "names": pa.string(),
        "integer": pa.int64(),
        "number": pa.float32(),
        "flag": pa.bool_(),
    }
    special = {"face": pa.int32(), "track": pa.int32(), "time": pa.float64()}
    described = table_columns(tuple(classes), tuple(actions))
    schema = pa.schema([(column.name, special.get(column.name, kinds[column.kind])) for column in described])
    with lines.open(encoding="utf-8") as file, pq.ParquetWriter(out, schema, compression="zstd") as writer:
        while block := [_flattened(json.loads(line), described) for line in islice(file, _ROWS_AT_A_TIME)]:
            writer.write_table(pa.Table.from_pylist(block, schema=schema))


def _flattened(row: dict[str, Any], described: Sequence[Column]) -> dict[str, Any]:
    """Return a JSON line as the cells of a table."""
    cells: dict[str, Any] = {}
    corners = iter(row["box"] or ())
    for column in described:
        if column.group == "box":
            cells[column.name] = next(corners, None)
        elif column.group == "quality":
            cells[column.name] = (row["quality"] or {}).get(column.name)
        elif column.group:
            cells[column.name] = row.get(column.group, {}).get(column.key)
        else:
            value = row[column.name]
            cells[column.name] = " ".join(value) if column.kind == "names" else value
    return cells


# The results of `recognise` for one image and for a list of images, and those of `stream` and `watch`.
Results = Iterable[FaceResult | Sequence[FaceResult]]

FRAMES: tuple[str, ...] = ("columns", "pandas", "polars", "pyarrow")


def to_columns(results: Results, classes: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Return results as columns: those of the CSV table in its order, with typed values and None for missing ones.

    Args:
        results: Results of one image, of several, or a stream of them; an image without a face also has a row.
        classes: Expressions that have a column ``p_<expression>``; None for those of the first recognised face.

    Returns:
        Column name -> values.

    Example:
        >>> to_columns([FaceResult("sky.jpg", None, Status.NO_FACE)])["status"]
        ['no_face']
    """
    rows = list(_flat(results))
    if classes is None:
        classes = next((list(row.probabilities) for row in rows if row.probabilities), [])
    actions = next((list(row.actions) for row in rows if row.actions), [])
    described = table_columns(tuple(classes), tuple(actions))
    return {column.name: [column.typed(row) for row in rows] for column in described}


def to_frame(results: Results, kind: str = "pandas", classes: Sequence[str] | None = None) -> Any:
    """Return results as a data frame.

    Args:
        results: See :func:`to_columns`.
        kind: ``columns`` (a dictionary of lists), ``pandas``, ``polars`` or ``pyarrow``.
        classes: See :func:`to_columns`.

    Returns:
        The data frame.

    Raises:
        UsageError: The kind is unknown.
        MissingExtraError: The library is not installed.
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
        # The first rows may all be without a face, so types are inferred from all rows.
        return library.DataFrame(columns, infer_schema_length=None)
    return library.DataFrame(columns)


def to_pandas(results: Results, classes: Sequence[str] | None = None) -> Any:
    """Return results as a pandas ``DataFrame``; see :func:`to_columns`."""
    return to_frame(results, "pandas", classes)


def to_polars(results: Results, classes: Sequence[str] | None = None) -> Any:
    """Return results as a polars ``DataFrame``; see :func:`to_columns`."""
    return to_frame(results, "polars", classes)


def _flat(results: Results) -> Iterator[FaceResult]:
    for result in results.rows if isinstance(results, FaceResults) else results:
        if isinstance(result, FaceResult):
            yield result
        else:
            yield from result.rows if isinstance(result, FaceResults) else result


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"This needs the package '{error.name}': pip install {name}.") from None
