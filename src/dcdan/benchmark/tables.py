"""The tables of a benchmark, as in the paper: a row for each method, a column for each target, by source and trunk."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dcdan.benchmark.cell import cell_done
from dcdan.benchmark.cells import read_cell
from dcdan.benchmark.plan import Cell, Plan, PlanDomain, PlanEntry
from dcdan.methods.base import find_method
from dcdan.metrics.intervals import LAST, Interval, bootstrap_interval, wilson
from dcdan.metrics.significance import least_rank_p, mcnemar, paired_t, signed_rank
from dcdan.reports.text_table import Table
from dcdan.training.model_selection.kept_epochs import scores_from_metadata
from dcdan.training.model_selection.scores import SCORES, Score, select_epoch

SIGNIFICANT = 0.05


class Figures(NamedTuple):
    """The scores of one row on one test set: means over the seeds, all 0..1.

    Attributes:
        seeds: number of seeds.
        images: number of faces of the test set.
        accuracy: mean accuracy.
        deviation: standard deviation of the accuracy over the seeds (n - 1); NaN for one seed.
        interval: 95 % interval of the mean accuracy. With several seeds it is a bootstrap over seeds and faces; with
            one seed it is Wilson's.
        macro_f1: mean macro-F1.
        uar: mean unweighted average recall.
        ece: mean expected calibration error.
    """

    seeds: int
    images: int
    accuracy: float
    deviation: float
    interval: Interval
    macro_f1: float
    uar: float
    ece: float


class ScoredCell(NamedTuple):
    """A finished cell with its report on one test set.

    Attributes:
        cell: the cell.
        report: the report, from ``scores.json``.
        correct: ``(N,) bool``, which faces of the test set were classified correctly; None where this was not kept.
        epochs: scores of each epoch, from ``epochs.json``, in ascending order; empty where no epochs were kept.
    """

    cell: Cell
    report: dict[str, Any]
    correct: np.ndarray | None = None
    epochs: Sequence[dict[str, Any]] = ()


class Compared(NamedTuple):
    """McNemar's test between the reference and another row on the same faces, seed by seed.

    Attributes:
        better: number of seeds in which the reference is significantly better.
        worse: number of seeds in which it is significantly worse.
        seeds: number of seeds that both rows have.
        p_value: median of the p-values.
    """

    better: int
    worse: int
    seeds: int
    p_value: float


def done_cells(cells: Iterable[Cell], out: Path) -> list[ScoredCell]:
    """Read the finished cells.

    Args:
        cells: the cells of a plan.
        out: folder of the benchmark.

    Returns:
        One entry for each report, in the order of the cells and of their reports.

    Raises:
        DataError: when the files of a cell cannot be read.
    """
    scored = []
    for cell in cells:
        if cell_done(cell, out):
            found = read_cell(out, cell.folder)
            for report in found.reports:
                answers = (found.answers or {}).get(report["test"])
                correct = None if answers is None else answers.correct
                scored.append(ScoredCell(cell, report, correct, found.epochs or ()))
    return scored


def figures(reports: Sequence[dict[str, Any]], correct: Sequence[np.ndarray | None] = ()) -> Figures:
    """Return the scores of one row on one test set.

    Args:
        reports: a report for each seed.
        correct: for each seed ``(N,) bool``, which faces were classified correctly. Where they are missing, the
            interval is Wilson's of the mean accuracy, which covers the sampling of faces alone.
    """
    mean = {key: statistics.mean(report[key] for report in reports) for key in ("accuracy", "macro_f1", "uar", "ece")}
    images = int(reports[0]["images"])
    spread = statistics.stdev(report["accuracy"] for report in reports) if len(reports) > 1 else float("nan")
    answers = [each for each in correct if each is not None and len(each) == images]
    if len(reports) > 1 and len(answers) == len(reports):
        interval = bootstrap_interval(np.stack(answers))
    else:
        interval = wilson(round(mean["accuracy"] * images), images)
    return Figures(len(reports), images, mean["accuracy"], spread, interval, mean["macro_f1"], mean["uar"], mean["ece"])


def reports_of(
    scored: Sequence[ScoredCell], key: str, test: str, source: str, trunk: str, target: str = ""
) -> list[Any]:
    """Return the reports of a row on a test set, by seed.

    Args:
        scored: the scored cells.
        key: key of the row.
        test: name of the test set.
        source: name of the source.
        trunk: name of the trunk.
        target: name of the target, for a further test set; empty for the target's own.
    """
    return [one.report for one in scored_of(scored, key, test, source, trunk, target)]


def scored_of(
    scored: Sequence[ScoredCell], key: str, test: str, source: str, trunk: str, target: str = ""
) -> list[ScoredCell]:
    """Return the scored cells of a row on a test set, by seed.

    Args:
        scored: the scored cells.
        key: key of the row.
        test: name of the test set.
        source: name of the source.
        trunk: name of the trunk.
        target: name of the target, for a further test set; empty for the target's own.
    """
    return [
        one
        for one in scored
        if one.cell.entry.key == key
        and one.cell.source.name == source
        and one.cell.trunk == trunk
        and one.report["test"] == test
        and (one.cell.target.name == target if target else one.report["kind"] == "target")
    ]


def compare(
    scored: Sequence[ScoredCell], reference: str, other: str, target: str, source: str, trunk: str
) -> Compared | None:
    """Compare two rows on the test of a target by McNemar's test, over the seeds that both have.

    Args:
        scored: the scored cells.
        reference: key of the first row.
        other: key of the second row.
        target: name of the target.
        source: name of the source.
        trunk: name of the trunk.

    Returns:
        The comparison; None when no seed has the predictions for each face of both rows.
    """
    correct = [
        {one.cell.seed: one.correct for one in scored_of(scored, key, target, source, trunk) if one.correct is not None}
        for key in (reference, other)
    ]
    p_values, better, worse = [], 0, 0
    for seed, first in correct[0].items():
        if seed not in correct[1]:
            continue
        found = mcnemar(first, correct[1][seed])
        p_values.append(found.p_value)
        if found.p_value < SIGNIFICANT:
            better += found.only_first > found.only_second
            worse += found.only_second > found.only_first
    return Compared(better, worse, len(p_values), statistics.median(p_values)) if p_values else None


def target_means(scored: Sequence[ScoredCell], plan: Plan, key: str, source: str, trunk: str) -> list[float]:
    """Return the mean accuracy of a row on every target, 0..1.

    Args:
        scored: the scored cells.
        plan: the plan.
        key: key of the row.
        source: name of the source.
        trunk: name of the trunk.

    Returns:
        The means in the order of the plan; empty unless every target has been scored.
    """
    found = [reports_of(scored, key, target.name, source, trunk) for target in targets_of(plan, source)]
    return [figures(reports).accuracy for reports in found] if all(found) else []


def all_tables(plan: Plan, scored: Sequence[ScoredCell]) -> list[Table]:
    """Return every table of a benchmark that has a row.

    Args:
        plan: the plan.
        scored: the scored cells.
    """
    tables: list[Table] = []
    for source in plan.sources:
        for trunk in plan.trunks:
            tables.append(accuracy_table(plan, scored, source.name, trunk))
            tests = tests_of(plan, source.name)
            tables += [figures_table(plan, scored, source.name, trunk, name, target) for name, target in tests]
            tables.append(mcnemar_table(plan, scored, source.name, trunk))
            if len(plan.targets_of(source)) > 1:
                tables.append(paired_table(plan, scored, source.name, trunk))
            if plan.ablations:
                tables.append(ablation_table(plan, scored, source.name, trunk))
            tables.append(choice_table(plan, scored, source.name, trunk))
    return [table for table in tables if table.rows]


def targets_of(plan: Plan, source: str) -> tuple[PlanDomain, ...]:
    """Return the targets of a source, in the order of the plan.

    Args:
        plan: the plan.
        source: name of the source.
    """
    return next(plan.targets_of(one) for one in plan.sources if one.name == source)


def tests_of(plan: Plan, source: str) -> list[tuple[str, str]]:
    """Return each test set with the target whose models it scores.

    Args:
        plan: the plan.
        source: name of the source.

    Returns:
        Pairs of test set and target; the target is empty where the test set is its own.
    """
    targets = targets_of(plan, source)
    own = [(target.name, "") for target in targets]
    return own + [(test.name, target.name) for test in plan.also for target in targets]


def transductive(plan: Plan, scored: Sequence[ScoredCell], source: str) -> set[str]:
    """Return the names of the targets whose models are adapted to and tested on the same images.

    Args:
        plan: the plan.
        scored: the scored cells.
        source: name of the source.
    """
    targets = {target.name: target for target in targets_of(plan, source)}
    return {
        one.report["test"]
        for one in scored
        if one.report["kind"] == "target"
        and one.cell.source.name == source
        and targets[one.report["test"]].is_transductive(one.report.get("split", ""))
    }


def heading(name: str, marked: set[str]) -> str:
    """Return the name of a target as the head of a column, marked where it is transductive.

    Args:
        name: name of the target.
        marked: names of the transductive targets.

    Example:
        >>> heading("JAFFE", {"JAFFE"}), heading("LFW", {"JAFFE"})
        ('JAFFE (transductive)', 'LFW')
    """
    return f"{name} (transductive)" if name in marked else name


def trained_by(scored: Sequence[ScoredCell], source: str, trunk: str) -> str:
    """Describe the precision of the cells of a table, and how many revisions of the code trained them.

    Args:
        scored: the scored cells.
        source: name of the source.
        trunk: name of the trunk.
    """
    own = [one.report for one in scored if one.cell.source.name == source and one.cell.trunk == trunk]
    precisions = sorted({str(report.get("precision") or "precision not recorded") for report in own})
    revisions = {report.get("code") or "" for report in own}
    mixed = f"; cells of {len(revisions)} revisions of the code" if len(revisions) > 1 else ""
    return " and ".join(precisions) + mixed


def accuracy_table(plan: Plan, scored: Sequence[ScoredCell], source: str, trunk: str) -> Table:
    """Return accuracy in per cent by method and target, with the means of all targets and of the last four.

    Args:
        plan: the plan.
        scored: the scored cells.
        source: name of the source.
        trunk: name of the trunk.
    """
    names = [target.name for target in targets_of(plan, source)]
    marked = transductive(plan, scored, source)
    header = ["method", "sees target", *(heading(name, marked) for name in names)]
    header += ["mean"] if len(names) > 1 else []
    header += [f"mean of the last {LAST}"] if len(names) > LAST else []
    rows = []
    for entry in plan.methods:
        found = [reports_of(scored, entry.key, name, source, trunk) for name in names]
        if not any(found):
            continue
        means = target_means(scored, plan, entry.key, source, trunk)
        row = [entry.name, sees_target(plan, entry), *(_spread(figures(r)) if r else "–" for r in found)]
        row += [_percent(statistics.mean(means)) if means else "–"] if len(names) > 1 else []
        row += [_percent(statistics.mean(means[-LAST:])) if means else "–"] if len(names) > LAST else []
        rows.append(tuple(row))
    training = trained_by(scored, source, trunk)
    note = (
        f"Accuracy in per cent, mean and standard deviation over the seeds; {trunk}, {training}, "
        "last checkpoint." + (" Transductive: adapted to and tested on the same images." if marked else "")
    )
    return Table(f"{source}, {trunk}", tuple(header), tuple(rows), note)


def figures_table(
    plan: Plan, scored: Sequence[ScoredCell], source: str, trunk: str, test: str, target: str = ""
) -> Table:
    """Return all scores of one test set.

    Args:
        plan: the plan.
        scored: the scored cells.
        source: name of the source.
        trunk: name of the trunk.
        test: name of the test set.
        target: name of the target, for a further test set; empty for the target's own.
    """
    rows = []
    images = 0
    for entry in (*plan.methods, *plan.ablations):
        own = scored_of(scored, entry.key, test, source, trunk, target)
        if not own:
            continue
        found = figures([one.report for one in own], [one.correct for one in own])
        images = found.images
        low, high = found.interval
        rows.append(
            (
                entry.name,
                str(found.seeds),
                _percent(found.accuracy),
                "one seed" if math.isnan(found.deviation) else _percent(found.deviation),
                f"{_percent(low)} to {_percent(high)}",
                *(f"{value:.3f}" for value in (found.macro_f1, found.uar, found.ece)),
            )
        )
    header = ("method", "seeds", "accuracy %", "sd", "95 % interval", "macro-F1", "UAR", "ECE")
    marked = set() if target else transductive(plan, scored, source)
    title = f"{source}, {trunk}: {heading(test, marked)}" + (f", models adapted to {target}" if target else "")
    note = (
        f"{images} faces. The interval of several seeds holds the spread of seeds and of faces (bootstrap over both), "
        "that of one seed the faces alone (Wilson)."
    )
    return Table(title, header, tuple(rows), note)


def mcnemar_table(plan: Plan, scored: Sequence[ScoredCell], source: str, trunk: str) -> Table:
    """Return McNemar's test of the reference against every other row, on the test set of each target.

    Args:
        plan: the plan.
        scored: the scored cells.
        source: name of the source.
        trunk: name of the trunk.
    """
    targets = targets_of(plan, source)
    header = ("against", *(target.name for target in targets))
    rows = []
    for entry in (*plan.methods, *plan.ablations):
        if entry.key == plan.against:
            continue
        found = [compare(scored, plan.against, entry.key, target.name, source, trunk) for target in targets]
        if any(found):
            rows.append((entry.name, *(_compared(f.better, f.worse, f.seeds, f.p_value) if f else "–" for f in found)))
    reference = name_of(plan, plan.against)
    note = (
        f"{reference} against each row on the same faces and seed: seeds in which it is better / worse at p < .05, "
        "and the median p of the seeds. Not corrected for the number of comparisons."
    )
    return Table(f"{source}, {trunk}: McNemar's test of {reference}", header, tuple(rows), note)


def paired_table(plan: Plan, scored: Sequence[ScoredCell], source: str, trunk: str) -> Table:
    """Return paired t and Wilcoxon tests of the reference against every other method, over the targets.

    Args:
        plan: the plan.
        scored: the scored cells.
        source: name of the source.
        trunk: name of the trunk.
    """
    own = target_means(scored, plan, plan.against, source, trunk)
    rows = []
    for entry in plan.methods:
        other = target_means(scored, plan, entry.key, source, trunk)
        if entry.key == plan.against or not own or not other:
            continue
        t, ranks = paired_t(own, other), signed_rank(own, other)
        rows.append(
            (entry.name, f"{100 * t.difference:+.1f}", f"{t.t:.2f}", f"{t.p_value:.3f}", f"{ranks.p_value:.3f}")
        )
    count = len(targets_of(plan, source))
    header = ("against", "mean difference", f"t({count - 1})", "p, paired t", "p, Wilcoxon")
    note = f"Over {count} targets, each the mean of its seeds; Wilcoxon's p cannot be below {least_rank_p(count):.3f}."
    return Table(f"{source}, {trunk}: over the targets", header, tuple(rows), note)


def ablation_table(plan: Plan, scored: Sequence[ScoredCell], source: str, trunk: str) -> Table:
    """Return the change of accuracy that each ablation causes, paired by seed.

    Args:
        plan: the plan.
        scored: the scored cells.
        source: name of the source.
        trunk: name of the trunk.
    """
    targets = targets_of(plan, source)
    rows = []
    for entry in plan.ablations:
        cells = []
        for target in targets:
            whole = {r["seed"]: r for r in reports_of(scored, plan.against, target.name, source, trunk)}
            without = reports_of(scored, entry.key, target.name, source, trunk)
            gaps = [100 * (r["accuracy"] - whole[r["seed"]]["accuracy"]) for r in without if r["seed"] in whole]
            spread = f" ± {statistics.stdev(gaps):.1f}" if len(gaps) > 1 else ""
            cells.append(f"{statistics.mean(gaps):+.1f}{spread} ({len(gaps)})" if gaps else "–")
        if set(cells) != {"–"}:
            rows.append((entry.name, *cells))
    header = ("taken away", *(target.name for target in targets))
    note = (
        f"Accuracy less that of {name_of(plan, plan.against)} at the same seed, points: mean, standard deviation of "
        "the differences, and number of seeds."
    )
    return Table(f"{source}, {trunk}: ablations", header, tuple(rows), note)


def choice_table(plan: Plan, scored: Sequence[ScoredCell], source: str, trunk: str) -> Table:
    """Return the accuracy of the epoch that each label-free score picks, with that of the last and the best epoch.

    Args:
        plan: the plan.
        scored: the scored cells.
        source: name of the source.
        trunk: name of the trunk.
    """
    header = ("method", "target", "cells", "last", *(name.replace("_", " ") for name in SCORES), "oracle")
    rows = []
    for entry in (*plan.methods, *plan.ablations):
        for target in targets_of(plan, source):
            own = scored_of(scored, entry.key, target.name, source, trunk)
            kept = [one.epochs for one in own if one.epochs]
            if not kept:
                continue
            picked = [[_accuracy(epochs, score) for epochs in kept] for score in SCORES]
            last = [epochs[-1]["accuracy"] for epochs in kept]
            oracle = [max(epoch["accuracy"] for epoch in epochs) for epochs in kept]
            figures_ = [_percent(statistics.mean(values)) for values in (last, *picked, oracle)]
            rows.append((entry.name, target.name, str(len(kept)), *figures_))
    note = (
        "Accuracy in per cent on the target's test, mean over the cells, of the epoch that each label-free score picks "
        "(collapsed ones left out). The oracle picks by the test's labels, which no user has: it is no result."
    )
    return Table(f"{source}, {trunk}: choosing an epoch without labels", header, tuple(rows), note)


def _accuracy(epochs: Sequence[dict[str, Any]], by: Score) -> float:
    """Return the accuracy of the epoch that a score picks."""
    taken = select_epoch([scores_from_metadata(epoch) for epoch in epochs], by).epoch
    return next(float(e["accuracy"]) for e in epochs if e["epoch"] == taken)


def name_of(plan: Plan, key: str) -> str:
    """Return the name of a row.

    Args:
        plan: the plan.
        key: key of the row.
    """
    return next(entry.name for entry in (*plan.methods, *plan.ablations) if entry.key == key)


def sees_target(plan: Plan, entry: PlanEntry) -> str:
    """Return what the training of a row uses of the target: ``images``, ``statistics`` or ``no``.

    Args:
        plan: the plan.
        entry: the row.
    """
    method = find_method(str(entry.settings.get("method", plan.settings.get("method", "dcdan"))))
    return "images" if method.sees_target else "statistics" if method.estimates_statistics else "no"


def _compared(better: int, worse: int, seeds: int, p_value: float) -> str:
    return f"{better} / {worse} of {seeds}, p {'< .001' if p_value < 0.001 else f'= {p_value:.3f}'}"


def _spread(found: Figures) -> str:
    spread = "" if math.isnan(found.deviation) else f" ± {_percent(found.deviation)}"
    return f"{_percent(found.accuracy)}{spread}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
