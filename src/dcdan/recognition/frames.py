"""Results as columns: plain lists, or a data frame of a library that is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

from dcdan.errors import MissingExtraError, unknown
from dcdan.recognition.results import BOX_COLUMNS, QUALITY_COLUMNS, VIDEO_COLUMNS, FaceResult

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
