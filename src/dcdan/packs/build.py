"""Building packs (streaming, parallel, resumable), and the pack that a spec names.

The samples are divided into chunks of one length, prepared by processes, and written in order. The bytes of a pack
therefore depend neither on the number of processes nor on an interruption of the build.

While a pack is built, `out.partial/` contains `state.json` (what is being built), `journal.jsonl` (a line per chunk,
written once the faces of the chunk are on the disk) and `pack/`, which is renamed to `out` when it is complete. A build
that was stopped resumes after its last whole chunk.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from dcdan.core.atomic_io import sha256
from dcdan.core.console import progress_bar
from dcdan.core.errors import DataError, DcdanError, PackError, UsageError
from dcdan.core.limits import parquet_module
from dcdan.core.signals import stoppable, stopped
from dcdan.datasets.listing import CHUNK, Listing, Part, checked_part, chunk_key, listed, nothing_selected
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
from dcdan.packs.cache_store import cache_limit, evict, mark_used
from dcdan.packs.format import (
    FACES,
    HEADER_BYTES,
    PACK_SCHEMA,
    TABLE,
    PackCounts,
    PackInfo,
    Shard,
    check_output_free,
    npy_header,
    publish_pack,
    utf8_text,
)
from dcdan.packs.pack import Pack
from dcdan.packs.prepare import Preparer, TableRow
from dcdan.packs.summary import no_faces, pack_warnings
from dcdan.packs.table import TableWriter


class ResumablePack(ResumableJob):
    """A pack that is being built, locked by one process at a time."""

    def __init__(self, out: Path, state: Mapping[str, Any], face_shape: tuple[int, ...]) -> None:
        """Open or create the folder `out.partial`.

        Args:
            out: the folder of the finished pack.
            state: what is being built, as values for JSON. An unfinished build of something else is discarded.
            face_shape: shape of one face, `(S, S)` or `(S, S, 3)`.

        Raises:
            OutputError: the folder holds other files, or another process builds in it.
        """
        super().__init__(out, state)
        self.face_shape = face_shape
        self.keys: list[str] = []
        self._ends: list[tuple[int, int]] = []
        self._faces = _open_faces(self.pack / FACES)
        self._read_journal()

    @property
    def faces(self) -> int:
        """The number of faces in the whole chunks so far."""
        return self._ends[-1][0] if self._ends else 0

    def truncate(self, chunks: int) -> None:
        """Discard everything after the first chunks, on the disk too.

        Args:
            chunks: number of chunks to retain.
        """
        del self.keys[chunks:], self._ends[chunks:]
        self._journal.truncate(self._ends[-1][1] if self._ends else 0)
        self._faces.truncate(HEADER_BYTES + self.faces * int(np.prod(self.face_shape)))
        self._journal.seek(0, os.SEEK_END)
        self._faces.seek(0, os.SEEK_END)

    def append(self, key: str, faces: np.ndarray, rows: Sequence[TableRow]) -> None:
        """Write one chunk: its faces first, then the line of the chunk log that completes it.

        Args:
            key: a hash of the chunk's samples.
            faces: `(n, *face_shape) uint8`.
            rows: a row for each sample or face.
        """
        self._faces.write(np.ascontiguousarray(faces).data)
        flush(self._faces)
        end = self.faces + len(faces)
        line = json.dumps({"key": key, "faces": end, "rows": rows}, separators=(",", ":"), ensure_ascii=True)
        self._journal.write(line.encode("ascii") + b"\n")
        flush(self._journal)
        self.keys.append(key)
        self._ends.append((end, self._journal.tell()))

    def rows(self) -> Iterator[list[TableRow]]:
        """Yield the rows of each chunk, with their index among all faces.

        Yields:
            Rows with `row`, the index of the face, or -1 for a row without a face.
        """
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
        """Write table.parquet.

        Args:
            classes: names of the classes; without them the table has no label columns.

        Returns:
            The counts of its rows.
        """
        with TableWriter(self.pack / TABLE, classes) as table:
            for rows in self.rows():
                table.add_rows(rows)
        return table.counts()

    def seal(self) -> dict[str, str]:
        """Write the header of the faces and compute the checksums.

        Returns:
            SHA-256 of the faces and the table, by file name.
        """
        self._faces.seek(0)
        self._faces.write(npy_header((self.faces, *self.face_shape)))
        flush(self._faces)
        return {name: sha256(self.pack / name) for name in (FACES, TABLE)}

    def close(self) -> None:
        """Close the files and release the lock; what is written remains for a build that resumes."""
        try:
            self._faces.close()
        finally:
            super().close()

    def _read_journal(self) -> None:
        """Read the whole chunks of an earlier build: those whose line and faces are both complete."""
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
        self.truncate(len(self.keys))


def _open_faces(path: Path) -> IO[bytes]:
    """Open the face file, with room for its header."""
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
    """Pack what a reader selects.

    A build that was stopped or killed is resumed by the same call.

    Args:
        reader: the data set.
        out: the new folder.
        size: side of the faces in pixels, 16 to 1,024.
        align: "mtcnn" detects and aligns faces, "none" resizes crops, "auto" is "mtcnn".
        workers: processes, None for one per core.
        progress: show a bar on stderr when that is a terminal.
        spec_text: the spec to record in pack.json; the reader's name by default.
        force: replace a pack that is there already.
        shard: pack only the part `(i, n)`, the i-th of n counted from 1, for `merge_packs`. It may have no face.
        cluster: machines that prepare the faces, in place of processes of this machine.

    Returns:
        The finished pack, opened.

    Raises:
        OutputError: `out` exists, cannot be written, or the disk is full.
        UsageError: the size, the alignment or the shard is not possible.
        DataError: nothing to pack, no face in any picture, or the data went away. A sentence at the end names the
            folder that is left for resuming, if there is one.
        MissingExtraError: pyarrow is not installed.
        Interrupted: SIGINT or SIGTERM. The last whole chunk is saved.

    Example:
        `build_pack(open_reader(parse_spec("ferplus:/data/FERPlus")), "packs/ferplus", size=64)`
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
    check_output_free(out, force)
    parquet_module()
    listing = listed(reader, part)
    if listing.total == 0:
        raise nothing_selected(reader, "pack")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = ResumablePack(out, state, (size, size) if reader.channels == 1 else (size, size, 3))
    except OSError as error:
        raise output_error(error, out) from error
    try:
        _fill(partial, listing, Preparer(reader, size, alignment), workers, progress, cluster)
        _finish(partial, reader, listing, part, size, alignment, spec_text, force)
    except OSError as error:
        raise _with_remains(output_error(error, out), partial, listing) from error
    except DcdanError as error:
        raise _with_remains(error, partial, listing) from error.__cause__
    finally:
        partial.close()
    return Pack.open(out)


