"""Where the paper disagrees with itself or with what is plausible: found by rules, each computing it from the data.

A rule reads the tables, so other tables give other findings, and tables without slips give none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dcdan.evaluation.paper import rules_figures as figures
from dcdan.evaluation.paper import rules_statistics as statistics
from dcdan.evaluation.paper.finding import Finding, Tables

RULES: tuple[Callable[[Tables], Iterator[Finding]], ...] = (
    statistics.mean_of_what,
    statistics.printed_means,
    statistics.gains,
    statistics.swapped_trunks,
    statistics.anova_of_pairs,
    statistics.significance,
    statistics.too_few_targets,
    statistics.closest_competitor,
    figures.prose_figures,
    figures.abstract_figures,
    figures.repeated_figures,
    figures.one_baseline_two_results,
    figures.ablations,
    figures.categories,
    figures.implausible,
)


def find_inconsistencies(tables: Tables) -> tuple[Finding, ...]:
    """Return what all rules find in the tables, rule by rule."""
    return tuple(finding for rule in RULES for finding in rule(tables))
