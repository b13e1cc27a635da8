"""The summary of a pack as text, and warnings about absent classes and pictures without a face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dcdan.datasets.reader import Reader
from dcdan.images.status import Status
from dcdan.packs.format import PackCounts
from dcdan.packs.pack import Pack


def pack_warnings(counts: PackCounts, crops_option: bool) -> Iterator[str]:
    """Yield a warning for classes without a sample, and one where most pictures have no face.

    Args:
        counts: the counts of the pack.
        crops_option: whether the reader has the option `faces=crops` and it was not given.

    Yields:
        Warnings.
    """
    absent = [name for name, count in counts.classes.items() if count == 0]
    if absent:
        yield f"no sample of: {', '.join(absent)}"
    missed = counts.statuses.get(Status.NO_FACE, 0)
    if 2 * missed > counts.rows:
        yield f"no face was found in {missed} of {counts.rows} pictures{_crops_hint(counts, crops_option)}"


def no_faces(counts: PackCounts, place: object, crops_option: bool) -> str:
    """Return the sentence for a pack without a face.

    Args:
        counts: the counts of the pack.
        place: the folder or spec of the pictures.
        crops_option: whether the reader has the option `faces=crops` and it was not given.

    Returns:
        The sentence.
    """
    statuses = ", ".join(f"{count} {status}" for status, count in counts.statuses.items())
    text = f"No face was found in the {counts.rows} pictures of '{place}' ({statuses})"
    return f"{text}{_crops_hint(counts, crops_option)}."


def _crops_hint(counts: PackCounts, crops_option: bool) -> str:
    """Return a hint to the option for crops."""
    seen = counts.statuses.get(Status.NO_FACE, 0) > 0
    return "; if they are face crops already, add the option faces=crops" if crops_option and seen else ""


def describe_data_set(reader: Reader) -> str:
    """Describe a detected data set.

    Args:
        reader: its reader.

    Returns:
        Its title, its layout, and the name of its reader.
    """
    form = f", {reader.layout}" if reader.layout else ""
    return f"{reader.title}{form} (reader {reader.name})"


def summary(pack: Pack) -> str:
    """Summarise a pack.

    Args:
        pack: the pack.

    Returns:
        A few lines: faces, splits, classes, statuses, what was left out, warnings.
    """
    info = pack.info
    kind = "grey" if info.channels == 1 else "colour"
    part = f", shard {info.shard.number} of {info.shard.count}" if info.shard else ""
    title = f"{info.title} ({info.layout})" if info.layout else info.title
    lines = [f"{title}{part}: {info.counts.faces} {kind} faces of {info.size} pixels in {pack.folder}"]
    if set(info.counts.splits) != {""}:
        lines.append(f"  splits   {_listed(info.counts.splits)}  ({info.split_rule})")
    if info.counts.classes:
        lines.append(f"  classes  {_listed(info.counts.classes)}")
    lines.append(f"  status   {_listed(info.counts.statuses)}")
    if info.skipped:
        lines.append(f"  left out {_listed(info.skipped)}")
    lines.extend(f"  warning: {warning}" for warning in info.warnings)
    return "\n".join(lines)


def _listed(counts: Mapping[str, int]) -> str:
    """Format counts."""
    return ", ".join(f"{name or 'none'} {count}" for name, count in counts.items())
