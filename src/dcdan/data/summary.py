"""A pack in words, for the end of `dcdan pack`."""

from __future__ import annotations

from collections.abc import Mapping

from dcdan.data.pack import Pack
from dcdan.data.reader import Reader


def found(reader: Reader) -> str:
    """Return what a place was recognised as: the data set, in which form, and the spec's name of its reader."""
    form = f", {reader.layout}" if reader.layout else ""
    return f"{reader.title}{form} (reader {reader.name})"


def summary(pack: Pack) -> str:
    """Return a few lines: faces, splits, classes, what was left out, and what is odd."""
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
    return ", ".join(f"{name or 'none'} {count}" for name, count in counts.items())
