"""A benchmark from its file to its page: packs, plan, training, tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dcdan.data.build import pack_for
from dcdan.data.pack import Pack
from dcdan.data.workers import cores
from dcdan.errors import UsageError
from dcdan.evaluation.benchmark.cell import cell_done
from dcdan.evaluation.benchmark.estimate import Work
from dcdan.evaluation.benchmark.plan import Cell, Plan, cells_of
from dcdan.evaluation.benchmark.table import Table


def prepared_cells(plan: Plan, progress: bool) -> tuple[list[Cell], dict[str, Pack], dict[str, tuple[str, ...]]]:
    """Build or open every pack that the plan names; return its cells, the packs, and each target's class names.

    Packs stand under "source SPEC" and "target SPEC"; targets are opened without labels.
    Raises UsageError when the runs of a plan differ in face size: they would not see the same faces.
    """
    shapes = {(cell.settings.size, cell.settings.align) for cell in cells_of(plan, {})}
    if len(shapes) > 1:
        raise UsageError("The rows of the plan differ in size or align: a table compares runs on the same faces.")
    size, align = next(iter(shapes))
    packs = {f"source {d.data}": pack_for(d.data, size, align, progress=progress) for d in plan.sources}
    for domain in (*plan.targets, *plan.also):
        packs[f"target {domain.data}"] = pack_for(domain.data, size, align, labelled=False, progress=progress)
        pack_for(domain.scored, size, align, labelled=False, progress=progress)
    classes = {domain.data: packs[f"target {domain.data}"].classes for domain in plan.targets}
    return list(cells_of(plan, classes)), packs, classes


def devices(jobs: int | None) -> list[str]:
    """Return one entry for each process at a time: the CUDA devices there are, or "cpu" for each core.

    ``jobs`` limits the cores, or lets several processes share the CUDA devices in turn.
    """
    import torch

    if torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = [name for name in visible.split(",") if name] or [str(i) for i in range(torch.cuda.device_count())]
        return [names[i % len(names)] for i in range(jobs or len(names))]
    return ["cpu"] * (jobs or cores())


def plan_table(plan: Plan, cells: Sequence[Cell], work: Work, processes: int, out: Path) -> Table:
    """Return what is to be done and how long it may take."""
    rows = []
    for entry in (*plan.methods, *plan.ablations):
        own = [cell for cell in cells if cell.entry.key == entry.key]
        done = sum(cell_done(cell, out) for cell in own)
        rows.append((entry.name, own[0].settings.method, str(len(own)), str(done)))
    rows.append(("source stages", "shared", str(work.stages), str(work.stages_done)))
    note = (
        f"{len(plan.sources)} sources x {len(plan.targets)} targets x {len(plan.trunks)} trunks x {len(plan.seeds)} "
        f"seeds; about {duration(work.seconds / processes)} of training left with {processes} processes, by a few "
        "measured steps."
    )
    return Table(plan.title, ("row", "method", "cells", "done"), tuple(rows), note)


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(40), duration(4000), duration(100_000)
    ('1 min', '1 h 07 min', '27 h 47 min')
    """
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
