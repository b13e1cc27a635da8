"""The unfinished pack: faces and rows written chunk by chunk, so that a killed build continues after its last chunk.

`out.partial/` holds `state.json` (what is being built), `journal.jsonl` (a line per chunk, written once its faces are
on the disk) and `pack/`, which is renamed to `out` when everything in it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from dcdan.data.pack_info import FACES, HEADER_BYTES, INFO, TABLE, Counts, npy_header, sha256, sync_folder
from dcdan.data.prepare import Row
from dcdan.data.reader import Sample
from dcdan.errors import OutputError

_STATE, _JOURNAL = "state.json", "journal.jsonl"
_TABLE_ROWS = 8192
_MAPS = frozenset({"groups", "values"})


def chunk_key(samples: Sequence[Sample]) -> str:
    """Return a hash of what a chunk's samples say, by which a continued build knows that they are still the same."""
    return hashlib.blake2b(repr(samples).encode(), digest_size=16).hexdigest()


class PartialPack:
    """A pack in the making, held by one process at a time."""

    def __init__(self, out: Path, state: Mapping[str, Any], face_shape: tuple[int, ...]) -> None:
        """Open or begin the folder `out.partial` for what `state` describes (JSON values).

        An unfinished build of something else is begun anew. Raises OutputError when the folder is not of our making, or
        when another process is at work in it.
        """
        self.folder = out.with_name(out.name + ".partial")
        self.pack = self.folder / "pack"
        self.face_shape = face_shape
        self.keys: list[str] = []
        self._ends: list[tuple[int, int]] = []
        text = json.dumps(dict(state), sort_keys=True)
        if self.folder.exists() and not self._continues(text):
            self._discard_foreign()
        self.pack.mkdir(parents=True, exist_ok=True)
        if not (self.folder / _STATE).exists():
            _write(self.folder / _STATE, text)
        self._journal = (self.folder / _JOURNAL).open("a+b")
        _lock(self._journal, self.folder)
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
        _flush(self._faces)
        end = self.faces + len(faces)
        line = json.dumps({"key": key, "faces": end, "rows": rows}, separators=(",", ":"), ensure_ascii=True)
        self._journal.write(line.encode("ascii") + b"\n")
        _flush(self._journal)
        self.keys.append(key)
        self._ends.append((end, self._journal.tell()))

    def rows(self) -> Iterator[Row]:
        """Yield the rows of all chunks, each with `row`, its index among the faces or -1."""
        self._journal.seek(0)
        index = 0
        for line in self._journal:
            for row in json.loads(line)["rows"]:
                has_face = row["box"] is not None
                yield {**row, "row": index if has_face else -1}
                index += has_face

    def write_table(self, classes: Sequence[str]) -> Counts:
        """Write table.parquet, without label columns when there are no classes, and return the counts of its rows."""
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        schema = _table_schema(bool(classes))
        splits: Counter[str] = Counter()
        labels: Counter[int] = Counter()
        statuses: Counter[str] = Counter()
        total = 0
        with parquet.ParquetWriter(self.pack / TABLE, schema, compression="zstd") as writer:
            for group in _grouped(self.rows(), _TABLE_ROWS):
                records = [{name: row[name] for name in schema.names} for row in group]
                for record in records:
                    for name in _MAPS & record.keys():
                        record[name] = list(record[name].items())
                writer.write_table(arrow.Table.from_pylist(records, schema=schema))
                total += len(group)
                statuses.update(row["status"] for row in group)
                splits.update(row["split"] for row in group if row["row"] >= 0)
                labels.update(row["label"] for row in group if row["row"] >= 0)
        return Counts(
            rows=total,
            faces=self.faces,
            splits=dict(sorted(splits.items())),
            classes={name: labels[index] for index, name in enumerate(classes)},
            statuses=dict(sorted(statuses.items())),
        )

    def seal(self) -> dict[str, str]:
        """Give the faces their header and return the checksums of faces and table."""
        self._faces.seek(0)
        self._faces.write(npy_header((self.faces, *self.face_shape)))
        _flush(self._faces)
        return {name: sha256(self.pack / name) for name in (FACES, TABLE)}

    def publish(self, out: Path, info: str) -> None:
        """Write pack.json, and let the finished pack appear under its name at once."""
        _write(self.pack / INFO, info)
        sync_folder(self.pack)
        self.close()
        os.replace(self.pack, out)  # noqa: PTH105  (Path.replace says nothing of folders)
        sync_folder(out.parent)
        shutil.rmtree(self.folder)

    def discard(self) -> None:
        """Remove what was written."""
        self.close()
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """Let go of the files; what is written stays for a later build to continue."""
        try:
            self._faces.close()
        finally:
            self._journal.close()

    def _continues(self, text: str) -> bool:
        try:
            return (self.folder / _STATE).read_text(encoding="utf-8") == text
        except OSError:
            return False

    def _discard_foreign(self) -> None:
        known = {_STATE, _JOURNAL, "pack"}
        found = {child.name for child in self.folder.iterdir()} if self.folder.is_dir() else {self.folder.name}
        if found - known:
            raise OutputError(f"'{self.folder}' is in the way and no unfinished pack: move it or choose another --out.")
        if (self.folder / _JOURNAL).exists():
            with (self.folder / _JOURNAL).open("a+b") as journal:
                _lock(journal, self.folder)
        shutil.rmtree(self.folder)

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


def _table_schema(labelled: bool) -> Any:
    import pyarrow as arrow

    labels = [
        ("label", arrow.int16()),
        ("votes", arrow.list_(arrow.float32())),
        ("values", arrow.map_(arrow.string(), arrow.float32())),
    ]
    return arrow.schema(
        [
            ("path", arrow.string()),
            ("face", arrow.int32()),
            ("row", arrow.int64()),
            ("status", arrow.string()),
            ("split", arrow.string()),
            ("subject", arrow.string()),
            ("groups", arrow.map_(arrow.string(), arrow.string())),
            ("box", arrow.list_(arrow.float32())),
            ("score", arrow.float32()),
            ("landmarks", arrow.list_(arrow.float32())),
            *(labels if labelled else ()),
        ]
    )


def _grouped(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _open_faces(path: Path) -> IO[bytes]:
    if not path.exists() or path.stat().st_size < HEADER_BYTES:
        path.write_bytes(b"\0" * HEADER_BYTES)
    return path.open("r+b")


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _lock(file: IO[bytes], folder: Path) -> None:
    """Hold the journal for this process; the system lets go of it when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Not a POSIX system.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise OutputError(f"Another process is building in '{folder}': wait for it, or choose another --out.") from None
