"""The pack: aligned faces of a data set in one memory-mapped array, with a table. Training reads nothing else."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dcdan.core.atomic_io import sha256
from dcdan.core.errors import MissingExtraError, PackError
from dcdan.core.limits import open_table, small_batches, within
from dcdan.datasets.folds import HoldoutGroups, holdout_groups
from dcdan.datasets.reader import draw
from dcdan.images.status import Status
from dcdan.packs.format import (
    FACES,
    HEADER_BYTES,
    INFO,
    OTHER_CHECKSUM,
    TABLE,
    PackInfo,
    damaged,
    npy_header,
    read_info,
)

LABEL_COLUMNS = frozenset({"label", "votes", "values"})


class HiddenLabelsError(PackError, AttributeError):
    """An access to labels of a pack that was opened as a target; they are never read from the file."""


class Pack:
    """A pack opened for reading. All arrays have one entry per face, in the order of `faces`.

    A view, made by a spec such as `pack?split=test`, has all faces; `select()` returns the indices of the view.

    Attributes:
        folder: the folder of the pack.
        info: the content of pack.json; a target has no counts of classes.
        labelled: whether there are labels and they may be read.
        split: the split of the view, None for all.
        limit: the number of faces in the view, None for all.
        seed: the seed by which the limit chooses.

    Example:
        `Pack.open("packs/ferplus").faces[0]`
    """

    def __init__(
        self,
        folder: Path,
        info: PackInfo,
        *,
        labelled: bool = True,
        split: str | None = None,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        hidden = info.model_copy(update={"counts": info.counts.model_copy(update={"classes": {}})})
        self.folder = folder
        self.info = info if labelled else hidden
        self.labelled = labelled and bool(info.classes)
        self.split = split
        self.limit = limit
        self.seed = seed
        self._hidden = not labelled

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        labelled: bool = True,
        split: str | None = None,
        limit: int | None = None,
        seed: int = 0,
    ) -> Pack:
        """Open a pack and check the checksum of its table and the size of its faces.

        Args:
            folder: the pack.
            labelled: False opens it as a target: labels, votes and values are never read, and accessing them raises.
            split: the split of the view, None for all.
            limit: the number of faces in the view, None for all.
            seed: seed of the random choice of a limit.

        Returns:
            The opened pack.

        Raises:
            PackError: the folder is not a pack, its schema is another, a file is damaged, or it has no such split.
        """
        folder = Path(folder)
        info = read_info(folder)
        _check_files(folder, info)
        if split is not None and split not in info.counts.splits:
            known = ", ".join(sorted(name for name in info.counts.splits if name)) or "none"
            raise PackError(f"The pack '{folder}' has no split '{split}'; its splits are: {known}.")
        return cls(folder, info, labelled=labelled, split=split, limit=limit, seed=seed)

    def __len__(self) -> int:
        """Return the number of faces."""
        return self.info.counts.faces

    @property
    def size(self) -> int:
        """Side of the faces in pixels."""
        return self.info.size

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that labels index, in canonical order."""
        return self.info.classes

    @cached_property
    def faces(self) -> np.ndarray:
        """`(N, S, S, 3)` RGB or `(N, S, S)` grey, uint8, memory-mapped and read-only."""
        return np.asanyarray(np.load(self.folder / FACES, mmap_mode="r", allow_pickle=False))

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64 indices into `classes`, -1 where a face has none.

        Raises:
            HiddenLabelsError: the pack was opened as a target.
            PackError: a label is not one of the classes.
        """
        self._check_not_hidden("labels")
        if not self.info.classes:
            return np.full(len(self), -1, np.int64)
        labels = self._array("label", np.int64)
        if len(labels) and not -1 <= labels.min() <= labels.max() < len(self.classes):
            raise damaged(self.folder, TABLE, "a label is none of the classes")
        return labels

    @cached_property
    def votes(self) -> np.ndarray | None:
        """(N, K) float32 with rows that sum to 1, or None when no face has votes. Raises HiddenLabelsError in a target.

        A face without votes has all weight on its label, or even weights when it has no label either.
        """
        self._check_not_hidden("votes")
        if not self.info.classes:
            return None
        rows = self._column("votes")
        if all(row is None for row in rows):
            return None
        count = len(self.classes)
        labels = self.labels
        votes = np.full((len(self), count), 1 / count, np.float32)
        votes[labels >= 0] = np.eye(count, dtype=np.float32)[labels[labels >= 0]]
        known = [index for index, row in enumerate(rows) if row is not None]
        votes[known] = _numbers(self.folder, "votes", [rows[index] for index in known], np.float32, count)
        return votes

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """Name -> (N,) float32, NaN where a face has none: valence, arousal. Raises HiddenLabelsError in a target."""
        self._check_not_hidden("values")
        if not self.info.classes or "values" not in self._columns():
            return {}
        rows = [dict(row or ()) for row in self._column("values")]
        names = sorted({name for row in rows for name in row})
        return {name: np.array([row.get(name, np.nan) for row in rows], np.float32) for name in names}

    @cached_property
    def splits(self) -> np.ndarray:
        """(N,) str: train, validation, test or ''."""
        return np.array(self._column("split"), dtype=str)

    @cached_property
    def paths(self) -> np.ndarray:
        """(N,) str: the picture of each face, relative to the data set."""
        return np.array(self._column("path"), dtype=str)

    @cached_property
    def face_numbers(self) -> np.ndarray:
        """(N,) int64: which face of its picture."""
        return self._array("face", np.int64)

    @cached_property
    def subjects(self) -> np.ndarray:
        """(N,) str: the person, '' where unknown."""
        return np.array(self._column("subject"), dtype=str)

    @cached_property
    def statuses(self) -> np.ndarray:
        """(N,) str: ok or not_aligned."""
        return np.array(list(map(self._status, self._column("status"))), dtype=str)

    @cached_property
    def landmarks(self) -> np.ndarray:
        """(N, 5, 2) float32, x and y in units of the face side."""
        return self._array("landmarks", np.float32, 5, 2)

    @cached_property
    def boxes(self) -> np.ndarray:
        """(N, 4) float32: x0, y0, x1, y1 in pixels of the picture."""
        return self._array("box", np.float32, 4)

    @cached_property
    def groups(self) -> dict[str, np.ndarray]:
        """Group name -> (N,) str, '' where a face has no value; for instance {"age": ["20-39", ...]}."""
        rows = [dict(row) for row in self._column("groups")]
        names = sorted({name for row in rows for name in row})
        return {name: np.array([row.get(name, "") for row in rows], dtype=str) for name in names}

    def failures(self) -> list[tuple[str, str]]:
        """Return the pictures without a face.

        Returns:
            Path and status of each.
        """
        table = self.table(["path", "status", "row"])
        return [
            (path, self._status(status))
            for path, status, row in zip(table["path"], table["status"], table["row"], strict=True)
            if row < 0
        ]

    def select(self, split: str | None = None) -> np.ndarray:
        """Return the indices of the faces of a split.

        Args:
            split: the split; None for the view of the spec, or all faces.

        Returns:
            `(n,) int64`, ascending.
        """
        split = self.split if split is None else split
        chosen = np.arange(len(self)) if split is None else np.flatnonzero(self.splits == split)
        return chosen if self.limit is None else draw(chosen, self.limit, self.seed)

    def verify(self) -> dict[str, str]:
        """Read the files of the pack and compare their checksums with those in pack.json.

        Call it once before a training or an evaluation. A file that has not changed since this process read it last
        (same size, time of change and inode) is not read again. Reading takes about a second a gigabyte.

        Returns:
            File name -> SHA-256 of what was read, for `faces.npy` and `table.parquet`.

        Raises:
            PackError: a file is damaged; the sentence names it.
        """
        found = {name: _checksum(self.folder / name) for name in self.info.sha256}
        for name, expected in self.info.sha256.items():
            if found[name] != expected:
                raise damaged(self.folder, name, OTHER_CHECKSUM)
        return found

    @cached_property
    def holdout_groups(self) -> HoldoutGroups:
        """The group of each face that a hold-out must not divide: its subject, film or picture."""
        return holdout_groups(self.subjects, self.groups, self.paths)

    def _check_not_hidden(self, what: str) -> None:
        """Raise HiddenLabelsError in a target."""
        if self._hidden:
            raise HiddenLabelsError(f"The pack '{self.folder}' was opened as a target, which has no {what}.")

    def _column(self, name: str) -> list[Any]:
        """Return one column for the rows that have a face; no other column is read from the file."""
        table = self.table([name, "row"])
        found = [value for value, row in zip(table[name], table["row"], strict=True) if row is not None and row >= 0]
        if len(found) != len(self):
            raise damaged(self.folder, TABLE, f"it has {len(found)} faces and {INFO} {len(self)}")
        return found

    def _array(self, name: str, kind: type[np.generic], *shape: int) -> np.ndarray:
        """Return a column of numbers, one of this shape for each face."""
        return _numbers(self.folder, name, self._column(name), kind, *shape)

    def _status(self, text: str) -> Status:
        """Return the status of a cell."""
        try:
            return Status(text)
        except ValueError:
            raise damaged(self.folder, TABLE, "a status is unknown") from None

    def _columns(self) -> list[str]:
        """Return the column names of the table."""
        with open_table(self.folder / TABLE) as file:
            return list(file.schema_arrow.names)

    def table(self, columns: list[str]) -> dict[str, list[Any]]:
        """Read columns of the table for all rows, including those without a face.

        Args:
            columns: names of the columns.

        Returns:
            Values by column.

        Raises:
            HiddenLabelsError: a column of labels was requested from a target.
            PackError: the table is damaged.
            MissingExtraError: pyarrow is not installed.
        """
        for name in LABEL_COLUMNS.intersection(columns):
            self._check_not_hidden(name)
        found: dict[str, list[Any]] = {name: [] for name in columns}
        try:
            with open_table(self.folder / TABLE, columns) as file:
                if file.metadata.num_rows != self.info.counts.rows:
                    raise ValueError(f"it has {file.metadata.num_rows} rows and {INFO} {self.info.counts.rows}")
                for batch in small_batches(file, columns):
                    for name in columns:
                        found[name] += batch.column(name).to_pylist()
        except MissingExtraError:
            raise
        except Exception as error:  # Arrow has many.
            raise damaged(self.folder, TABLE, f"{type(error).__name__} while reading it: {error}") from None
        return found


_checksums: dict[Path, tuple[tuple[int, int, int], str]] = {}
"""Resolved path -> the state of the file when it was read, and its SHA-256."""


def _checksum(path: Path) -> str:
    """Return the SHA-256 of a file, read again only when its size, time of change or inode is another."""
    place = path.resolve()
    stat = place.stat()
    state = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    known = _checksums.get(place)
    if known is None or known[0] != state:
        known = _checksums[place] = (state, sha256(place))
    return known[1]


def _numbers(folder: Path, name: str, rows: list[Any], kind: type[np.generic], *shape: int) -> np.ndarray:
    """Return a column of numbers as an array, after a check of its shape and values."""
    try:
        numbers = np.array(rows, kind).reshape(len(rows), *shape)
    except (ValueError, TypeError, OverflowError):
        raise damaged(folder, TABLE, f"the column {name} is of another shape") from None
    if not np.isfinite(numbers).all():
        raise damaged(folder, TABLE, f"the column {name} is not all numbers")
    return numbers


def _check_files(folder: Path, info: PackInfo) -> None:
    """Check that the files exist and have the recorded checksum, size and header."""
    for name in (TABLE, FACES):
        if not (folder / name).is_file():
            raise damaged(folder, name, "it is missing")
        if not within(folder, folder / name):
            raise PackError(f"'{folder / name}' is a link that leads out of the pack: put the file itself there.")
    if _checksum(folder / TABLE) != info.sha256.get(TABLE):
        raise damaged(folder, TABLE, OTHER_CHECKSUM)
    faces = folder / FACES
    expected = HEADER_BYTES + math.prod(info.shape())
    with faces.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if faces.stat().st_size != expected:
        raise damaged(folder, FACES, f"it has {faces.stat().st_size} bytes instead of {expected}")
    if header != npy_header(info.shape()):
        raise damaged(folder, FACES, "its header is not that of this pack")
