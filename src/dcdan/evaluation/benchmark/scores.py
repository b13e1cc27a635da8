"""Scores of many cells as figures: means over seeds and targets, spread, intervals, and tests between methods."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dcdan.evaluation.benchmark.cell import cell_done, read_correct, read_scores
from dcdan.evaluation.benchmark.plan import Cell, Plan
from dcdan.evaluation.intervals import Interval, wilson
from dcdan.evaluation.mcnemar import mcnemar

SIGNIFICANT = 0.05


class Figures(NamedTuple):
    """One row on one test: means over the seeds, all 0..1."""

    seeds: int
    images: int
    accuracy: float
    deviation: float
    """Standard deviation of the accuracy over the seeds (n - 1); not a number for one seed."""
    interval: Interval
    """95 % Wilson interval of the mean accuracy over so many images: of the images drawn, not of the seeds."""
    macro_f1: float
    uar: float
    ece: float


class Scored(NamedTuple):
    """A cell that is done, with its report on one test."""

    cell: Cell
    report: dict[str, Any]


class Compared(NamedTuple):
    """McNemar's test between the reference and another row on the same faces, seed by seed."""

    better: int
    """Seeds in which the reference is significantly better."""
    worse: int
    seeds: int
    p_value: float
    """The median of the seeds' probabilities."""


def done_cells(cells: Iterable[Cell], out: Path) -> list[Scored]:
    """Return every report of the cells that are done."""
    return [Scored(cell, report) for cell in cells if cell_done(cell, out) for report in read_scores(cell, out)]


def figures(reports: Sequence[dict[str, Any]]) -> Figures:
    """Return the figures of one row on one test from its seeds' reports."""
    mean = {key: statistics.mean(report[key] for report in reports) for key in ("accuracy", "macro_f1", "uar", "ece")}
    images = int(reports[0]["images"])
    spread = statistics.stdev(report["accuracy"] for report in reports) if len(reports) > 1 else float("nan")
    interval = wilson(round(mean["accuracy"] * images), images)
    return Figures(len(reports), images, mean["accuracy"], spread, interval, mean["macro_f1"], mean["uar"], mean["ece"])


def reports_of(scored: Sequence[Scored], key: str, test: str, source: str, trunk: str, target: str = "") -> list[Any]:
    """Return the reports of a row on a test, by seed; of the target's own test where no target is named."""
    return [
        report
        for cell, report in scored
        if cell.entry.key == key
        and cell.source.name == source
        and cell.trunk == trunk
        and report["test"] == test
        and (cell.target.name == target if target else report["kind"] == "target")
    ]


def compare(cells: Sequence[Cell], out: Path, reference: str, other: str, target: str) -> Compared | None:
    """Compare two rows on a target's test by McNemar's test, over the seeds that both have; None without any.

    ``cells`` are of one source and trunk.
    """
    by_seed: dict[tuple[str, int], Cell] = {
        (cell.entry.key, cell.seed): cell for cell in cells if cell.target.name == target and cell_done(cell, out)
    }
    p_values, better, worse = [], 0, 0
    for key, seed in by_seed:
        if key != reference or (other, seed) not in by_seed:
            continue
        first = read_correct(by_seed[reference, seed], out, target)
        second = read_correct(by_seed[other, seed], out, target)
        found = mcnemar(first, second)
        p_values.append(found.p_value)
        if found.p_value < SIGNIFICANT:
            better += found.only_first > found.only_second
            worse += found.only_second > found.only_first
    return Compared(better, worse, len(p_values), statistics.median(p_values)) if p_values else None


def target_means(scored: Sequence[Scored], plan: Plan, key: str, source: str, trunk: str) -> list[float]:
    """Return a row's mean accuracy on every target, in the plan's order; [] unless all of them are there."""
    found = [reports_of(scored, key, target.name, source, trunk) for target in plan.targets]
    return [figures(reports).accuracy for reports in found] if all(found) else []
