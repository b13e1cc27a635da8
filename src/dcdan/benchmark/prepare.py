"""Preparation of a benchmark: its packs, the plan as a table, and an estimate of the time from a few measured steps."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import torch

from dcdan.benchmark.cell import cell_done, stage_done
from dcdan.benchmark.plan import Cell, Plan, PlanDomain, available_plan, cells_of, merged
from dcdan.benchmark.revision import PlanContext, code_revision
from dcdan.core.errors import DataError, DcdanError, OutputError, UsageError, nearest
from dcdan.core.signals import Interrupted
from dcdan.jobs.workers import cores
from dcdan.methods.base import find_method
from dcdan.models.network import Network, NetworkSettings
from dcdan.packs.build import cached_pack, pack_for
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
        blank: number of cells whose data are not there; the other numbers leave them out.
        blank_seconds: estimated training time of those, from the published numbers of faces; 0 where none are known.
    """

    stages: int
    stages_done: int
    cells: int
    cells_done: int
    seconds: float
    """Of one process at a time, for what is left; scoring and start-up are not in it."""
    blank: int = 0
    blank_seconds: float = 0.0


def remaining_work(
    cells: Sequence[Cell], packs: dict[str, Pack], out: Path, blank: Sequence[Cell] = ()
) -> RemainingWork:
    """Estimate the remaining training time of a plan.

    Args:
        cells: the cells.
        packs: packs by ``source SPEC`` (with labels) and ``target SPEC`` (without).
        out: folder of the benchmark.
        blank: the cells whose data are not there.
    """
    stages = {cell.stage.folder: cell.stage for cell in cells}
    costs: dict[tuple[NetworkSettings, object, type[Network], int, str], float] = {}
    faces: dict[tuple[str, str], tuple[int, int]] = {}

    def counts(source: PlanDomain, target: PlanDomain) -> tuple[int, int]:
        key = source.data, target.data
        if key not in faces:
            own, other = packs.get(f"source {source.data}"), packs.get(f"target {target.data}")
            here, there = source.faces, target.faces if other is None else len(target_of(other).train)
            if own is not None:
                try:
                    here = len(source_of(own, () if other is None else other.classes, False).train)
                except DcdanError:
                    here = 0  # the cell will say why it cannot be trained
            faces[key] = here, there
        return faces[key]

    def cost(settings: RunSettings) -> float:
        # Most methods train the same network.
        kind = find_method(settings.method)
        build = getattr(kind.build_network, "__func__", settings.method)
        key = settings.network, build, kind.network_class, settings.size, settings.device
        if key not in costs:
            costs[key] = seconds_per_face(settings)
        return costs[key]

    def training(of: Sequence[Cell], known: Mapping[str, object]) -> float:
        seconds = 0.0
        for stage in {cell.stage.folder: cell.stage for cell in of if cell.stage.folder not in known}.values():
            if not stage_done(stage, out):
                sources, _ = counts(stage.source, stage.target)
                seconds += stage.settings.source.epochs * sources * cost(stage.settings)
        for cell in of:
            method = find_method(cell.settings.method)
            if method.sees_target and not cell_done(cell, out):
                longest = max(counts(cell.source, cell.target))
                share = 2 + (_TEACHER if method.uses_teacher else 0)
                seconds += cell.settings.adaptation.epochs * longest * share * cost(cell.settings)
        return seconds

    done = sum(cell_done(cell, out) for cell in cells)
    finished = sum(stage_done(stage, out) for stage in stages.values())
    seconds = training(cells, {}), training(blank, stages)
    return RemainingWork(len(stages), finished, len(cells), done, seconds[0], len(blank), seconds[1])


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


