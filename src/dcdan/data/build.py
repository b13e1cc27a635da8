"""Build packs: streaming, in parallel, restartable; and find or build the pack that a spec names.

The samples are cut into chunks of fixed length, prepared by processes, and written in order; so the bytes of a pack
do not depend on the number of processes, nor on whether the build was interrupted.
"""

from __future__ import annotations

import errno
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dcdan.data.cache import cache_folder, cache_key, cache_lock
from dcdan.data.pack import Pack
from dcdan.data.pack_info import SCHEMA, Counts, PackInfo, printable
from dcdan.data.prepare import Alignment, Preparer
from dcdan.data.progress import progress_bar
from dcdan.data.reader import Reader, Sample
from dcdan.data.spec import is_pack, open_reader, parse_spec, view_options
from dcdan.data.store import PartialPack, chunk_key
from dcdan.data.workers import prepared
from dcdan.errors import DataError, OutputError, PackError, UsageError
from dcdan.faces.status import Status

CHUNK = 128
_KEPT_SAMPLES = 40_000
Align = Literal["auto", "mtcnn", "none"]
SIZES = (16, 1024)


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
) -> Pack:
    """Pack what a reader selects into the new folder `out`, and return the pack opened.

    size: side of the faces in pixels. align: "auto" is "mtcnn". workers: processes, None for one per core. progress:
    show a bar on stderr when that is a terminal. force: replace a pack that is there already.

    A build that was killed is continued by the same call. Raises OutputError (`out` exists, no space left), UsageError
    (size or alignment) and DataError (nothing to pack, or no face in any picture; then nothing is left behind).
    """
    out = Path(out)
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"A face size of {size} pixels is not possible: choose from {SIZES[0]} to {SIZES[1]}.")
    if align not in ("auto", "mtcnn", "none"):
        raise UsageError(f"Unknown alignment '{align}': choose auto, mtcnn or none.")
    alignment: Alignment = "none" if align == "none" else "mtcnn"
    _refuse_existing(out, force)
    samples, total = _listed(reader)
    if total == 0:
        skipped = ", ".join(f"{count} {reason}" for reason, count in reader.skipped.items())
        raise DataError(f"{reader.title} gave nothing to pack" + (f" (left out: {skipped})." if skipped else "."))
    spec_text = printable(spec_text or reader.name)
    state = {"schema": SCHEMA, "spec": spec_text, "reader": reader.name, "size": size, "alignment": alignment}
    state |= {"root": str(reader.root), "options": reader.options.model_dump(mode="json"), "chunk": CHUNK}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = PartialPack(out, state, (size, size) if reader.channels == 1 else (size, size, 3))
        try:
            _fill(partial, samples, Preparer(reader, size, alignment), total, workers, progress)
            _finish(partial, reader, out, size, alignment, spec_text, force)
        finally:
            partial.close()
    except OSError as error:
        raise _output_error(error, out) from error
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
    the options split, limit and seed; its size must be the one asked for. With `labelled=False` labels stay unread.
    """
    spec = parse_spec(spec_text)
    folder = Path(spec.path).expanduser()
    if spec.reader is None and is_pack(folder):
        pack = Pack.open(folder, labelled=labelled, **view_options(spec.options))
        if pack.size != size:
            raise PackError(
                f"The pack '{folder}' has faces of {pack.size} pixels, not {size}: pack the data with {size}."
            )
        return pack
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
    samples: Iterator[Sample],
    preparer: Preparer,
    total: int,
    workers: int | None,
    progress: bool,
) -> None:
    """Prepare the chunks that an earlier build has not, and append them in order."""
    chunks = _chunks(samples)
    kept, done = 0, 0
    rest: Iterator[list[Sample]] = iter(())
    for chunk in chunks:
        if kept == len(partial.keys) or partial.keys[kept] != chunk_key(chunk):
            rest = itertools.chain([chunk], chunks)
            break
        kept, done = kept + 1, done + len(chunk)
    partial.keep(kept)
    with progress_bar("packing", total, done, shown=progress) as advance:
        for chunk, faces, rows in prepared(preparer, rest, total - done, CHUNK, workers):
            partial.append(chunk_key(chunk), faces, rows)
            advance(len(chunk))


def _finish(
    partial: PartialPack, reader: Reader, out: Path, size: int, alignment: str, spec_text: str, force: bool
) -> None:
    counts = partial.write_table(reader.classes)
    if counts.faces == 0:
        partial.discard()
        raise DataError(_no_faces(reader, counts))
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
        split_rule=reader.split_rule,
        counts=counts,
        skipped=dict(sorted(reader.skipped.items())),
        warnings=tuple(_warnings(reader, counts)),
        sha256=partial.seal(),
    )
    _refuse_existing(out, force)
    if out.exists():
        shutil.rmtree(out)
    partial.publish(out, info.model_dump_json(by_alias=True, indent=2) + "\n")


def _listed(reader: Reader) -> tuple[Iterator[Sample], int]:
    """Return the selected samples and how many there are; a long list is read twice rather than kept."""
    listing = reader.selected()
    head = list(itertools.islice(listing, _KEPT_SAMPLES))
    more = sum(1 for _ in listing)
    return (reader.selected() if more else iter(head)), len(head) + more


def _chunks(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    while chunk := list(itertools.islice(samples, CHUNK)):
        yield chunk


def _refuse_existing(out: Path, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise OutputError(f"'{out}' exists already: choose another --out, or replace it with --force.")
    if not is_pack(out):
        raise OutputError(f"'{out}' exists and is no pack, so --force leaves it alone: choose another --out.")


def _no_faces(reader: Reader, counts: Counts) -> str:
    statuses = ", ".join(f"{count} {status}" for status, count in counts.statuses.items())
    text = f"No face was found in the {counts.rows} pictures of '{reader.root}' ({statuses})"
    return f"{text}{_crops_hint(reader, counts)}."


def _warnings(reader: Reader, counts: Counts) -> Iterator[str]:
    """Say what is odd about a pack: classes without a sample, faces that were not found, damaged rows."""
    absent = [name for name, count in counts.classes.items() if count == 0]
    if absent:
        yield f"no sample of: {', '.join(absent)}"
    missed = counts.statuses.get(Status.NO_FACE, 0)
    if 2 * missed > counts.rows:
        yield f"no face was found in {missed} of {counts.rows} pictures{_crops_hint(reader, counts)}"
    yield from reader.warnings
    yield from reader.notes


def _crops_hint(reader: Reader, counts: Counts) -> str:
    usable = "faces" in type(reader).Options.model_fields and not reader.cropped
    seen = counts.statuses.get(Status.NO_FACE, 0) > 0
    return "; if they are face crops already, add the option faces=crops" if usable and seen else ""


def _output_error(error: OSError, out: Path) -> OutputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"No space is left for '{out}': free some and repeat the command, which then goes on.")
    return OutputError(f"'{out}' cannot be written ({error.strerror or error}): choose another --out.")
