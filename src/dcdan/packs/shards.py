"""Merging shards: the parts of a data set, packed separately, become the pack of one build, byte for byte."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dcdan.core.atomic_io import sha256
from dcdan.core.console import progress_bar
from dcdan.core.errors import DataError, PackError, UsageError
from dcdan.jobs.resumable_job import ResumableJob, flush, named_before, output_error
from dcdan.packs.format import (
    FACES,
    HEADER_BYTES,
    OTHER_CHECKSUM,
    TABLE,
    Shard,
    check_output_free,
    damaged,
    npy_header,
    publish_pack,
)
from dcdan.packs.pack import Pack
from dcdan.packs.summary import no_faces, pack_warnings
from dcdan.packs.table import TableWriter

_BLOCK_BYTES = 1_000_000
_EQUAL = ("spec", "data_set", "size", "alignment", "channels", "classes", "split_rule", "shift", "licence")


def merge_packs(shards: Sequence[Path | str], out: Path | str, *, force: bool = False, progress: bool = True) -> Pack:
    """Merge finished shards into one pack, with the same bytes as a pack built at once.

    The shards are read once, block by block, and verified by their checksums; they are not changed. An error leaves no
    files behind.

    Args:
        shards: the folders of all shards, in any order.
        out: the new folder.
        force: replace a pack that is there already.
        progress: show a bar on stderr when that is a terminal.

    Returns:
        The merged pack, opened.

    Raises:
        UsageError: no shard is given, or a shard is inside `out`.
        PackError: one is a whole pack, a shard is missing, given twice, damaged, or packed with other options.
        DataError: no shard has a face.
        OutputError: `out` exists, or the disk is full.
    """
    out = Path(out)
    folders = [Path(shard) for shard in shards]
    if not folders:
        raise UsageError("There is nothing to merge: name the folders of the shards after --merge.")
    for folder in folders:
        if folder.resolve().is_relative_to(out.resolve()):
            raise UsageError(f"The shard '{folder}' is inside '{out}': choose another --out.")
    parts = _in_order([Pack.open(folder) for folder in folders])
    first = parts[0].info
    state = {"merge": [part.info.sha256 for part in parts]}
    if named_before(out, state) is not None:
        return Pack.open(out)
    check_output_free(out, force)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = ResumableJob(out, state)
        try:
            with TableWriter(partial.pack / TABLE, first.classes) as table:
                _join_tables(parts, table)
            counts, shard = table.counts(), _shard(parts[0])
            if counts.faces == 0:
                raise DataError(no_faces(counts, first.spec, shard.crops_option))
            sums = {
                FACES: _join_faces(parts, partial.pack / FACES, counts.faces, progress),
                TABLE: sha256(partial.pack / TABLE),
            }
            warnings = (*pack_warnings(counts, shard.crops_option), *first.warnings)
            whole = {"counts": counts, "warnings": warnings, "shard": None, "sha256": sums}
            publish_pack(partial, first.model_copy(update=whole).text(), force)
        except BaseException:
            partial.discard()
            raise
        finally:
            partial.close()
    except OSError as error:
        raise output_error(error, out) from error
    return Pack.open(out)


def _in_order(packs: Sequence[Pack]) -> list[Pack]:
    """Return the packs by number, after a check that they are all the parts of one data set with equal options."""
    first = packs[0]
    for pack in packs:
        _check_equal_options(first, pack)
    found: dict[int, Pack] = {}
    for pack in packs:
        shard = _shard(pack)
        if twin := found.get(shard.number):
            raise PackError(
                f"'{twin.folder}' and '{pack.folder}' are both shard {shard.number} of {shard.count}: name one of them."
            )
        found[shard.number] = pack
    count = _shard(first).count
    missing = [str(number) for number in range(1, count + 1) if number not in found]
    if missing:
        few = ", ".join(missing[:8]) + (" and more" if len(missing) > 8 else "")
        raise PackError(f"Of {count} shards these are missing: {few}; pack them with --shard i/{count} and name all.")
    return [found[number] for number in sorted(found)]


def _check_equal_options(first: Pack, pack: Pack) -> None:
    """Check that two shards belong to one data set, packed with the same options."""
    ours, theirs = _shard(first), _shard(pack)
    if ours.count != theirs.count:
        raise PackError(
            f"'{first.folder}' is one of {ours.count} shards and '{pack.folder}' one of {theirs.count}: "
            "merge shards of one number."
        )
    for name in _EQUAL:
        here, there = getattr(first.info, name), getattr(pack.info, name)
        if here != there:
            raise PackError(
                f"The shards differ in {name.replace('_', ' ')}, '{_shown(here)}' in '{first.folder}' and "
                f"'{_shown(there)}' in '{pack.folder}': pack them all with one command but for --shard."
            )
    if (ours.samples, ours.listing) != (theirs.samples, theirs.listing):
        raise PackError(
            f"The data changed between the shards '{first.folder}' ({ours.samples} samples) and '{pack.folder}' "
            f"({theirs.samples}): pack the older one again."
        )


def _shard(pack: Pack) -> Shard:
    """Return the shard that a pack is."""
    if pack.info.shard is None:
        raise PackError(f"'{pack.folder}' is a whole pack and no shard: merge what --shard i/n made.")
    return pack.info.shard


def _shown(value: Any) -> str:
    """Format an option."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _join_faces(parts: Sequence[Pack], path: Path, faces: int, progress: bool) -> str:
    """Write the faces of all parts and return their SHA-256; raise PackError for a part whose faces are damaged."""
    shape = (faces, *parts[0].info.shape()[1:])
    header = npy_header(shape)
    each = math.prod(shape[1:])
    block = max(1, _BLOCK_BYTES // each) * each
    whole = hashlib.sha256(header)
    with path.open("wb") as target, progress_bar("merging", faces, shown=progress) as advance:
        target.write(header)
        for part in parts:
            with (part.folder / FACES).open("rb") as source:
                own = hashlib.sha256(source.read(HEADER_BYTES))
                while pixels := source.read(block):
                    own.update(pixels)
                    whole.update(pixels)
                    target.write(pixels)
                    advance(len(pixels) // each)
            if own.hexdigest() != part.info.sha256.get(FACES):
                raise damaged(part.folder, FACES, OTHER_CHECKSUM, "pack that shard again")
        flush(target)
    return whole.hexdigest()


def _join_tables(parts: Sequence[Pack], table: TableWriter) -> None:
    """Write the rows of all parts, each face's index moved by the faces before its part."""
    before = 0
    for part in parts:
        for rows in _row_groups(part.folder / TABLE):
            table.add(_moved(rows, before))
        before += len(part)


def _row_groups(path: Path) -> Iterator[Any]:
    """Yield the row groups of a table."""
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def _moved(rows: Any, by: int) -> Any:
    """Return the rows with each face's index increased; rows without a face stay at -1."""
    import pyarrow.compute as compute

    index = rows["row"]
    moved = compute.if_else(compute.greater_equal(index, 0), compute.add(index, by), index)
    place = rows.schema.get_field_index("row")
    return rows.set_column(place, rows.schema.field(place), moved)