def _with_remains(error: DcdanError, partial: ResumablePack, listing: Listing) -> DcdanError:
    """Return an error that names the folder which a failed build leaves; a folder without a whole chunk is removed."""
    if not partial.folder.exists():
        return error
    if not partial.keys:
        with suppress(OSError):
            partial.discard()
        return error
    done = min(len(partial.keys) * CHUNK, listing.count)
    return type(error)(
        f"{error} {done:,} of {listing.count:,} pictures are packed and stay in '{partial.folder}': the same command "
        "resumes there; delete that folder if you do not want to resume."
    )


def cached_pack(
    spec_text: str,
    size: int = 112,
    align: Align = "auto",
    cache: Path | str | None = None,
    *,
    labelled: bool = True,
) -> Pack | None:
    """Return the pack that :func:`pack_for` returns, unless it would have to be built.

    Args:
        spec_text: a pack or a data set.
        size: side of the faces in pixels.
        align: as in :func:`pack_for`.
        cache: as in :func:`pack_for`.
        labelled: as in :func:`pack_for`.

    Returns:
        The pack; None where it is not in the cache yet.

    Raises:
        DataError, UsageError, PackError: as in :func:`pack_for`; the layout of the data is checked in any case.
    """
    spec = parse_spec(spec_text)
    if is_url(spec.path) or (spec.reader is None and is_pack(Path(spec.path).expanduser())):
        return pack_for(spec_text, size, align, cache, labelled=labelled, progress=False)
    reader = open_reader(spec)
    key = cache_key(reader, size, "none" if align == "none" else "mtcnn")
    out = cache_folder(cache) / f"{reader.name}-{size}-{key}"
    return Pack.open(out, labelled=labelled) if is_pack(out) else None


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
    """Return the pack that a spec names, or a pack of the data that it names, built in the cache where it is missing.

    The name of a pack in the cache is a hash of the spec, size, alignment, and the names, sizes and times of the data
    files, so that changed data are packed again.

    Args:
        spec_text: a pack or a data set. A pack may have the options split, limit, seed, shift and severity.
        size: side of the faces in pixels. A pack must have it.
        align: "auto", "mtcnn" or "none", as in `build_pack`.
        cache: the folder of the cache; None for `$DCDAN_CACHE`, or `~/.cache/dcdan/packs`.
        labelled: False opens the pack as a target, whose labels are never read.
        workers: processes, None for one per core.
        progress: show a bar on stderr when that is a terminal.

    Returns:
        The opened pack.

    Raises:
        PackError: the pack is damaged, or has another size.
        UsageError: the spec is a URL, which must be packed by a command, or has an unknown option.
        DataError, OutputError, Interrupted: as in `build_pack`.
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
        raise UsageError(
            f"'{spec_text}' cannot be packed automatically: run dcdan pack '{spec_text}' --out DIR, and give DIR here."
        )
    reader = open_reader(spec)
    place = cache_folder(cache)
    key = cache_key(reader, size, "none" if align == "none" else "mtcnn")
    out = place / f"{reader.name}-{size}-{key}"
    with cache_lock(place, key):
        if not is_pack(out):
            build_pack(reader, out, size=size, align=align, workers=workers, progress=progress, spec_text=spec_text)
            evict(cache_limit(), [place])
    mark_used(out)
    return Pack.open(out, labelled=labelled)


def _fill(
    partial: ResumablePack,
    listing: Listing,
    preparer: Preparer,
    workers: int | None,
    progress: bool,
    cluster: Cluster | None,
) -> None:
    """Prepare the chunks that an earlier build lacks, and append them in order."""
    kept, done = 0, 0
    rest: Iterator[list[Sample]] = iter(())
    for chunk in listing.chunks:
        if kept == len(partial.keys) or partial.keys[kept] != chunk_key(chunk):
            rest = itertools.chain([chunk], listing.chunks)
            break
        kept, done = kept + 1, done + len(chunk)
    partial.truncate(kept)
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
                    raise stopped(partial.folder)
        except DataError:
            # A signal to the process group ends the workers too.
            if stop.is_set():
                raise stopped(partial.folder) from None
            raise
    if done < listing.count:
        raise DataError(
            f"The data changed while they were packed: {listing.count} samples were listed, {done} were there later; "
            "repeat the command, which then resumes."
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
        # A shard may lack a class. Merging checks the whole.
        warnings=(*(pack_warnings(counts, crops_option) if part is None else ()), *listing.remarks),
        shard=None if part is None else _shard(listing, part, crops_option),
        sha256=partial.seal(),
    )
    publish_pack(partial, info.text(), force)


def _shard(listing: Listing, part: Part, crops_option: bool) -> Shard:
    """Return the description of a shard."""
    number, count = part
    return Shard(number=number, count=count, samples=listing.total, listing=listing.digest, crops_option=crops_option)
