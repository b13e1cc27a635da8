"""How long a plan will take: a few measured steps of each network, times the steps that are left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dcdan.data.pack import Pack
from dcdan.evaluation.benchmark.cell import cell_done, stage_done
from dcdan.evaluation.benchmark.plan import Cell
from dcdan.methods.base import find_method
from dcdan.models.network import NetworkSettings
from dcdan.training.domains import source_of, target_of
from dcdan.training.precision import pick_device
from dcdan.training.settings import RunSettings

_MEASURED_FACES = 16
_TEACHER = 0.4
"""A forward pass over a third set of views, against forward and backward over the others."""


class Work(NamedTuple):
    """What a plan has done and what is left."""

    stages: int
    stages_done: int
    cells: int
    cells_done: int
    seconds: float
    """Of one process at a time, for what is left; scoring and start-up are not in it."""


def left_to_do(cells: Sequence[Cell], packs: dict[str, Pack], out: Path) -> Work:
    """Estimate the work of what is not done; ``packs`` by spec, sources with labels and targets without."""
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
            costs[key] = seconds_a_face(settings)
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
    return Work(len(stages), sum(stage_done(s, out) for s in stages.values()), len(cells), done, seconds)


def seconds_a_face(settings: RunSettings) -> float:
    """Return the measured time of forward and backward pass for one face, the least of three small steps."""
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
