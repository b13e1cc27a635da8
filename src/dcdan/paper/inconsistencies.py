"""Inconsistencies of the paper, found by rules that compute each from the printed figures.

Each rule is a function of the tables that yields a :class:`Finding` for every inconsistency of its kind: places that
contradict each other, figures without the context that gives them a meaning, means and tests that do not follow from
the tables, and figures that are not plausible. Other tables give other findings, consistent ones give none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from dcdan.metrics.significance import least_rank_p
from dcdan.paper import published
from dcdan.paper.published import CLASSES, IN_DOMAIN, PaperTable
from dcdan.paper.recomputed import against_baselines, best_baseline, means_of, table_summaries, trunk_comparisons

Tables = Sequence[PaperTable]


@dataclass(frozen=True, slots=True)
class Finding:
    """An inconsistency of the paper.

    Attributes:
        rule: key of the rule that found it, as in :data:`dcdan.paper.errata.REMEDIES`.
        tables: numbers of the tables that it concerns; empty where it concerns the text alone.
        printed: the printed figure; None where it is not about one.
        recomputed: the figure that follows from the tables; None likewise.
        sentence: a description for the reader.
    """

    rule: str
    tables: tuple[int, ...]
    printed: float | None
    recomputed: float | None
    sentence: str


def prints_as(value: float, printed: float, decimals: int) -> bool:
    """Return whether a value rounds to a printed figure; on a tie both neighbours count.

    Args:
        value: the exact value.
        printed: the printed figure.
        decimals: number of its decimals.

    Example:
        >>> prints_as(75.9125, 75.91, 2), prints_as(75.9125, 75.92, 2)
        (True, False)
    """
    return abs(value - printed) <= 0.5 * 10.0**-decimals + 1e-9


def prose_figures(tables: Tables) -> Iterator[Finding]:
    """Compare the figures that the text gives for a table with those in it.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for claim in published.PROSE:
        for table in tables:
            if table.number != claim.table:
                continue
            pairs = list(zip(table.targets, claim.figures, table.ours.figures, strict=True))
            other = [f"{name} {said:.2f} ({printed:.2f})" for name, said, printed in pairs if said != printed]
            if claim.mean != table.ours.mean:
                other.append(f"mean {claim.mean:.2f} ({table.ours.mean:.2f})")
            if other:
                own = sum(claim.figures[1:]) / len(claim.figures[1:])
                fits = "; its mean is that of its own figures" if prints_as(own, claim.mean, 2) else ""
                yield Finding(
                    "prose-figures",
                    (table.number,),
                    claim.mean,
                    table.ours.mean,
                    f"The text's figures for table {table.number} are another result set than the table's (in "
                    f"brackets): {', '.join(other)}{fits}.",
                )


def abstract_figures(tables: Tables) -> Iterator[Finding]:
    """Compare the figure of the abstract for each data set with those of the tables.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for name, said in published.ABSTRACT:
        cells = [(own, table.number) for table in tables for own in [_ours_on(table, name)] if own is not None]
        if cells and said not in {figure for figure, _ in cells}:
            best, number = max(cells)
            yield Finding(
                "abstract",
                (number,),
                said,
                best,
                f"The abstract gives {name} {said:.2f}, table {number} {best:.2f}.",
            )


def repeated_figures(tables: Tables) -> Iterator[Finding]:
    """List the figures that a method has on one target in two tables alike.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for one, two in combinations(tables, 2):
        for row in one.rows:
            other = dict(zip(two.targets, two.row(row.method).figures, strict=True))
            for name, figure in zip(one.targets, row.figures, strict=True):
                if other.get(name) == figure:
                    yield Finding(
                        "repeated-figure",
                        (one.number, two.number),
                        figure,
                        figure,
                        f"{row.method} has {figure:.2f} on {name} in table {one.number} ({one.source}, {one.trunk}) "
                        f"and in table {two.number} ({two.source}, {two.trunk}): chance, or a copied cell.",
                    )


