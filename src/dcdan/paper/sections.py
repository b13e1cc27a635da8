"""The recomputed paper as sections of text and tables, for a terminal and as Markdown.

A :class:`Section` is a heading with paragraphs, tables and points. :func:`sections` makes those of
:func:`dcdan.paper.study.study`; :func:`markdown_page` joins them into the page ``docs/paper.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcdan.metrics.significance import least_rank_p
from dcdan.paper import published
from dcdan.paper.measured import MeasuredRow
from dcdan.paper.published import IN_DOMAIN, REFERENCES, SUPERVISED, PaperTable
from dcdan.paper.recomputed import means_of
from dcdan.paper.study import DOI, Beside, Paper
from dcdan.reports.text_table import Table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable


@dataclass(frozen=True)
class Section:
    """A heading of the second level and what is below it, in this order.

    Attributes:
        title: the heading.
        text: paragraphs.
        tables: tables.
        points: items of a list.

    Example:
        >>> print(Section("Tables", ("As printed.",), points=("one", "two")).markdown())
        ## Tables
        <BLANKLINE>
        As printed.
        <BLANKLINE>
        - one
        - two
        <BLANKLINE>
        <BLANKLINE>
    """

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the section as Markdown that ends with an empty line."""
        parts = [f"## {self.title}\n", *(f"{paragraph}\n" for paragraph in self.text)]
        parts += [table.markdown() for table in self.tables]
        if self.points:
            parts.append("".join(f"- {point}\n" for point in self.points))
        return "\n".join(part.rstrip("\n") + "\n" for part in parts) + "\n"

    def rich(self) -> RenderableType:
        """Return the section as an object that a rich console prints."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        points = (Padding(Text(f"• {point}"), (0, 0, 0, 2)) for point in self.points)
        tables = (_narrow(table) for table in self.tables)
        return Group(Text(self.title, style="bold underline"), *map(Text, self.text), *tables, *points, Text())


def _narrow(table: Table) -> RichTable:
    """Return a table that breaks cells where a terminal is narrow, as shortened figures are worth nothing."""
    narrow = table.rich()
    narrow.padding = (0, 1, 0, 0)
    narrow.pad_edge = narrow.show_edge = False
    for index, column in enumerate(narrow.columns):
        column.overflow = "fold"
        column.no_wrap = not index
        if any(any(letter.isalpha() for letter in row[index][:1]) for row in table.rows):
            column.justify = "left"
    return narrow


def markdown_page(title: str, head: str, sections: Sequence[Section]) -> str:
    """Return a whole page as Markdown.

    Args:
        title: heading of the first level.
        head: paragraph below it.
        sections: the sections.

    Returns:
        Markdown that ends with one line break.
    """
    return f"# {title}\n\n{head}\n\n" + "".join(section.markdown() for section in sections).rstrip("\n") + "\n"


TITLE = "The paper's figures, recomputed"


def sections(paper: Paper) -> list[Section]:
    """Return all sections of the recomputed paper.

    Args:
        paper: what :func:`dcdan.paper.study.study` computed.

    Returns:
        The sections in the order of the page. The one of measured results is there only when results were given.
    """
    parts = [_tables(paper), _spread(paper), _trunks(paper), _baselines(paper), _inconsistencies(paper), _others()]
    return parts if paper.measured is None else [*parts, _measured(paper)]


def probability(p: float) -> str:
    """Return a probability with three decimals, and a small one with its power of ten.

    Args:
        p: a probability, 0..1.

    Example:
        >>> probability(0.0368), probability(9.99e-6)
        ('0.037', '1.0e-5')
    """
    if p == 0 or p >= 0.0005:
        return f"{p:.3f}"
    mantissa, _, exponent = f"{p:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _tables(paper: Paper) -> Section:
    text = (
        f"Accuracy in per cent as printed (doi {DOI}), with the means of its own figures beside the printed mean. The "
        "trunk is that of the caption; the baselines' rows name trunks of their own.",
    )
    return Section("Tables", text, tuple(map(_table, paper.tables)))


def _table(table: PaperTable) -> Table:
    header = ("method", *table.targets, "printed mean", "last 4", f"all {len(table.targets)}")
    rows = []
    for row in table.rows:
        every, last_four = means_of(row)
        rows.append((row.method, *(f"{x:.2f}" for x in (*row.figures, row.mean)), f"{last_four:.3f}", f"{every:.3f}"))
    return Table(f"Table {table.number}: source {table.source}, {table.trunk}", header, tuple(rows))


def _spread(paper: Paper) -> Section:
    header = ("row", "trunk", "mean", "sd (n-1)", "95 % CI (t)", "mean of last 4", "printed mean")
    rows = [
        (
            f"table {own.table}",
            own.trunk,
            f"{own.summary.mean:.3f}",
            f"{own.summary.sd:.3f}",
            f"{own.summary.low:.2f} to {own.summary.high:.2f}",
            f"{own.last_four:.3f}",
            f"{own.printed:.2f}",
        )
        for own in paper.summaries
    ]
    rows += [
        ("the text", said.trunk, f"{said.mean:.2f}", f"{said.sd:.2f}", f"{said.low:.2f} to {said.high:.2f}", "–", "–")
        for said in published.SPREADS
    ]
    return Section("Mean and spread over the targets", (), (Table(published.OURS, header, tuple(rows)),))


def _trunks(paper: Paper) -> Section:
    header = ("tables", "source", "ANOVA F", "p", "paired t", "p", "Wilcoxon W", "p")
    rows: list[tuple[str, ...]] = [
        (
            f"{pair.tables[0]} and {pair.tables[1]}",
            pair.source,
            f"F({pair.anova.between},{pair.anova.within}) = {pair.anova.f:.3f}",
            probability(pair.anova.p_value),
            f"t({pair.paired.df}) = {pair.paired.t:.3f}",
            probability(pair.paired.p_value),
            f"{pair.rank.statistic:g}",
            f"{pair.rank.p_value:.4f}",
        )
        for pair in paper.trunks
    ]
    said = published.ANOVA
    rows.append(("the text", "–", f"F = {said.f:.2f}", probability(said.p_value), *["–"] * 4))
    note = "Analysis of variance takes the figures for independent samples; they are pairs, a target each."
    return Section("The trunks compared", (), (Table(published.OURS, header, tuple(rows), note),))


def _baselines(paper: Paper) -> Section:
    header = ("table", "against", "difference", "t, all", "p", "t, last 4", "p", "Wilcoxon p")
    rows = [
        (
            str(one.table),
            one.baseline,
            f"{one.all.difference:+.2f}",
            f"{one.all.t:.3f}",
            probability(one.all.p_value),
            f"{one.last_four.t:.3f}",
            probability(one.last_four.p_value),
            f"{one.rank.p_value:.4f}",
        )
        for one in paper.baselines
    ]
    most, least = (choose(paper.baselines, key=lambda one: one.all.t) for choose in (max, min))
    pairs = most.rank.pairs
    note = (
        f"Largest t: table {most.table}, {most.baseline}, {most.all.t:.3f} (p {probability(most.all.p_value)}); "
        f"smallest: table {least.table}, {least.baseline}, {least.all.t:.3f} (p {probability(least.all.p_value)}), on "
        f"the last four targets {least.last_four.t:.3f} (p {probability(least.last_four.p_value)}). The least p that "
        f"Wilcoxon's test can give for {pairs} targets is {least_rank_p(pairs):.4f}."
    )
    title = f"{published.OURS} less each baseline, paired by target"
    return Section("Against the baselines", (), (Table(title, header, tuple(rows), note),))


def _inconsistencies(paper: Paper) -> Section:
    text = (f"{len(paper.findings)}, found by rules in the figures themselves.",)
    return Section("Inconsistencies", text, (), tuple(finding.sentence for finding in paper.findings))


def _others() -> Section:
    header = ("method", "source", "trunk", "targets", "mean", "note")
    rows = [
        (
            one.name,
            one.source,
            one.trunk or "–",
            ", ".join(f"{name} {figure:.2f}" for name, figure in one.figures) or "–",
            "–" if one.mean is None else f"{one.mean:.2f}",
            one.note or "–",
        )
        for one in REFERENCES
    ]
    taught = [
        (one.name, one.data_set, f"{one.low:.1f}" + (f" to {one.high:.1f}" if one.high > one.low else ""), one.note)
        for one in SUPERVISED
    ]
    best = [("best known", name, f"{figure:.1f}", "in-domain, about") for name, figure in IN_DOMAIN.items()]
    tables = (
        Table("Across data sets", header, tuple(rows)),
        Table("With labels, and shipped tools", ("what", "test set", "accuracy %", "note"), (*best, *taught)),
    )
    return Section("Figures of others", (), tables)


def _measured(paper: Paper) -> Section:
    own = tuple(_folder_table(*group) for group in _grouped(paper.measured or ()))
    if not paper.beside:
        return Section("Measured here", ("Nothing measured has a source, a target and a trunk of these tables.",), own)
    text = (
        "Accuracy in per cent, mean over the seeds, with the 95 % Wilson interval of that mean over so many faces. The "
        "paper's figure of the same row lies above, below or within that interval.",
    )
    cells = dict.fromkeys((pair.table, pair.target) for pair in paper.beside)
    beside = (
        _beside_table(published.table(number), target, [p for p in paper.beside if (p.table, p.target) == cell])
        for cell in cells
        for number, target in [cell]
    )
    return Section("Measured here", text, (*beside, *own))


def _beside_table(table: PaperTable, target: str, pairs: Sequence[Beside]) -> Table:
    header = ("row", "split", *_FIGURES, "paper", "it lies")
    rows = [
        (
            pair.measured.row,
            pair.measured.split,
            *_figures(pair.measured),
            "–" if pair.same is None else f"{pair.same:.2f}",
            pair.against_interval or "–",
        )
        for pair in pairs
    ]
    claim = (f"the paper's {published.OURS}", *["–"] * (len(_FIGURES) + 1), f"{pairs[0].ours:.2f}", "–")
    title = f"Table {table.number} and measured: {table.source} to {target}, {table.trunk}"
    return Table(title, header, (claim, *rows))


_FIGURES = ("accuracy", "sd", "95 % interval", "seeds", "faces")


def _grouped(rows: Sequence[MeasuredRow]) -> list[tuple[str, list[MeasuredRow]]]:
    """Return the rows of one table each, with its title."""
    groups: dict[str, list[MeasuredRow]] = {}
    for row in rows:
        size = "" if row.size is None else f", {row.size} px"
        groups.setdefault(f"{row.folder}: {row.source} to {row.target}, {row.trunk}{size}", []).append(row)
    return list(groups.items())


def _folder_table(title: str, rows: Sequence[MeasuredRow]) -> Table:
    lines = [(row.row, row.test, row.split, *_figures(row)) for row in sorted(rows, key=lambda row: row.test)]
    return Table(title, ("row", "tested on", "split", *_FIGURES), tuple(lines))


def _figures(row: MeasuredRow) -> tuple[str, ...]:
    low, high = row.interval
    sd = "one seed" if row.sd is None else f"{100 * row.sd:.1f}"
    accuracy, interval = f"{100 * row.accuracy:.2f}", f"{100 * low:.2f} to {100 * high:.2f}"
    return accuracy, sd, interval, str(len(row.seeds)), f"{row.images:,}"
