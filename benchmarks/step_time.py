"""What DCD-DAN's adaptation step costs over the bare trunk's forward and backward pass on the same images.

    python benchmarks/step_time.py --trunk mobilenetv2_100 --size 112 [--batch 32] [--rounds 5] [--bf16] [--threads 1]

The bare trunk is timm's, with plain batch norm and no heads. Rows, each adding to the one before:

    network   the network with per-domain batch norm, all losses of DCD-DAN, backward
    update    and clipped gradients, the optimiser's step, the teacher's moving average
    views     and the weak view of source faces and the strong view of target faces, from uint8
    teacher   and the teacher's forward pass on weak views of the target faces: the loop's whole step

with AFC as one compiled kernel (``fuse_activation``), and ``network`` once more with AFC eager. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from machine import machine
from timing import interleaved
from torch import Tensor, nn

from dcdan.methods.base import Batch
from dcdan.methods.dcdan import DCDAN, DCDANSettings
from dcdan.models import afc
from dcdan.models.domain_norm import sources_first
from dcdan.models.network import Network, NetworkSettings
from dcdan.models.trunk import Trunk
from dcdan.training.data import Source, Target
from dcdan.training.device import keep_freed_memory
from dcdan.training.loop import Trainer
from dcdan.training.settings import RunSettings, read_settings
from dcdan.training.step import make_teacher, update_teacher

BAR = 1.25
CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")


class Step:
    """The parts of one adaptation step on random faces, as the loop puts them together."""

    def __init__(self, settings: RunSettings, batch: int, bf16: bool) -> None:
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        size = settings.size
        self.network = Network(settings.network, len(CLASSES), size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trunk = cast(nn.Module, Trunk(settings.network.trunk).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        self.method = DCDAN(DCDANSettings(), settings.network.width, torch.full((len(CLASSES),), 100.0))
        self.pixels = [rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8) for _ in range(2)]
        rows = np.arange(batch)
        self.labels = torch.eye(len(CLASSES))[torch.from_numpy(rows % len(CLASSES))]
        source = Source(self.pixels[0], CLASSES, rows, rows, rows % len(CLASSES), self.labels, 0)
        self.trainer = Trainer(
            settings, self.network, self.method, make_teacher(self.network), torch.device("cpu"), bf16,
            source, Target(self.pixels[1], rows), Path(), cast(Any, None),
        )  # fmt: skip
        self.optimiser = self.trainer.optimiser(settings.adaptation, with_method=True)
        self.faces = torch.rand(2 * batch, 3, size, size).contiguous(memory_format=torch.channels_last)
        self.batch, self.bf16 = batch, bf16
        self.teacher_logits = self.trainer.teacher_logits(self.faces[batch:])
        self.autocast = lambda: torch.autocast("cpu", torch.bfloat16, enabled=bf16)

    def bare(self) -> None:
        """Forward and backward of the trunk alone."""
        self.trunk.train()
        with self.autocast():
            middle, last = self.trunk(self.faces)
        (middle.float().mean() + last.float().mean()).backward()
        self.trunk.zero_grad(set_to_none=True)

    def differentiate(self, losses: dict[str, Tensor]) -> None:
        """Backward from all losses."""
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Clip, step, follow."""
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.trainer.settings.adaptation.clip)
        self.optimiser.step()
        assert self.trainer.teacher is not None
        update_teacher(self.trainer.teacher, self.network, self.trainer.settings.teacher, 1000)

    def losses(self) -> dict[str, Tensor]:
        """The network on ready views, and the losses on its outputs with the teacher's answers given."""
        self.network.train()
        with sources_first(self.network, self.batch), self.autocast():
            source, target = self.network(self.faces).split(self.batch)
            return self.method.losses(Batch(self.labels, source, target, self.teacher_logits), 0.5)

    def with_network(self) -> None:
        """Row ``network``."""
        self.differentiate(self.losses())

    def with_update(self) -> None:
        """Row ``update``."""
        self.differentiate(self.losses())
        self.update()

    def with_views(self) -> None:
        """Row ``views``: the loop's own losses, the teacher's answers given."""
        ask = self.trainer.teacher_logits
        self.trainer.teacher_logits = lambda weak: self.teacher_logits  # type: ignore[method-assign]  # noqa: ARG005
        self.with_teacher()
        self.trainer.teacher_logits = ask  # type: ignore[method-assign]

    def with_teacher(self) -> None:
        """Row ``teacher``: the loop's own step."""
        self.differentiate(self.trainer.losses("adaptation", 1, 0.5, self.labels, self.pixels))
        self.update()


def eagerly(run: Any) -> Any:
    """Return ``run`` with AFC's eager kernels."""

    def eager() -> None:
        fused = copy.copy(afc._chosen)
        afc._chosen = afc.EAGER
        run()
        afc._chosen = fused

    return eager


def measure(trunk: str, size: int, batch: int, rounds: int, bf16: bool, threads: int) -> dict[str, object]:
    """Return seconds and ratios of all rows."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    settings = read_settings(None, [], size=size).model_copy(update={"network": NetworkSettings(trunk=trunk)})
    step = Step(settings, batch, bf16)
    afc.fuse(True)
    rows = {
        "bare": step.bare,
        "network": step.with_network,
        "network_eager_afc": eagerly(step.with_network),
        "update": step.with_update,
        "views": step.with_views,
        "teacher": step.with_teacher,
    }
    times = interleaved(rows, rounds, threads=threads)
    ratios = {name: round(times.ratio(name, "bare"), 3) for name in rows if name != "bare"}
    return {
        "benchmark": "step_time",
        "trunk": trunk,
        "size": size,
        "faces_per_step": 2 * batch,
        "precision": "bf16" if bf16 else "fp32",
        "threads": threads,
        "clock": times.clock,
        "rounds": rounds,
        "milliseconds": {name: round(1000 * times.least(name), 1) for name in rows},
        "ratios": ratios,
        "spread": {name: [round(value, 3) for value in times.spread(name, "bare")] for name in ratios},
        "bar": BAR,
        "within_bar": ratios["update"] <= BAR,
        "machine": machine(),
    }


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32, help="faces of each domain")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