def one_baseline_two_results(tables: Tables) -> Iterator[Finding]:
    """Count the figures of baselines that differ between two tables of the same source, targets and trunks.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for one, two in combinations(tables, 2):
        if (one.source, one.targets) != (two.source, two.targets):
            continue
        pairs = [
            (first, second)
            for row in one.baselines
            if row.backbone == two.row(row.method).backbone
            for first, second in zip(row.figures, two.row(row.method).figures, strict=True)
        ]
        differ = sum(first != second for first, second in pairs)
        captions = {one.trunk, two.trunk}
        others = "" if captions & {row.backbone for row in one.baselines} else ", none of them a caption's trunk"
        if differ:
            yield Finding(
                "one-baseline-two-results",
                (one.number, two.number),
                None,
                None,
                f"Tables {one.number} and {two.number} give the baselines the same source, targets and "
                f"trunks{others}, yet {differ} of {len(pairs)} figures differ.",
            )


def ablations(_: Tables) -> Iterator[Finding]:
    """List the ablations that are printed without source, target, trunk or unit.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for claim in published.ABLATIONS:
        metadata = {"source": claim.source, "target": claim.target, "trunk": claim.trunk, "unit": claim.unit}
        missing = [name for name, value in metadata.items() if value is None]
        if missing:
            yield Finding(
                "ablation",
                (),
                -claim.drop,
                None,
                f"The ablation without {claim.removed} is {-claim.drop:+.1f} in the text alone, "
                f"without {', '.join(missing)}.",
            )


def categories(_: Tables) -> Iterator[Finding]:
    """List the confusion matrices of more or fewer categories than the data set has.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for figure in published.CONFUSIONS:
        if figure.categories != CLASSES[figure.data_set]:
            yield Finding(
                "categories",
                (),
                figure.categories,
                CLASSES[figure.data_set],
                f"Figure {figure.number} is said to show {figure.categories} categories of {figure.data_set}, which "
                f"has {CLASSES[figure.data_set]}.",
            )


def implausible(tables: Tables) -> Iterator[Finding]:
    """List the cross-domain figures above the best known accuracy of training on labels of the target.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for table in tables:
        for name, figure in zip(table.targets, table.ours.figures, strict=True):
            if name in IN_DOMAIN and figure > IN_DOMAIN[name]:
                yield Finding(
                    "implausible",
                    (table.number,),
                    figure,
                    IN_DOMAIN[name],
                    f"Table {table.number}: {figure:.2f} on {name} without its labels is above about "
                    f"{IN_DOMAIN[name]:.1f}, the best known with them.",
                )


def _ours_on(table: PaperTable, target: str) -> float | None:
    return dict(zip(table.targets, table.ours.figures, strict=True)).get(target)


MEAN_TOLERANCE = 0.1
"""Points by which a printed mean may miss; rounding alone explains .005."""


def mean_of_what(tables: Tables) -> Iterator[Finding]:
    """Report rows whose printed mean leaves out the first target.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    rows = [row for table in tables for row in table.rows]
    closer = [row for row in rows if abs(row.mean - means_of(row)[1]) < abs(row.mean - means_of(row)[0])]
    if closer:
        yield Finding(
            "mean-of-what",
            tuple(table.number for table in tables),
            None,
            None,
            f"The printed means leave out the first target in {len(closer)} of {len(rows)} rows, while the text says "
            "across all data sets, and its statistics take all of them.",
        )


def printed_means(tables: Tables) -> Iterator[Finding]:
    """List the printed means that miss the mean of the last four targets by more than the tolerance.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for table in tables:
        for row in table.rows:
            mean = means_of(row)[1]
            if abs(row.mean - mean) > MEAN_TOLERANCE:
                yield Finding(
                    "printed-mean",
                    (table.number,),
                    row.mean,
                    mean,
                    f"Table {table.number}, {row.method}: the printed mean is {row.mean:.2f}, that of the last four "
                    f"targets {mean:.3f}.",
                )


def gains(tables: Tables) -> Iterator[Finding]:
    """List the printed gains over the best baseline that differ from those of the recomputed means.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for claim in published.GAINS:
        for table in tables:
            if table.number == claim.table:
                gain = means_of(table.ours)[1] - means_of(table.row(claim.baseline))[1]
                if abs(gain - claim.points) > MEAN_TOLERANCE:
                    yield Finding(
                        "gain",
                        (table.number,),
                        claim.points,
                        gain,
                        f"Table {table.number}: the text claims {claim.points:+.{claim.decimals}f} over "
                        f"{claim.baseline}; the figures give {gain:+.2f}.",
                    )


def swapped_trunks(tables: Tables) -> Iterator[Finding]:
    """Find the statistics that the text gives for a trunk while they are those of a table of another trunk.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for claim in published.SPREADS:
        for own in table_summaries(tables):
            found = (own.summary.mean, own.summary.sd, own.summary.low, own.summary.high)
            quoted = (claim.mean, claim.sd, claim.low, claim.high)
            if own.trunk != claim.trunk and all(prints_as(a, b, 2) for a, b in zip(found, quoted, strict=True)):
                yield Finding(
                    "swapped-trunks",
                    (own.table,),
                    claim.mean,
                    own.summary.mean,
                    f"The text gives {claim.mean:.2f} / {claim.sd:.2f} / [{claim.low:.2f}, {claim.high:.2f}] to "
                    f"{claim.trunk}; these are the figures of table {own.table}, which is {own.trunk}.",
                )


