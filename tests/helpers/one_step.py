"""Run by torchrun or alone: the gradients and buffers of one step of every method, into the file that is named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from dcdan.methods.base import methods
from dcdan.training.augment import AugmentSettings
from dcdan.training.data import Source, Target
from dcdan.training.distributed import Processes, processes
from dcdan.training.loop import Trainer
from dcdan.training.metrics_log import MetricsLog
from dcdan.training.settings import RunSettings
from dcdan.training.step import make_teacher
from tiny_training import SIZE, tiny

CLASSES = ("fear", "happiness", "neutral")
BATCH = 8


def trainer(settings: RunSettings, group: Processes) -> Trainer:
    """Return a trainer on a few faces of noise; without dropout, whose draws depend on how the batch is divided."""
    rng = np.random.default_rng(0)
    rows, hard = np.arange(BATCH), np.arange(BATCH) % 3
    source, target = (rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8) for _ in range(2))
    torch.manual_seed(0)
    network = settings.build(3)
    of_source = Source(source, CLASSES, rows, rows, hard, torch.eye(3)[torch.from_numpy(hard)], 0)
    made = Trainer(
        settings,
        network,
        methods()[settings.method](settings.method_settings(), settings.network.width, of_source.counts),
        None,
        torch.device("cpu"),
        False,
        of_source,
        Target(target, rows),
        Path(),
        MetricsLog(None, True),
        group=group,
    )
    made.method.prepare(network, BATCH)
    for part in [*network.modules(), *made.method.modules()]:
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    if made.method.uses_teacher:
        made.teacher = make_teacher(network)
    return made


def step(method: str, norm: str, group: Processes) -> dict[str, torch.Tensor]:
    """Return losses, averaged gradients, and buffers of one step of a method."""
    settings = tiny(f"network.batch_norm={norm}", method=method).model_copy(update={"augment": AugmentSettings()})
    made = trainer(settings, group)
    stage = "adaptation" if made.method.sees_target else "source"
    rows = torch.arange(BATCH)
    losses = made.losses(stage, 0, 0.5, made.source.labels, [made.source.faces, made.target.faces], rows)  # type: ignore[arg-type]
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    parts: list[tuple[str, torch.nn.Module]] = [("network", made.network), ("method", made.method)]
    named = {f"{part}.{name}": value for part, module in parts for name, value in module.named_parameters()}
    group.average(named.values(), stop=False)
    found = {f"gradient.{name}": value.grad for name, value in named.items() if value.grad is not None}
    parts += [("teacher", made.teacher)] if made.teacher is not None else []
    found |= {f"buffer.{part}.{name}": value for part, module in parts for name, value in module.named_buffers()}
    found |= {f"loss.{name}": value.detach() for name, value in losses.items()}
    return {f"{method}.{norm}.{name}": value.detach().double().contiguous() for name, value in found.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with processes() as group:
        every: dict[str, torch.Tensor] = {}
        for name in methods():
            every |= step(name, "per-domain", group)
            if name in ("source_only", "dcdan"):
                every |= step(name, "shared", group)
        if group.is_main_process:
            save_file({name: value.clone() for name, value in every.items()}, sys.argv[1])
