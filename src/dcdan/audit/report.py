"""The report of a check: its findings as data, as JSON, as CSV, and as tables and sentences for a terminal."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcdan.audit.counts import TOTAL, CountLine, ordered_splits
from dcdan.audit.duplicates import DUPLICATE_KINDS, DuplicateKind
from dcdan.core.atomic_io import atomic_text
from dcdan.core.sanitize import inert, no_formula
from dcdan.images.status import Status

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


AGAINST = "against"


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be decoded, and the reason."""

    path: str
    split: str
    label: str
    status: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A pair of duplicate images.

    Attributes:
        kind: exact, near or mirrored.
        distance: bits in which the coarse fingerprints differ.
        group: number of the group of images that are duplicates of each other, directly or through others; None for a
            pair of an image and its duplicate in another set.
    """

    kind: DuplicateKind
    distance: int
    group: int | None
    path: str
    split: str
    label: str
    other_path: str
    other_split: str
    other_label: str

    @property
    def conflicting(self) -> bool:
        """Whether both images have a label, and their labels differ."""
        return bool(self.label and self.other_label) and self.label != self.other_label

    @property
    def place(self) -> str:
        """The splits of the two: `within train`, `train - test`, or `against` for another data set."""
        if self.group is None:
            return AGAINST
        if self.split == self.other_split:
            return f"within {self.split}".strip()
        return " - ".join(split or "no split" for split in ordered_splits((self.split, self.other_split)))


@dataclass(frozen=True)
class CheckReport:
    """The findings about one data set. Pictures were decoded when `distance` is not None.

    Attributes:
        lines: images of each split and class, with the published numbers.
        published: whether there are published numbers for the options given.
        skipped: reason -> samples that the reader left out.
        notes: the first hundred damaged rows, each with its line and the reason.
        warnings: what a user must know of the data.
        statuses: status -> pictures.
        failures: the pictures that could not be decoded.
        plain: paths of the pictures without contrast, which are not searched for duplicates.
        distance: bits in which the coarse fingerprints of near duplicates may differ.
        duplicates: pairs of duplicate images within the set.
        duplicated: split -> other split -> images of the first that have a duplicate in the other.
        cut_short: there are more pairs than are listed.
        against: the spec of a second data set, and `against_images` its number of images.
        leaks: pairs of an image and its duplicate in the second set.
        leaked: images of the first set that have a duplicate in the second.
    """

    spec: str
    reader: str
    title: str
    layout: str
    split_rule: str
    images: int
    lines: tuple[CountLine, ...]
    published: bool
    skipped: Mapping[str, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    statuses: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    plain: tuple[str, ...] = ()
    distance: int | None = None
    duplicates: tuple[Duplicate, ...] = ()
    duplicated: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cut_short: bool = False
    against: str | None = None
    against_images: int = 0
    leaks: tuple[Duplicate, ...] = ()
    leaked: int = 0

    def with_pictures(self, **found: Any) -> CheckReport:
        """Return the report with the findings about its pictures.

        Args:
            **found: values of fields.

        Returns:
            The changed copy.
        """
        return replace(self, **found)

    def with_other(self, *, cut_short: bool, **found: Any) -> CheckReport:
        """Return the report with the findings of the comparison with another set.

        Args:
            cut_short: whether pairs are missing.
            **found: values of fields.

        Returns:
            The changed copy.
        """
        return replace(self, cut_short=self.cut_short or cut_short, **found)

    @property
    def damaged_rows(self) -> int:
        """Rows of label files that could not be read."""
        return self.skipped.get("damaged rows", 0)

    @property
    def differing(self) -> list[CountLine]:
        """The lines whose number differs from the published one."""
        return [line for line in self.lines if line.difference]

    def faults(self) -> list[str]:
        """Return a short text for each fault: missing, damaged, not as published. Duplicates are not faults.

        Returns:
            The texts; an empty list for a sound data set.
        """
        places = [_place(line) for line in self.differing]
        found = (
            (len(self.failures), f"{len(self.failures)} pictures missing or unreadable"),
            (self.damaged_rows, f"{self.damaged_rows} damaged rows"),
            (len(places), f"counts other than published ({', '.join(places)})"),
        )
        return [text for number, text in found if number]

    def to_dict(self) -> dict[str, Any]:
        """Return all findings as JSON values.

        Returns:
            Values by name.
        """
        plain = asdict(self)
        plain["counts"] = [{**asdict(line), "difference": line.difference} for line in self.lines]
        del plain["lines"]
        for name in ("duplicates", "leaks"):
            pairs: tuple[Duplicate, ...] = getattr(self, name)
            plain[name] = [_row(pair) | {"conflicting": pair.conflicting} for pair in pairs]
        return {**plain, "damaged_rows": self.damaged_rows, "faults": self.faults()}

    def write_duplicates(self, path: Path) -> None:
        """Write the pairs of duplicate images, and those with the other set, as CSV.

        Args:
            path: the file.

        Raises:
            OutputError: when the file cannot be written.
        """
        with atomic_text(path, newline="") as file:
            table = csv.DictWriter(file, ["place", *(column.name for column in fields(Duplicate))], lineterminator="\n")
            table.writeheader()
            table.writerows(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Yield the pairs as CSV rows."""
        for pair in (*self.duplicates, *self.leaks):
            yield {key: "" if value is None else no_formula(value) for key, value in _row(pair).items()}


