"""The unfinished pack: faces and rows written chunk by chunk, so that a killed build continues after its last chunk.

`out.partial/` holds `state.json` (what is being built), `journal.jsonl` (a line per chunk, written once its faces are
on the disk) and `pack/`, which is renamed to `out` when everything in it is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from dcdan.data.pack_info import FACES, HEADER_BYTES, TABLE, Counts, npy_header
from dcdan.data.partial import Partial, flush
from dcdan.data.prepare import Row
from dcdan.data.table import TableWriter
from dcdan.durable import sha256


class PartialPack(Partial):
    """A pack in the making, held by one process at a time."""

    def __init__(self, out: Path, state: Mapping[str, Any], face_shape: tuple[int, ...]) -> None:
        """Open or begin the folder `out.partial` for what `state` describes (JSON values).

        An unfinished build of something else is begun anew. Raises OutputError when the folder is not of our making, or
        when another process is at work in it.
        """
        super().__init__(out, state)
        self.face_shape = face_shape
        self.keys: list[str] = []
        self._ends: list[tuple[int, int]] = []
        self._faces = _open_faces(self.pack / FACES)
        self._read_journal()

    @property
    def faces(self) -> int:
        """Faces in the whole chunks so far."""
        return self._ends[-1][0] if self._ends else 0

    def keep(self, chunks: int) -> None:
        """Forget everything after the first `chunks` chunks, on the disk too."""
        del self.keys[chunks:], self._ends[chunks:]
        self._journal.truncate(self._ends[-1][1] if self._ends else 0)
        self._faces.truncate(HEADER_BYTES + self.faces * int(np.prod(self.face_shape)))
        self._journal.seek(0, os.SEEK_END)
        self._faces.seek(0, os.SEEK_END)

    def append(self, key: str, faces: np.ndarray, rows: Sequence[Row]) -> None:
        """Add one chunk: its faces first, then the line that makes them count."""
        self._faces.write(np.ascontiguousarray(faces).data)
        flush(self._faces)
        end = self.faces + len(faces)
        line = json.dumps({"key": key, "faces": end, "rows": rows}, separators=(",", ":"), ensure_ascii=True)
        self._journal.write(line.encode("ascii") + b"\n")
        flush(self._journal)
        self.keys.append(key)
        self._ends.append((end, self._journal.tell()))

    def rows(self) -> Iterator[list[Row]]:
        """Yield the rows of each chunk, with `row`, a face's index among all faces, or -1 where there is none."""
        self._journal.seek(0)
        index = 0
        for line in self._journal:
            rows = json.loads(line)["rows"]
            for row in rows:
                has_face = row["box"] is not None
                row["row"] = index if has_face else -1
                index += has_face
            yield rows

    def write_table(self, classes: Sequence[str]) -> Counts:
        """Write table.parquet, without label columns when there are no classes, and return the counts of its rows."""
        with TableWriter(self.pack / TABLE, classes) as table:
            for rows in self.rows():
                table.add_rows(rows)
        return table.counts()

    def seal(self) -> dict[str, str]:
        """Give the faces their header and return the checksums of faces and table."""
        self._faces.seek(0)
        self._faces.write(npy_header((self.faces, *self.face_shape)))
        flush(self._faces)
        return {name: sha256(self.pack / name) for name in (FACES, TABLE)}

    def close(self) -> None:
        """Let go of the files; what is written stays for a later build to continue."""
        try:
            self._faces.close()
        finally:
            super().close()

    def _read_journal(self) -> None:
        """Take over the whole chunks of an earlier build: those whose line and faces are both complete."""
        self._journal.seek(0)
        size = int(np.prod(self.face_shape))
        present = (self.pack / FACES).stat().st_size
        for line in self._journal:
            try:
                chunk = json.loads(line) if line.endswith(b"\n") else {}
                end, key = int(chunk["faces"]), str(chunk["key"])
            except (ValueError, KeyError, TypeError):
                break
            if HEADER_BYTES + end * size > present:
                break
            self.keys.append(key)
            self._ends.append((end, self._journal.tell()))
        self.keep(len(self.keys))


def _open_faces(path: Path) -> IO[bytes]:
    if not path.exists() or path.stat().st_size < HEADER_BYTES:
        path.write_bytes(b"\0" * HEADER_BYTES)
    return path.open("r+b")
