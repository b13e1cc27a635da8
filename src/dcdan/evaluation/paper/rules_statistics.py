"""Rules on the paper's means and tests: where they do not follow from its own tables."""

from __future__ import annotations

from collections.abc import Iterator

from dcdan.evaluation.paired import least_rank_p
from dcdan.evaluation.paper import published
from dcdan.evaluation.paper.finding import Finding, Tables, prints_as
from dcdan.evaluation.paper.recomputed import (
    against_baselines,
    best_baseline,
    means_of,
    table_summaries,
    trunk_comparisons,
)

MEAN_TOLERANCE = 0.1
"""Points by which a printed mean may miss; rounding alone explains .005."""


def mean_of_what(tables: Tables) -> Iterator[Finding]:
    """Say of which targets the printed means are, where that is not all of them."""
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
    """List the printed means that miss the mean of the last four targets by more than the tolerance."""
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
    """List the gains over the best baseline that miss the one between the recomputed means."""
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
    """Find the table whose mean, sd and interval the text quotes, and say so when its trunk is another."""
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
    """Find the tables of which the printed analysis of variance is, and hold the paired test against it."""
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
    """List the best baselines against which a paired t test over the targets of the printed mean is not significant."""
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
    """Say when the targets are so few that a rank test cannot reach the level that the text claims."""
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
    """List the tables in which another baseline is the best when the mean is of all targets, as the text says."""
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
