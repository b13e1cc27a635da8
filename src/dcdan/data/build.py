"""Build packs: streaming, in parallel, restartable; and find or build the pack that a spec names.

The samples are cut into chunks of fixed length, prepared by processes, and written in order; so the bytes of a pack
do not depend on the number of processes, nor on whether the build was interrupted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dcdan.data.cache import cache_folder, cache_key, cache_lock
from dcdan.data.cluster import Cluster
from dcdan.data.listing import CHUNK, Listing, Part, checked_part, chunk_key, listed
from dcdan.data.pack import Pack
from dcdan.data.pack_info import SCHEMA, PackInfo, Shard, printable
from dcdan.data.partial import named_before, output_error, refuse_existing
from dcdan.data.prepare import Alignment, Preparer
from dcdan.data.progress import progress_bar
from dcdan.data.reader import Reader, Sample
from dcdan.data.remarks import no_faces, odd
from dcdan.data.shifted_copy import shifted_copy
from dcdan.data.spec import is_pack, open_reader, parse_spec, view_options
from dcdan.data.store import PartialPack
from dcdan.data.vanished import refuse_vanished
from dcdan.data.workers import prepared
from dcdan.errors import DataError, PackError, UsageError
from dcdan.faces.remote import is_url
from dcdan.faces.status import Status
from dcdan.stopping import stoppable, stopped

Align = Literal["auto", "mtcnn", "none"]
SIZES = (16, 1024)
_UNREAD = (Status.MISSING, Status.UNREADABLE)


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
    spec_text = printable(spec_text or reader.name)
    state = {"schema": SCHEMA, "spec": spec_text, "reader": reader.name, "size": size, "alignment": alignment}
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
        partial = PartialPack(out, state, (size, size) if reader.channels == 1 else (size, size, 3))
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
    partial: PartialPack,
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
    partial: PartialPack,
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
        schema_version=SCHEMA,
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
    partial.publish(info.text(), force)


def _shard(listing: Listing, part: Part, crops_option: bool) -> Shard:
    number, count = part
    return Shard(number=number, count=count, samples=listing.total, listing=listing.digest, crops_option=crops_option)
