"""Rules on the paper's single figures: where two places disagree, lack what they mean, or are not to be expected."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from dcdan.evaluation.paper import published
from dcdan.evaluation.paper.finding import Finding, Tables, prints_as
from dcdan.evaluation.paper.published import PaperTable
from dcdan.evaluation.paper.references import CLASSES, IN_DOMAIN


def prose_figures(tables: Tables) -> Iterator[Finding]:
    """Compare the figures that the running text gives to a table with those in it."""
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
    """Compare the abstract's figure of each data set with the best that a table has for it."""
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
    """List the figures that a method has for a target in two tables alike: by chance, or copied."""
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
    """Count the baselines' cells that differ between two tables though trunk, source and target are the same."""
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
    """List the ablations that do not say of what they are."""
    for claim in published.ABLATIONS:
        facts = {"source": claim.source, "target": claim.target, "trunk": claim.trunk, "unit": claim.unit}
        missing = [name for name, value in facts.items() if value is None]
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
    """List the confusion matrices of more or fewer categories than the data set has."""
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
    """List the cross-domain figures above what training on the target's own labels is known to reach."""
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
