"""A manifest: a CSV or Parquet table with a row per picture, for data that are laid out in no known way.

Columns: `path` (relative to the manifest's folder, inside it), and as wanted `label` (an expression in any usual
spelling; empty for none), `split` (train, validation or test), `subject`, `group.NAME` for each group to report on, a
box `x0, y0, x1, y1` and landmarks `lx0, ly0, ... lx4, ly4` in pixels (left eye, right eye, nose, left and right mouth
corner; left = left in the picture). Other columns are not read.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

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
    """`faces`: "photographs" are searched for faces, "crops" hold one face each already."""

    faces: Literal["photographs", "crops"] = "photographs"


@register
class Manifest(Reader):
    """The rows of a table in their order; a row that cannot be read is named by its line and left out."""

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
        """Return a path as it is written, once it is certain that it, and what it may link to, lies in the folder."""
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
        """Yield line number (the header is line 1; in Parquet, row 1 is line 2) and cells by column."""
        return self._csv_rows() if self.table.suffix.lower() == ".csv" else self._parquet_rows()

    def _csv_rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        rows = csv.DictReader(line.replace("\0", "") for line in lines_of(self.table))
        self._require_path(rows.fieldnames or ())
        for row in readable(rows, self.table):
            cells: dict[Any, Any] = dict(row)
            # Surplus cells come under the key None.
            cells.pop(None, None)
            yield rows.line_num, cells

    def _parquet_rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
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
        if "path" not in columns:
            found = ", ".join(map(str, columns)) or "none"
            raise DataError(f"The manifest '{self.table}' looked for a column path; its columns are: {found}.")


def _is_read(column: str) -> bool:
    return column in ("path", "label", "split", "subject", *BOX, *LANDMARKS) or column.startswith(_GROUP)


def _is_group(key: str, value: Any) -> bool:
    return key.startswith(_GROUP) and value not in (None, "")


def _numbers(row: Mapping[str, Any], columns: tuple[str, ...]) -> list[float]:
    """Return the finite numbers in the columns; [] when all are empty; ValueError when some are, or one is none."""
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
