"""The page ``docs/paper-errata.md``: the inconsistencies of the paper, recomputed, and what dcdan does instead."""

from __future__ import annotations

from itertools import groupby
from textwrap import fill
from typing import NamedTuple

from dcdan.paper.inconsistencies import find_inconsistencies
from dcdan.paper.published import SPREADS, TABLES
from dcdan.paper.recomputed import table_summaries

WIDTH = 100


class Remedy(NamedTuple):
    """The heading of a kind of inconsistency, and what dcdan does instead.

    Attributes:
        heading: title of the section.
        done: what dcdan does.
    """

    heading: str
    done: str


REMEDIES: dict[str, Remedy] = {
    "mean-of-what": Remedy(
        "The mean of four targets or of five",
        "Benchmark tables print both means, each under its name.",
    ),
    "printed-mean": Remedy("Printed means that are off", "Means are computed from the cells; nothing is typed in."),
    "gain": Remedy("A gain that is off", "Differences are computed from the cells."),
    "swapped-trunks": Remedy(
        "Statistics given to the wrong trunk",
        "Every statistic stands in a table that names source and trunk.",
    ),
    "anova-of-pairs": Remedy(
        "An analysis of variance of paired figures",
        "Two methods over the same targets are compared by a paired t test and Wilcoxon's test, two models on the same "
        "faces by McNemar's test.",
    ),
    "significance": Remedy(
        "A significance that depends on the mean",
        "p-values are printed for each pair, over all targets, with the number of targets.",
    ),
    "too-few-targets": Remedy(
        "Five targets cannot be significant by ranks",
        "Tables print the least p that Wilcoxon's test can give beside the p it gives. Intervals of a row come from a "
        "bootstrap over seeds and faces, not from the targets.",
    ),
    "closest-competitor": Remedy(
        "Which baseline is the best",
        "The reference row is tested against every other row, not against one chosen by a mean.",
    ),
    "prose-figures": Remedy("Two result sets for table 1", "`dcdan paper` holds results against the table."),
    "abstract": Remedy("Abstract against table", "`dcdan paper` holds results against the table."),
    "repeated-figure": Remedy(
        "The same figure in two tables",
        "Each cell has a run folder with its seed, commit and checksums, so a copied cell would show.",
    ),
    "one-baseline-two-results": Remedy(
        "Baselines with trunks of their own",
        "One trunk, one budget, the same faces and seeds for all rows of a table.",
    ),
    "ablation": Remedy(
        "Ablations without context",
        "Ablations are rows of a benchmark: same source, target, trunk and seeds as the reference, in points.",
    ),
    "categories": Remedy(
        "Eight categories of seven",
        "A pair of data sets uses the classes that both have; faces of other classes are left out and counted.",
    ),
    "implausible": Remedy(
        "Above what labels are known to reach",
        "The figure is reported as the paper's claim, beside our own measurement.",
    ),
}
"""Rule of :mod:`dcdan.paper.inconsistencies` -> heading and remedy, in the order of the page."""


def errata_page() -> str:
    """Return the page as Markdown. Every figure on it is computed from the tables as printed.

    Example:
        >>> errata_page().splitlines()[0]
        '# Errata of the paper'
    """
    lines = [
        "# Errata of the paper",
        "",
        _wrapped(
            "The paper (doi 10.7717/peerj-cs.2866) prints four tables of accuracies and some statistics of them. "
            "Several of its figures contradict each other. This page lists them, each recomputed from the tables as "
            "printed, and says what dcdan does instead. `dcdan paper --errata` makes the page; a test compares it with "
            "this file."
        ),
        "",
        "## Statistics, recomputed",
        "",
        "Of the row DCD-DAN. The interval is Student's, 4 degrees of freedom.",
        "",
        "| table | trunk | mean of 5 | sd (n - 1) | 95 % interval | mean of last 4 | printed mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table_summaries(TABLES):
        of = row.summary
        lines.append(
            f"| {row.table} | {row.trunk} | {of.mean:.3f} | {of.sd:.3f} | {of.low:.2f} to {of.high:.2f} |"
            f" {row.last_four:.3f} | {row.printed:.2f} |"
        )
    for claim in SPREADS:
        interval = f"{claim.low:.2f} to {claim.high:.2f}"
        lines.append(f"| the text | {claim.trunk} | {claim.mean:.2f} | {claim.sd:.2f} | {interval} | – | – |")
    lines += ["", "Every paired test is in [the recomputed tables](paper.md)."]
    found = {rule: list(group) for rule, group in groupby(find_inconsistencies(TABLES), key=lambda each: each.rule)}
    for rule, remedy in REMEDIES.items():
        if rule in found:
            lines += ["", f"## {remedy.heading}", ""]
            lines += [_wrapped(each.sentence, "- ", "  ") for each in found[rule]]
            lines += ["", _wrapped(f"What dcdan does: {remedy.done}")]
    return "\n".join([*lines, ""])


def _wrapped(text: str, first: str = "", others: str = "") -> str:
    return fill(
        text, WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
