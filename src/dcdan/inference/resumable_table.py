"""A table of results in the making: a run that was killed goes on after the last piece of work that was whole.

``out.partial/`` holds ``state.json`` (what is asked for), ``journal.jsonl`` (a line per piece of work, written once its
rows are on the disk) and ``pack/rows``, which takes the name of ``out`` when every input has its rows.
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
    """Rows and a journal, held by one process at a time."""

    def __init__(self, out: Path, state: Mapping[str, Any]) -> None:
        """Open or begin the folder for what ``state`` describes (JSON values); something else is begun anew.

        Raises:
            OutputError: when the folder is not of our making, or when another process is at work in it.
        """
        super().__init__(out, state)
        self._path = self.pack / "rows"
        self._path.touch()
        self._rows = self._path.open("r+b")
        self._seen = hashlib.sha256()
        self._inputs = 0
        self._notes: dict[str, Any] = {}

    def rest(self, inputs: Callable[[], Iterator[Input]]) -> tuple[Iterator[Input], dict[str, Any]]:
        """Return the inputs that are still to do and the notes of the last whole piece; all and {} to begin anew.

        The inputs done are compared with those of today: when one was changed, came or went, all is begun anew.
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
        """Add rows; they count once they are committed."""
        self._rows.write(text.encode("utf-8", "backslashreplace"))

    def commit(self, inputs: Iterable[Input], notes: Mapping[str, Any]) -> None:
        """Make the rows so far count: they are all there is to say of these inputs and those before."""
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
        """Let the whole table appear under its name at once; ``convert(rows, new)`` may make another file of it first.

        Raises:
            OutputError: when there is a file of that name by now and ``force`` does not say to replace it.
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
        """Let go of the files; what is written stays for a later run to continue."""
        try:
            self._rows.close()
        finally:
            super().close()

    def _note(self, inputs: Iterable[Input]) -> None:
        for each in inputs:
            self._seen.update(each.mark())
            self._inputs += 1

    def _last_record(self, present: int) -> tuple[dict[str, Any], int]:
        """Return the last record whose line and rows are complete, and where its line ends."""
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
