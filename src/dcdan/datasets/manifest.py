"""The reader of a manifest: a CSV or Parquet table with a row per picture, for data in any other layout.

Columns, of which only `path` is required:
    path: the picture, relative to the folder of the manifest and inside it.
    label: an expression in any usual spelling, empty for none.
    split: train, validation or test.
    subject: the person. Hold-outs do not divide the faces of a subject.
    group.NAME: a group for reports, such as `group.age`. Hold-outs do not divide `group.film` and `group.sequence`.
    x0, y0, x1, y1: a box in pixels.
    lx0, ly0, ... lx4, ly4: landmarks in pixels: left eye, right eye, nose, left and right mouth corner, where left
        means left in the picture.

Other columns are ignored.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field

from dcdan.core.errors import DataError
from dcdan.core.limits import open_table, parquet_module, small_batches, within
from dcdan.datasets.class_folders import SPLIT_NAMES
from dcdan.datasets.reader import Reader, ReaderOptions, Sample, lines_of, readable
from dcdan.datasets.registry import register
from dcdan.expressions import canonical, ordered

BOX = ("x0", "y0", "x1", "y1")
LANDMARKS = tuple(f"l{axis}{number}" for number in range(5) for axis in "xy")
_GROUP = "group."


class ManifestOptions(ReaderOptions):
    """Options of the reader."""

    faces: Literal["photographs", "crops"] = Field(
        "photographs", description="photographs are searched for faces; crops show one face each already"
    )


@register
class Manifest(Reader):
    """Reads the rows of a table in their order. A damaged row is left out, with its line and the reason in `notes`.

    Example:
        `dcdan pack manifest:/data/faces.csv --out packs/mine`
    """

    name = "manifest"
    title = "A manifest"
    licence = "your own"
    Options = ManifestOptions
    split_rule = "the column split"
    options: ManifestOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        self.table = self.folder
        if not self.table.is_file() or self.table.suffix.lower() not in (".csv", ".parquet"):
            raise DataError(f"'{self.table}' is no manifest: give a .csv or .parquet file with a column path.")
        self.root = self.table.parent
        self.cropped = self.options.faces == "crops"
        self._inside = self.root.resolve()
        words = {str(row.get("label") or "") for _, row in self._rows()}
        self.classes = ordered([name for name in map(canonical, words) if name])
        if not self.classes:
            self.max_faces = None

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        empty = True
        for line, row in self._rows():
            try:
                yield self._sample(row)
            except ValueError as reason:
                self.damaged(self.table, line, reason)
            empty = False
        if empty:
            raise DataError(f"The manifest '{self.table}' has no rows: give one row per picture.")

    def _sample(self, row: Mapping[str, Any]) -> Sample:
        """Return the sample of a row."""
        word, split = str(row.get("label") or "").strip(), str(row.get("split") or "").strip().lower()
        label = canonical(word)
        if word and label is None:
            raise ValueError(f"'{word}' is no expression")
        if split and split not in SPLIT_NAMES:
            raise ValueError(f"'{split}' is no split")
        points = _numbers(row, LANDMARKS)
        box = _numbers(row, BOX)
        if box and not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError("the box has no area")
        groups = {key.removeprefix(_GROUP): str(value) for key, value in row.items() if _is_group(key, value)}
        return Sample(
            path=self._path(str(row.get("path") or "").strip()),
            label=self.classes.index(label) if label else -1,
            split=SPLIT_NAMES.get(split, ""),
            subject=str(row.get("subject") or "").strip(),
            groups=dict(sorted(groups.items())),
            box=(box[0], box[1], box[2], box[3]) if box else None,
            landmarks=tuple(zip(points[::2], points[1::2], strict=True)) if points else None,
        )

    def _path(self, text: str) -> str:
        """Return a path as written, after a check that it, links followed, lies in the folder of the manifest."""
        path = PurePosixPath(text.replace("\\", "/"))
        if not text or "\0" in text or path == PurePosixPath("."):
            raise ValueError("it has no path")
        if path.is_absolute() or Path(text).is_absolute() or ".." in path.parts:
            raise ValueError(f"'{text}' leads out of the manifest's folder")
        try:
            inside = within(self._inside, self._inside / path)
        except OSError:
            raise ValueError(f"'{text}' cannot be followed") from None
        if not inside:
            raise ValueError(f"'{text}' leads out of the manifest's folder")
        return path.as_posix()

    def _rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the line number (the header is line 1; in Parquet, row 1 is line 2) and column -> cell."""
        return self._csv_rows() if self.table.suffix.lower() == ".csv" else self._parquet_rows()

    def _csv_rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the rows of a CSV file."""
        rows = csv.DictReader(line.replace("\0", "") for line in lines_of(self.table))
        self._require_path(rows.fieldnames or ())
        for row in readable(rows, self.table):
            cells: dict[Any, Any] = dict(row)
            # Surplus cells come under the key None.
            cells.pop(None, None)
            yield rows.line_num, cells

    def _parquet_rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the rows of a Parquet file."""
        parquet_module()
        import pyarrow as arrow

        try:
            with open_table(self.table) as file:
                self._require_path(file.schema_arrow.names)
                number = 2
                for batch in small_batches(file, list(filter(_is_read, file.schema_arrow.names))):
                    for row in batch.to_pylist():
                        yield number, row
                        number += 1
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise DataError(f"The manifest '{self.table}' is no readable Parquet file ({error}).") from None

    def _require_path(self, columns: Any) -> None:
        """Check that there is a column path."""
        if "path" not in columns:
            found = ", ".join(map(str, columns)) or "none"
            raise DataError(f"The manifest '{self.table}' has no column path; its columns are: {found}.")


def _is_read(column: str) -> bool:
    """Return whether a column is used."""
    return column in ("path", "label", "split", "subject", *BOX, *LANDMARKS) or column.startswith(_GROUP)


def _is_group(key: str, value: Any) -> bool:
    """Return whether a cell names a group."""
    return key.startswith(_GROUP) and value not in (None, "")


def _numbers(row: Mapping[str, Any], columns: tuple[str, ...]) -> list[float]:
    """Return the numbers in the columns, [] where all are empty; raise ValueError for some empty or not finite."""
    cells = [row.get(column) for column in columns]
    if all(cell is None or cell == "" for cell in cells):
        return []
    try:
        numbers = [float(str(cell)) for cell in cells]
    except ValueError:
        raise ValueError(f"{columns[0]} to {columns[-1]} are not all numbers") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{columns[0]} to {columns[-1]} are not all finite")
    return numbers