def _row(pair: Duplicate) -> dict[str, Any]:
    """Return a pair as a row."""
    return {"place": pair.place, **asdict(pair), "kind": str(pair.kind)}


def _place(line: CountLine) -> str:
    """Return the name of a line."""
    split = line.split or "whole set"
    return split if line.name == TOTAL else f"{split} {line.name or 'without label'}"


_SHOWN = 10


def check_table(report: CheckReport) -> RenderableType:
    """Return the report for a rich console.

    Args:
        report: the report.

    Returns:
        The renderable.
    """
    from rich.console import Group
    from rich.text import Text

    layout = f", {report.layout}" if report.layout else ""
    head = Text.assemble((report.title, "bold"), f"{layout}: {report.images:,} images in {report.spec}")
    parts: list[RenderableType] = [head, _counts(report), *_pictures(report)]
    if report.distance is not None:
        parts += _duplicates(report)
    if report.against is not None:
        parts += _leaks(report)
    return Group(*parts)


def _counts(report: CheckReport) -> RenderableType:
    """Return the table of counts."""
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


def _duplicates(report: CheckReport) -> Iterator[RenderableType]:
    """Yield the section on duplicates."""
    from rich.text import Text

    if not report.duplicates:
        yield Text(f"\nNo duplicate images (exact, or within {report.distance} of 64 coarse bits).")
        return
    yield Text("\nDuplicate images, in pairs", style="bold")
    yield _pairs(report.duplicates)
    yield Text(
        f"exact: the same pixels; near and mirrored: fingerprints within {report.distance} of 64 coarse bits", "dim"
    )
    splits = ordered_splits(report.duplicated)
    if len(splits) > 1:
        yield Text("\nImages with a duplicate in ...", style="bold")
        table = _table(("images of",), splits)
        for split in splits:
            table.add_row(split or "no split", *(f"{report.duplicated[split][other]:,}" for other in splits))
        yield table
    if report.cut_short:
        yield Text("There are more pairs than are listed: choose a smaller --distance.", style="yellow")


def _leaks(report: CheckReport) -> Iterator[RenderableType]:
    """Yield the section on duplicates in another set."""
    from rich.text import Text

    of = f"of the {report.images:,} images of {report.spec} have a duplicate among the {report.against_images:,}"
    yield Text(f"\n{report.leaked:,} {of} images of {report.against}.", style="bold")
    if report.leaks:
        yield _pairs(report.leaks)
    for pair in report.leaks[:_SHOWN]:
        yield _line("", f"{pair.kind}, {pair.distance} bits: {pair.path} and {pair.other_path}")
    if len(report.leaks) > _SHOWN:
        yield _line("", f"and {len(report.leaks) - _SHOWN:,} more, all of them in --out and --json")


def _pairs(pairs: Sequence[Duplicate]) -> RenderableType:
    """Return pairs by place and kind, and how many of them have conflicting labels."""
    counts = Counter((pair.place, pair.kind) for pair in pairs)
    conflicts = Counter(pair.place for pair in pairs if pair.conflicting)
    table = _table(("pairs",), (*map(str, DUPLICATE_KINDS), "two labels"))
    for place in dict.fromkeys(sorted(place for place, _ in counts)):
        numbers = [counts[place, kind] for kind in DUPLICATE_KINDS]
        table.add_row(place, *(f"{number:,}" for number in (*numbers, conflicts[place])))
    totals = Counter(pair.kind for pair in pairs)
    numbers = [totals[kind] for kind in DUPLICATE_KINDS]
    table.add_row(TOTAL, *(f"{number:,}" for number in (*numbers, sum(conflicts.values()))), style="bold")
    return table


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    """Return an empty table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name or "no split", justify="right")
    return table


def _line(name: str, text: str, style: str = "") -> RenderableType:
    """Return a line with a dimmed name."""
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1))
    line.add_column(width=9, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(Text(name, style="dim"), Text(inert(text), style=style))
    return line


def _listed(counts: Mapping[str, int]) -> str:
    """Format counts."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or str(Status.OK)


def _signed(number: int) -> str:
    """Format a difference with its sign."""
    return f"{number:+,}" if number else "0"