def anova_of_pairs(tables: Tables) -> Iterator[Finding]:
    """Find the tables of the printed analysis of variance, and compare it with the paired test.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    claim = published.ANOVA
    for pair in trunk_comparisons(tables):
        if prints_as(pair.anova.f, claim.f, 2) and prints_as(pair.anova.p_value, claim.p_value, 3):
            verdict = "differ" if pair.paired.p_value < published.SIGNIFICANCE else "do not differ"
            yield Finding(
                "anova-of-pairs",
                pair.tables,
                claim.p_value,
                pair.paired.p_value,
                f"The analysis of variance is of tables {pair.tables[0]} and {pair.tables[1]}: "
                f"F({pair.anova.between},{pair.anova.within}) = {pair.anova.f:.3f}, p = {pair.anova.p_value:.3f}; but "
                f"the figures are paired by target, and by the paired test, t({pair.paired.df}) = {pair.paired.t:.3f}, "
                f"p = {pair.paired.p_value:.3f}, the trunks {verdict}.",
            )


def significance(tables: Tables) -> Iterator[Finding]:
    """List the best baselines against which a paired t test is not significant.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    best = {table.number: best_baseline(table).method for table in tables}
    for versus in against_baselines(tables):
        for test, which in ((versus.all, "all targets"), (versus.last_four, "the four targets of the printed mean")):
            if versus.baseline == best[versus.table] and test.p_value >= published.SIGNIFICANCE:
                yield Finding(
                    "significance",
                    (versus.table,),
                    published.SIGNIFICANCE,
                    test.p_value,
                    f"Table {versus.table}: against the best baseline, {versus.baseline}, the text says "
                    f"p < {published.SIGNIFICANCE}; over {which} it is t({test.df}) = {test.t:.3f}, "
                    f"p = {test.p_value:.3f}.",
                )


def too_few_targets(tables: Tables) -> Iterator[Finding]:
    """Report tables with too few targets for a rank test to reach the claimed level.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    least = {table.number: least_rank_p(len(table.targets)) for table in tables}
    low = tuple(number for number, p in least.items() if p >= published.SIGNIFICANCE)
    if low:
        p = min(least[number] for number in low)
        yield Finding(
            "too-few-targets",
            low,
            published.SIGNIFICANCE,
            p,
            f"With so few targets Wilcoxon's signed-rank test cannot give a p below {p:.4f}: that the differences are "
            "significant rests on taking them for normally distributed.",
        )


def closest_competitor(tables: Tables) -> Iterator[Finding]:
    """List the tables in which the best baseline depends on which targets the mean is over.

    Args:
        tables: tables of the paper.

    Yields:
        One finding for each.
    """
    for table in tables:
        printed, every = best_baseline(table, "printed"), best_baseline(table, "all")
        if printed.method != every.method:
            yield Finding(
                "closest-competitor",
                (table.number,),
                means_of(printed)[0],
                means_of(every)[0],
                f"Table {table.number}: by the printed mean the best baseline is {printed.method}, by the mean of all "
                f"targets {every.method} ({means_of(every)[0]:.2f} against {means_of(printed)[0]:.2f}).",
            )


RULES: tuple[Callable[[Tables], Iterator[Finding]], ...] = (
    mean_of_what,
    printed_means,
    gains,
    swapped_trunks,
    anova_of_pairs,
    significance,
    too_few_targets,
    closest_competitor,
    prose_figures,
    abstract_figures,
    repeated_figures,
    one_baseline_two_results,
    ablations,
    categories,
    implausible,
)


def find_inconsistencies(tables: Tables) -> tuple[Finding, ...]:
    """Apply all rules to the tables.

    Args:
        tables: tables of the paper, or corrected ones.

    Returns:
        The findings, in the order of :data:`RULES`.

    Example:
        >>> from dcdan.paper.published import TABLES
        >>> len(find_inconsistencies(TABLES)), len(find_inconsistencies(TABLES[:1]))
        (27, 10)
    """
    return tuple(finding for rule in RULES for finding in rule(tables))