def prepared_cells(plan: Plan, progress: bool, build: bool = True) -> tuple[list[Cell], dict[str, Pack], PlanContext]:
    """Build or open every pack that a plan names.

    Data that are not there, or cannot be read, cost their own cells only: the context says which and why.

    Args:
        plan: the plan.
        progress: whether to show a bar while a pack is built (on a terminal only).
        build: whether to build packs that are not in the cache. Without, their layout is checked, and the context has
            no checksum of them.

    Returns:
        The cells whose data are there; the packs, under "source SPEC" and "target SPEC", targets opened without labels;
        and the context that the cells were made with.

    Raises:
        UsageError: the runs of the plan differ in face size or alignment, and so would not see the same faces.
        OutputError: a pack cannot be written.
    """
    shapes = {(cell.settings.size, cell.settings.align) for cell in cells_of(plan)}
    if len(shapes) > 1:
        raise UsageError("The rows of the plan differ in size or align: a table compares runs on the same faces.")
    size, align = next(iter(shapes))
    packs: dict[str, Pack] = {}
    classes: dict[str, tuple[str, ...]] = {}
    scored: dict[str, Pack] = {}
    missing: dict[str, str] = {}

    def opened(domain: PlanDomain, spec: str, labelled: bool) -> Pack | None:
        if spec in missing:
            return None
        if domain.unset:
            names = " and ".join(f"${name}" for name in domain.unset)
            missing[spec] = f"{names} {'is' if len(domain.unset) == 1 else 'are'} not set, here or in --roots"
            return None
        try:
            if not build:
                return cached_pack(spec, size, align, labelled=labelled)
            return pack_for(spec, size, align, labelled=labelled, progress=progress)
        except (OutputError, Interrupted):
            raise
        except DcdanError as error:
            missing[spec] = str(error)
            return None

    for source in plan.sources:
        if (pack := opened(source, source.data, True)) is not None:
            packs[f"source {source.data}"] = pack
            classes[source.data] = pack.classes
    for domain in (*plan.targets, *plan.also):
        if (pack := opened(domain, domain.data, False)) is not None:
            packs[f"target {domain.data}"] = pack
            classes.setdefault(domain.data, pack.classes)
        if (pack := opened(domain, domain.scored, False)) is not None:
            scored[domain.scored] = pack
    every = {name.partition(" ")[2]: pack for name, pack in packs.items()} | scored
    checksums = {spec: pack.info.sha256.get(FACES, "") for spec, pack in every.items()}
    context = PlanContext(classes, checksums, code_revision(), missing)
    here = available_plan(plan, missing)
    return ([] if here is None else list(cells_of(here, context))), packs, context


def missing_data(plan: Plan, context: PlanContext) -> dict[str, str]:
    """Return what data of a plan are not there.

    Args:
        plan: the plan.
        context: what :func:`prepared_cells` found.

    Returns:
        Name of the data set in the plan -> the reason.
    """
    return {
        domain.name: context.missing[spec]
        for domain in (*plan.sources, *plan.targets, *plan.also)
        for spec in (domain.scored, domain.data)
        if spec in context.missing
    }


def blank_cells(plan: Plan, cells: Sequence[Cell], context: PlanContext) -> list[Cell]:
    """Return the cells of a plan that cannot run, because their data are not there.

    Args:
        plan: the plan.
        cells: the cells that can.
        context: what :func:`prepared_cells` found.
    """
    if not context.missing:
        return []
    runnable = {cell.folder for cell in cells}
    return [cell for cell in cells_of(plan, context) if cell.folder not in runnable]


def chosen_cells(cells: Sequence[Cell], blank: Sequence[Cell], names: Sequence[str]) -> tuple[list[Cell], list[Cell]]:
    """Return the cells whose folder fits one of some names.

    Args:
        cells: the cells that can run.
        blank: the cells whose data are not there.
        names: names of folders, with ``*``, ``?`` and ``[...]`` as in a shell; none chooses all.

    Returns:
        Those among ``cells`` and among ``blank``.

    Raises:
        UsageError: a name fits no cell.
    """
    if not names:
        return list(cells), list(blank)
    every = [cell.folder for cell in (*cells, *blank)]
    for name in names:
        if not any(fnmatchcase(folder, name) for folder in every):
            raise UsageError(f"No cell of the plan is named '{name}'.{nearest(name, every)} commands.txt lists them.")

    def fits(cell: Cell) -> bool:
        return any(fnmatchcase(cell.folder, name) for name in names)

    return list(filter(fits, cells)), list(filter(fits, blank))


def check_some(plan: Plan, cells: Sequence[Cell], context: PlanContext) -> None:
    """Check that some cell of a plan can run.

    Args:
        plan: the plan.
        cells: the cells that can.
        context: what :func:`prepared_cells` found.

    Raises:
        DataError: when none can.
    """
    if not cells:
        name, why = next(iter(missing_data(plan, context).items()))
        raise DataError(f"No pair of data sets of the plan is there; {name}: {why.rstrip('.')}.")


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
        method = str(merged(plan.settings, entry.settings).get("method", "dcdan"))
        rows.append((entry.name, method, str(len(own)), str(done)))
    rows.append(("source stages", "shared", str(work.stages), str(work.stages_done)))
    pairs = {(cell.source.name, cell.target.name) for cell in cells}
    note = (
        f"{len(plan.sources)} sources, {len(pairs)} pairs x {len(plan.trunks)} trunks x {len(plan.seeds)} seeds; about "
        f"{duration(work.seconds / processes)} of training left with {processes} processes, by a few measured steps."
    )
    if work.blank:
        hours = f", which would take about {duration(work.blank_seconds / processes)}" if work.blank_seconds else ""
        note += f" The data of {work.blank} more cells are not there{hours}."
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
