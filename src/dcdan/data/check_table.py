"""The findings of a check in tables and sentences, for a terminal of any width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dcdan.data.check_report import CheckReport, Double
from dcdan.data.counts import TOTAL, ordered_splits
from dcdan.data.doubles import KINDS
from dcdan.errors import inert
from dcdan.faces.status import Status

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_SHOWN = 10


def check_table(report: CheckReport) -> RenderableType:
    """Return the report for a rich console."""
    from rich.console import Group
    from rich.text import Text

    layout = f", {report.layout}" if report.layout else ""
    head = Text.assemble((report.title, "bold"), f"{layout}: {report.images:,} images in {report.spec}")
    parts: list[RenderableType] = [head, _counts(report), *_pictures(report)]
    if report.distance is not None:
        parts += _doubles(report)
    if report.against is not None:
        parts += _leaks(report)
    return Group(*parts)


def _counts(report: CheckReport) -> RenderableType:
    table = _table(("split", "class"), ("read", "published", "difference") if report.published else ("read",))
    previous = None
    for line in report.lines:
        split = (line.split or ("whole set" if report.published else "")) if line.split != previous else ""
        previous = line.split
        numbers = [f"{line.read:,}"]
        if report.published:
            numbers += ["", ""] if line.official is None else [f"{line.official:,}", _signed(line.difference)]
        style = "yellow" if line.difference else ("bold" if line.name == TOTAL else "")
        table.add_row(split, line.name or "without label", *numbers, style=style, end_section=line.name == TOTAL)
    return table


def _pictures(report: CheckReport) -> Iterator[RenderableType]:
    """Yield lines on what could not be read, what was left out, and what a user must know."""
    if report.statuses:
        yield _line("pictures", _listed(report.statuses))
    for failure in report.failures[:_SHOWN]:
        yield _line("", f"{failure.status}: {failure.path}", "yellow")
    if len(report.failures) > _SHOWN:
        yield _line("", f"and {len(report.failures) - _SHOWN:,} more, all of them in --json", "yellow")
    if report.plain:
        yield _line("plain", f"{len(report.plain):,} pictures of one colour, or nearly: {', '.join(report.plain[:3])}")
    if report.skipped:
        yield _line("left out", _listed(report.skipped))
    for note in report.notes[:_SHOWN]:
        yield _line("", note, "yellow")
    if len(report.notes) > _SHOWN:
        yield _line("", f"and {len(report.notes) - _SHOWN:,} more, in --json", "yellow")
    for warning in report.warnings:
        yield _line("warning", warning, "yellow")


def _doubles(report: CheckReport) -> Iterator[RenderableType]:
    from rich.text import Text

    if not report.doubles:
        yield Text(f"\nNo doubled images (exact, or within {report.distance} of 64 coarse bits).")
        return
    yield Text("\nDoubled images, in pairs", style="bold")
    yield _pairs(report.doubles)
    yield Text(
        f"exact: the same pixels; near and mirrored: fingerprints within {report.distance} of 64 coarse bits", "dim"
    )
    splits = ordered_splits(report.doubled)
    if len(splits) > 1:
        yield Text("\nImages with a double in ...", style="bold")
        table = _table(("images of",), splits)
        for split in splits:
            table.add_row(split or "no split", *(f"{report.doubled[split][other]:,}" for other in splits))
        yield table
    if report.cut_short:
        yield Text("There are more pairs than are listed: choose a smaller --distance.", style="yellow")


def _leaks(report: CheckReport) -> Iterator[RenderableType]:
    from rich.text import Text

    of = f"of the {report.images:,} images of {report.spec} are doubles of one of the {report.against_images:,}"
    yield Text(f"\n{report.leaked:,} {of} images of {report.against}.", style="bold")
    if report.leaks:
        yield _pairs(report.leaks)
    for pair in report.leaks[:_SHOWN]:
        yield _line("", f"{pair.kind}, {pair.distance} bits: {pair.path} and {pair.other_path}")
    if len(report.leaks) > _SHOWN:
        yield _line("", f"and {len(report.leaks) - _SHOWN:,} more, all of them in --out and --json")


def _pairs(pairs: Sequence[Double]) -> RenderableType:
    """Return pairs by place and kind, and how many of them bear two labels."""
    counts = Counter((pair.place, pair.kind) for pair in pairs)
    conflicts = Counter(pair.place for pair in pairs if pair.conflicting)
    table = _table(("pairs",), (*map(str, KINDS), "two labels"))
    for place in dict.fromkeys(sorted(place for place, _ in counts)):
        numbers = [counts[place, kind] for kind in KINDS]
        table.add_row(place, *(f"{number:,}" for number in (*numbers, conflicts[place])))
    totals = Counter(pair.kind for pair in pairs)
    numbers = [totals[kind] for kind in KINDS]
    table.add_row(TOTAL, *(f"{number:,}" for number in (*numbers, sum(conflicts.values()))), style="bold")
    return table


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name or "no split", justify="right")
    return table


def _line(name: str, text: str, style: str = "") -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1))
    line.add_column(width=9, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(Text(name, style="dim"), Text(inert(text), style=style))
    return line


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or str(Status.OK)


def _signed(number: int) -> str:
    return f"{number:+,}" if number else "0"
