"""A table of results that resumes after its last complete step if the run was interrupted.

``out.partial/`` contains ``state.json`` (the description of the run), ``journal.jsonl`` (one line per step, written
once its rows are on the disk) and ``pack/rows``, which is renamed to ``out`` when every input has its rows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dcdan.core.atomic_io import check_target
from dcdan.images.inputs import Input
from dcdan.jobs.resumable_job import ResumableJob, flush


class ResumableTable(ResumableJob):
    """The rows and the journal of an unfinished table, used by one process at a time."""

    def __init__(self, out: Path, state: Mapping[str, Any]) -> None:
        """Open the folder of an unfinished table, or start a new one.

        Args:
            out: The output.
            state: Describes the run in JSON values; an unfinished table with another state is discarded.

        Raises:
            OutputError: The folder contains unknown files, or another process is using it.
        """
        super().__init__(out, state)
        self._path = self.pack / "rows"
        self._path.touch()
        self._rows = self._path.open("r+b")
        self._seen = hashlib.sha256()
        self._inputs = 0
        self._notes: dict[str, Any] = {}

    def rest(self, inputs: Callable[[], Iterator[Input]]) -> tuple[Iterator[Input], dict[str, Any]]:
        """Return the inputs that remain and the notes of the last complete step.

        If any processed input was modified, added or removed since, the table starts again.

        Args:
            inputs: Returns a new iterator over all inputs.

        Returns:
            (remaining inputs, notes); all inputs and ``{}`` for a new table.
        """
        present = os.fstat(self._rows.fileno()).st_size
        record, journal_end = self._last_record(present)
        todo = inputs()
        for done in islice(todo, record["inputs"]):
            self._note([done])
        if (self._inputs, self._seen.hexdigest()) != (record["inputs"], record["seen"]):
            self._seen, self._inputs = hashlib.sha256(), 0
            record, journal_end, todo = _nothing_done(), 0, inputs()
        self._cut(record["bytes"], journal_end)
        self._notes = record["notes"]
        return todo, self._notes

    def write(self, text: str) -> None:
        """Append rows; they become permanent with :meth:`commit`."""
        self._rows.write(text.encode("utf-8", "backslashreplace"))

    def commit(self, inputs: Iterable[Input], notes: Mapping[str, Any]) -> None:
        """Make the rows written so far permanent and mark inputs as processed.

        Args:
            inputs: The inputs that the new rows complete.
            notes: JSON values that :meth:`rest` returns when the run is resumed.
        """
        self._note(inputs)
        self._notes = dict(notes)
        flush(self._rows)
        record = {
            "inputs": self._inputs,
            "seen": self._seen.hexdigest(),
            "bytes": self._rows.tell(),
            "notes": self._notes,
        }
        self._journal.write(json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n")
        flush(self._journal)

    def finish(self, convert: Callable[[Path, Path], None] | None = None, *, force: bool = False) -> None:
        """Rename the complete table to its output path.

        Args:
            convert: Called with (rows, new file) to convert the rows to another format first; None for no conversion.
            force: Whether an existing file may be replaced.

        Raises:
            OutputError: The output exists by now and ``force`` is false.
        """
        check_target(self.out, force=force)
        flush(self._rows)
        self._rows.close()
        path = self._path
        if convert is not None:
            path = self.pack / "converted"
            convert(self._path, path)
            with path.open("r+b") as file:
                flush(file)
        self.name(path, self._notes)

    def close(self) -> None:
        """Close the files; the folder remains, so that a later run can resume."""
        try:
            self._rows.close()
        finally:
            super().close()

    def _note(self, inputs: Iterable[Input]) -> None:
        for each in inputs:
            self._seen.update(each.mark())
            self._inputs += 1

    def _last_record(self, present: int) -> tuple[dict[str, Any], int]:
        """Return the last record whose line and rows are complete, and the position where its line ends."""
        record, end = _nothing_done(), 0
        self._journal.seek(0)
        for line in self._journal:
            try:
                found = json.loads(line) if line.endswith(b"\n") else {}
                whole = found.keys() == record.keys() and found["bytes"] <= present
            except (ValueError, AttributeError, TypeError):
                break
            if not whole:
                break
            record, end = found, end + len(line)
        return record, end

    def _cut(self, rows: int, journal: int) -> None:
        for file, length in ((self._rows, rows), (self._journal, journal)):
            file.truncate(length)
            file.seek(length)


def _nothing_done() -> dict[str, Any]:
    return {"inputs": 0, "seen": hashlib.sha256().hexdigest(), "bytes": 0, "notes": {}}
