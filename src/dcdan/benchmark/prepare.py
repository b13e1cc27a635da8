"""Preparation of a benchmark: its packs, the plan as a table, and an estimate of the time from a few measured steps."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dcdan.benchmark.cell import cell_done, stage_done
from dcdan.benchmark.plan import Cell, Plan, cells_of
from dcdan.benchmark.revision import PlanContext, code_revision
from dcdan.core.errors import UsageError
from dcdan.jobs.workers import cores
from dcdan.methods.base import find_method
from dcdan.models.network import NetworkSettings
from dcdan.packs.build import pack_for
from dcdan.packs.format import FACES
from dcdan.packs.pack import Pack
from dcdan.reports.text_table import Table
from dcdan.training.data import source_of, target_of
from dcdan.training.device import pick_device
from dcdan.training.settings import RunSettings

_MEASURED_FACES = 16
_TEACHER = 0.4
"""A forward pass over a third set of views, against forward and backward over the others."""


class RemainingWork(NamedTuple):
    """The progress of a plan.

    Attributes:
        stages: number of source stages.
        stages_done: number of those that are finished.
        cells: number of cells.
        cells_done: number of those that are finished.
        seconds: estimated training time of the rest in one process. Scoring and start-up are not in it.
    """

    stages: int
    stages_done: int
    cells: int
    cells_done: int
    seconds: float
    """Of one process at a time, for what is left; scoring and start-up are not in it."""


def remaining_work(cells: Sequence[Cell], packs: dict[str, Pack], out: Path) -> RemainingWork:
    """Estimate the remaining training time of a plan.

    Args:
        cells: the cells.
        packs: packs by ``source SPEC`` (with labels) and ``target SPEC`` (without).
        out: folder of the benchmark.
    """
    stages = {cell.stage.folder: cell.stage for cell in cells}
    costs: dict[tuple[NetworkSettings, str, int, str], float] = {}
    faces: dict[tuple[str, str], tuple[int, int]] = {}

    def counts(source: str, target: str) -> tuple[int, int]:
        if (source, target) not in faces:
            train = source_of(packs[f"source {source}"], packs[f"target {target}"].classes, False).train
            faces[source, target] = len(train), len(target_of(packs[f"target {target}"]).train)
        return faces[source, target]

    def cost(settings: RunSettings) -> float:
        key = settings.network, settings.method, settings.size, settings.device
        if key not in costs:
            costs[key] = seconds_per_face(settings)
        return costs[key]

    seconds = 0.0
    for stage in stages.values():
        if not stage_done(stage, out):
            sources, _ = counts(stage.source.data, stage.target.data)
            seconds += stage.settings.source.epochs * sources * cost(stage.settings)
    for cell in cells:
        method = find_method(cell.settings.method)
        if method.sees_target and not cell_done(cell, out):
            longest = max(counts(cell.source.data, cell.target.data))
            share = 2 + (_TEACHER if method.uses_teacher else 0)
            seconds += cell.settings.adaptation.epochs * longest * share * cost(cell.settings)
    done = sum(cell_done(cell, out) for cell in cells)
    return RemainingWork(len(stages), sum(stage_done(s, out) for s in stages.values()), len(cells), done, seconds)


def seconds_per_face(settings: RunSettings) -> float:
    """Measure forward and backward pass on the device of the settings.

    Args:
        settings: settings of a run.

    Returns:
        Seconds for one face, the least of three small steps.
    """
    device = pick_device(settings.device)
    network = settings.build(7).to(device)
    faces = torch.rand(_MEASURED_FACES, 3, settings.size, settings.size, device=device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            network(faces).logits.fused.sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return min(times) / _MEASURED_FACES


def prepared_cells(plan: Plan, progress: bool) -> tuple[list[Cell], dict[str, Pack], PlanContext]:
    """Build or open every pack that a plan names.

    Args:
        plan: the plan.
        progress: whether to show a bar while a pack is built (on a terminal only).

    Returns:
        The cells; the packs, under "source SPEC" and "target SPEC", targets opened without labels; and the context
        that the cells were made with.

    Raises:
        UsageError: the runs of the plan differ in face size or alignment, and so would not see the same faces.
    """
    shapes = {(cell.settings.size, cell.settings.align) for cell in cells_of(plan)}
    if len(shapes) > 1:
        raise UsageError("The rows of the plan differ in size or align: a table compares runs on the same faces.")
    size, align = next(iter(shapes))
    packs = {f"source {d.data}": pack_for(d.data, size, align, progress=progress) for d in plan.sources}
    classes = {domain.data: packs[f"source {domain.data}"].classes for domain in plan.sources}
    scored = {}
    for domain in (*plan.targets, *plan.also):
        packs[f"target {domain.data}"] = pack_for(domain.data, size, align, labelled=False, progress=progress)
        classes.setdefault(domain.data, packs[f"target {domain.data}"].classes)
        scored[domain.scored] = pack_for(domain.scored, size, align, labelled=False, progress=progress)
    every = {name.partition(" ")[2]: pack for name, pack in packs.items()} | scored
    checksums = {spec: pack.info.sha256.get(FACES, "") for spec, pack in every.items()}
    context = PlanContext(classes, checksums, code_revision())
    return list(cells_of(plan, context)), packs, context


def devices(jobs: int | None) -> list[str]:
    """Return a device for each process that may run at a time.

    Args:
        jobs: number of processes; None for one for each CUDA device, else one for each core. With more processes than
            CUDA devices, they share them in turn.

    Returns:
        Numbers of CUDA devices, or "cpu".
    """
    import torch

    if torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = [name for name in visible.split(",") if name] or [str(i) for i in range(torch.cuda.device_count())]
        return [names[i % len(names)] for i in range(jobs or len(names))]
    return ["cpu"] * (jobs or cores())


def plan_table(plan: Plan, cells: Sequence[Cell], work: RemainingWork, processes: int, out: Path) -> Table:
    """Return the plan as a table, with the estimated time.

    Args:
        plan: the plan.
        cells: its cells.
        work: the remaining work.
        processes: number of processes at a time.
        out: folder of the benchmark.
    """
    rows = []
    for entry in (*plan.methods, *plan.ablations):
        own = [cell for cell in cells if cell.entry.key == entry.key]
        done = sum(cell_done(cell, out) for cell in own)
        rows.append((entry.name, own[0].settings.method, str(len(own)), str(done)))
    rows.append(("source stages", "shared", str(work.stages), str(work.stages_done)))
    pairs = {(cell.source.name, cell.target.name) for cell in cells}
    note = (
        f"{len(plan.sources)} sources, {len(pairs)} pairs x {len(plan.trunks)} trunks x {len(plan.seeds)} seeds; about "
        f"{duration(work.seconds / processes)} of training left with {processes} processes, by a few measured steps."
    )
    return Table(plan.title, ("row", "method", "cells", "done"), tuple(rows), note)


def duration(seconds: float) -> str:
    """Return a time as text.

    Args:
        seconds: the time.

    Example:
        >>> duration(40), duration(4000), duration(100_000)
        ('1 min', '1 h 07 min', '27 h 47 min')
    """
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
