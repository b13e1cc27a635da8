"""Building packs: streaming, in parallel, resumable; and finding or building the pack that a spec names.

The unfinished pack: faces and rows written chunk by chunk, so that a killed build continues after its last chunk.

`out.partial/` holds `state.json` (what is being built), `journal.jsonl` (a line per chunk, written once its faces are
on the disk) and `pack/`, which is renamed to `out` when everything in it is complete.

Build packs: streaming, in parallel, restartable; and find or build the pack that a spec names.

The samples are cut into chunks of fixed length, prepared by processes, and written in order; so the bytes of a pack
do not depend on the number of processes, nor on whether the build was interrupted.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from dcdan.core.atomic_io import sha256
from dcdan.core.console import progress_bar
from dcdan.core.errors import DataError, PackError, UsageError
from dcdan.core.signals import stoppable, stopped
from dcdan.datasets.listing import CHUNK, Listing, Part, checked_part, chunk_key, listed
from dcdan.datasets.reader import Reader, Sample
from dcdan.datasets.spec import is_pack, open_reader, parse_spec, view_options
from dcdan.faces.extract import Alignment
from dcdan.images.discover import refuse_vanished
from dcdan.images.remote import is_url
from dcdan.images.status import Status
from dcdan.jobs.cluster import Cluster
from dcdan.jobs.resumable_job import ResumableJob, flush, named_before, output_error
from dcdan.jobs.workers import prepared
from dcdan.packs.cache import cache_folder, cache_key, cache_lock, shifted_copy
from dcdan.packs.format import (
    FACES,
    HEADER_BYTES,
    PACK_SCHEMA,
    TABLE,
    PackCounts,
    PackInfo,
    Shard,
    npy_header,
    publish_pack,
    refuse_existing,
    utf8_text,
)
from dcdan.packs.pack import Pack
from dcdan.packs.prepare import Preparer, TableRow
from dcdan.packs.summary import no_faces, odd
from dcdan.packs.table import TableWriter


class ResumablePack(ResumableJob):
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

    def append(self, key: str, faces: np.ndarray, rows: Sequence[TableRow]) -> None:
        """Add one chunk: its faces first, then the line that makes them count."""
        self._faces.write(np.ascontiguousarray(faces).data)
        flush(self._faces)
        end = self.faces + len(faces)
        line = json.dumps({"key": key, "faces": end, "rows": rows}, separators=(",", ":"), ensure_ascii=True)
        self._journal.write(line.encode("ascii") + b"\n")
        flush(self._journal)
        self.keys.append(key)
        self._ends.append((end, self._journal.tell()))

    def rows(self) -> Iterator[list[TableRow]]:
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

    def write_table(self, classes: Sequence[str]) -> PackCounts:
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


Align = Literal["auto", "mtcnn", "none"]
SIZES = (16, 1024)
_UNREAD = (Status.MISSING, Status.UNREADABLE, Status.TRUNCATED)


def build_pack(
    reader: Reader,
    out: Path | str,
    *,
    size: int = 112,
    align: Align = "auto",
    workers: int | None = None,
    progress: bool = True,
    spec_text: str | None = None,
    force: bool = False,
    shard: Part | None = None,
    cluster: Cluster | None = None,
) -> Pack:
    """Pack what a reader selects into the new folder `out`, and return the pack opened.

    size: side of the faces in pixels. align: "auto" is "mtcnn". workers: processes, None for one per core. progress:
    show a bar on stderr when that is a terminal. force: replace a pack that is there already. shard: pack the part
    `(i, n)` alone, the i-th of n counted from 1, for `merge_packs` to join; it may turn out without a face. cluster:
    machines to prepare the faces on, in place of processes of this one.

    A build that was killed is continued by the same call. Raises OutputError (`out` exists, no space left), UsageError
    (size, alignment or shard), DataError (nothing to pack, no face in any picture, then nothing is left behind, or data
    that went away meanwhile) and Interrupted (SIGINT or SIGTERM asked to stop; the last whole chunk is saved).
    """
    out = Path(out)
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"A face size of {size} pixels is not possible: choose from {SIZES[0]} to {SIZES[1]}.")
    if align not in ("auto", "mtcnn", "none"):
        raise UsageError(f"Unknown alignment '{align}': choose auto, mtcnn or none.")
    alignment: Alignment = "none" if align == "none" else "mtcnn"
    part = None if shard is None else checked_part(shard)
    spec_text = utf8_text(spec_text or reader.name)
    state = {"schema": PACK_SCHEMA, "spec": spec_text, "reader": reader.name, "size": size, "alignment": alignment}
    state |= {"root": str(reader.root), "options": reader.options.model_dump(mode="json"), "chunk": CHUNK}
    if part is not None:
        state["shard"] = list(part)
    if named_before(out, state) is not None:
        return Pack.open(out)
    refuse_existing(out, force)
    listing = listed(reader, part)
    if listing.total == 0:
        skipped = ", ".join(f"{count} {reason}" for reason, count in listing.skipped.items())
        raise DataError(f"{reader.title} gave nothing to pack" + (f" (left out: {skipped})." if skipped else "."))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = ResumablePack(out, state, (size, size) if reader.channels == 1 else (size, size, 3))
        try:
            _fill(partial, listing, Preparer(reader, size, alignment), workers, progress, cluster)
            _finish(partial, reader, listing, part, size, alignment, spec_text, force)
        finally:
            partial.close()
    except OSError as error:
        raise output_error(error, out) from error
    return Pack.open(out)


def pack_for(
    spec_text: str,
    size: int = 112,
    align: Align = "auto",
    cache: Path | str | None = None,
    *,
    labelled: bool = True,
    workers: int | None = None,
    progress: bool = True,
) -> Pack:
    """Return the pack that a spec names, or the pack of the data that it names, built in the cache if it is not there.

    The cache (`cache`, else $DCDAN_CACHE, else ~/.cache/dcdan/packs) keeps a pack under a hash of the spec, size,
    alignment and the names, sizes and times of the data's files, so changed data are packed again. A pack may carry
    the options split, limit, seed, shift and severity (a shifted copy is kept in the cache); its size must be the one
    asked for. With `labelled=False` labels stay unread.
    """
    spec = parse_spec(spec_text)
    folder = Path(spec.path).expanduser()
    if spec.reader is None and is_pack(folder):
        options = view_options(spec.options)
        view = options.model_dump(include={"split", "limit", "seed"})
        pack = Pack.open(folder, labelled=labelled, **view)
        if pack.size != size:
            raise PackError(
                f"The pack '{folder}' has faces of {pack.size} pixels, not {size}: pack the data with {size}."
            )
        if shift := options.known_shift:
            return Pack.open(shifted_copy(folder, shift, cache, progress=progress), labelled=labelled, **view)
        return pack
    if is_url(spec.path):
        raise UsageError(f"'{spec_text}' is packed by hand: dcdan pack '{spec_text}' --out DIR, and give DIR here.")
    reader = open_reader(spec)
    place = cache_folder(cache)
    key = cache_key(reader, size, "none" if align == "none" else "mtcnn")
    out = place / f"{reader.name}-{size}-{key}"
    with cache_lock(place, key):
        if not is_pack(out):
            build_pack(reader, out, size=size, align=align, workers=workers, progress=progress, spec_text=spec_text)
    return Pack.open(out, labelled=labelled)


def _fill(
    partial: ResumablePack,
    listing: Listing,
    preparer: Preparer,
    workers: int | None,
    progress: bool,
    cluster: Cluster | None,
) -> None:
    """Prepare the chunks that an earlier build has not, and append them in order."""
    kept, done = 0, 0
    rest: Iterator[list[Sample]] = iter(())
    for chunk in listing.chunks:
        if kept == len(partial.keys) or partial.keys[kept] != chunk_key(chunk):
            rest = itertools.chain([chunk], listing.chunks)
            break
        kept, done = kept + 1, done + len(chunk)
    partial.keep(kept)
    root = preparer.reader.root if preparer.reader.needs_path else None
    roots = [root] if root is not None and root.exists() else []  # at a URL there is no such path
    if cluster is not None:
        work = cluster.ordered(preparer.prepare, rest)
    else:
        work = prepared(preparer, rest, listing.count - done, CHUNK, workers)
    with stoppable() as stop, progress_bar("packing", listing.count, done, shown=progress) as advance:
        try:
            for chunk, (faces, rows) in work:
                if any(row["status"] in _UNREAD for row in rows):
                    refuse_vanished(roots)
                partial.append(chunk_key(chunk), faces, rows)
                done += len(chunk)
                advance(len(chunk))
                if stop.is_set():
                    raise stopped(partial.out)
        except DataError:
            # A signal to the whole group ends the processes that prepare, too.
            if stop.is_set():
                raise stopped(partial.out) from None
            raise
    if done < listing.count:
        raise DataError(
            f"The data changed while they were packed: {listing.count} samples were listed, {done} were there later; "
            "repeat the command, which then goes on."
        )


def _finish(
    partial: ResumablePack,
    reader: Reader,
    listing: Listing,
    part: Part | None,
    size: int,
    alignment: str,
    spec_text: str,
    force: bool,
) -> None:
    """Write the table and pack.json, and publish the pack."""
    counts = partial.write_table(reader.classes)
    crops_option = "faces" in type(reader).Options.model_fields and not reader.cropped
    if counts.faces == 0 and part is None:
        partial.discard()
        raise DataError(no_faces(counts, reader.root, crops_option))
    info = PackInfo(
        schema_version=PACK_SCHEMA,
        data_set=reader.name,
        title=reader.title,
        spec=spec_text,
        licence=reader.licence,
        classes=reader.classes,
        size=size,
        channels=reader.channels,
        alignment=alignment,
        layout=reader.layout or None,
        split_rule=reader.split_rule,
        shift=reader.options.known_shift,
        counts=counts,
        skipped=listing.skipped,
        # That a part lacks a class says nothing: merging looks at the whole.
        warnings=(*(odd(counts, crops_option) if part is None else ()), *listing.remarks),
        shard=None if part is None else _shard(listing, part, crops_option),
        sha256=partial.seal(),
    )
    publish_pack(partial, info.text(), force)


def _shard(listing: Listing, part: Part, crops_option: bool) -> Shard:
    number, count = part
    return Shard(number=number, count=count, samples=listing.total, listing=listing.digest, crops_option=crops_option)
