"""One training step: the views of a batch, the passes of student and teacher, and the losses of the method.

The teacher is an exponential moving average of the student (mean teacher; Tarvainen and Valpola, NeurIPS 2017).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dcdan.methods.base import Batch, Method
from dcdan.models.domain_norm import norms, sources_first
from dcdan.models.heads import Logits
from dcdan.models.network import Network, NetworkOutputs
from dcdan.models.synchronised import synchronised
from dcdan.training.augment import source_view, strong_view, weak_view
from dcdan.training.data import in_colour, to_float
from dcdan.training.distributed import Processes
from dcdan.training.settings import RunSettings

Module = TypeVar("Module", bound=nn.Module)


def make_teacher(student: Module) -> Module:
    """Return a copy of the student in evaluation mode, without gradients.

    Args:
        student: the module to copy.

    Returns:
        A deep copy; none of its parameters requires a gradient.
    """
    teacher = copy.deepcopy(student)
    teacher.requires_grad_(False)
    return teacher.eval()


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float, step: int) -> None:
    """Update the teacher in place: ``teacher = keep * teacher + (1 - keep) * student``.

    ``keep`` is ``min(momentum, (1 + step) / (10 + step))``, so that the teacher does not lag in a short run. Integer
    buffers are copied.

    Args:
        teacher: a copy of the student, so that both list their tensors in the same order.
        student: the trained module.
        momentum: momentum in [0, 1); 0 copies the student.
        step: optimiser steps done, from 0.
    """
    keep = min(momentum, (1 + step) / (10 + step)) if momentum else 0.0
    ours = [*teacher.parameters(), *teacher.buffers()]
    theirs = [*student.parameters(), *student.buffers()]
    pairs = [*zip(ours, theirs, strict=True)]
    floating = [pair for pair in pairs if pair[0].is_floating_point()]
    torch._foreach_lerp_([own for own, _ in floating], [other.detach() for _, other in floating], 1 - keep)
    for own, other in pairs:
        if not own.is_floating_point():
            own.copy_(other)


Stage = Literal["source", "adaptation"]


@dataclass
class Learner:
    """The network, its method and teacher, and the device on which they are trained."""

    settings: RunSettings
    network: Network
    method: Method
    teacher: Network | None
    device: torch.device
    bf16: bool
    group: Processes = field(default=Processes(), kw_only=True)
    source_sets: Tensor | None = field(default=None, kw_only=True)
    """``(N,)`` int64, number of the data set of each source face; None with a single source."""

    def losses(
        self,
        stage: Stage,
        step: int,
        progress: float,
        labels: Tensor,
        read: list[np.ndarray],
        rows: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of one step; the seed, the stage and the step determine every random number.

        Every process receives the whole batch and passes only its shard through the network.

        Args:
            stage: ``source`` or ``adaptation``.
            step: the step within the stage.
            progress: fraction of the stage that is done, in [0, 1].
            labels: ``(B, K) float32`` soft labels of the source faces.
            read: uint8 faces ``(B, S, S[, 3])`` of the source and, during adaptation, of the target.
            rows: ``(B,) int64`` rows of the source faces in their pack.

        Returns:
            Each loss by its name, weighted; the training minimises their sum.
        """
        seed = int(np.random.SeedSequence([self.settings.seed, stage == "source", step]).generate_state(1)[0])
        torch.manual_seed(seed)
        generator = torch.Generator(self.device).manual_seed(seed)
        augment, group = self.settings.augment, self.group
        labels = labels.to(self.device)
        share = augment.source_strong if stage == "adaptation" else augment.source_stage_strong
        whole = in_colour(source_view(to_float(read[0], self.device), augment, generator, share))
        views = [group.shard(whole)]
        teacher = strong = None
        if stage == "adaptation":
            target = to_float(read[1], self.device)
            strong = in_colour(strong_view(target, augment, generator))
            views.append(group.shard(strong))
            if self.method.uses_teacher:
                teacher = self.teacher_logits(in_colour(weak_view(target, augment, generator, light=False)))
        elif self.method.owns_source_stage and self.method.uses_teacher:
            teacher = self.teacher_logits(whole, source=True)
        faces = torch.cat(views).contiguous(memory_format=torch.channels_last)
        if not self.network.training:
            self.network.train()
        sets = None
        if rows is not None and self.source_sets is not None:
            sets = self.source_sets[rows]
        n = len(views[0])
        with (
            sources_first(self.network, n if stage == "adaptation" else -1),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16),
        ):
            with synchronised(group.several):
                outputs = self.network(faces)
            if stage == "source":
                seen = all_gather_outputs(group, outputs)
                return self.method.source_losses(Batch(labels, seen, None, teacher, whole, rows, sets=sets), progress)
            source, target_outputs = (all_gather_outputs(group, part) for part in outputs.split(n))
            batch = Batch(labels, source, target_outputs, teacher, whole, rows, strong, sets)
            return self.method.losses(batch, progress)

    @torch.no_grad()
    def teacher_logits(self, weak: Tensor, source: bool = False) -> Logits:
        """Return the teacher's logits on weak views of one domain, or the student's where there is no moving average.

        With domain-specific batch norm, a moving average normalises target faces by the statistics of this batch. Its
        running statistics come mostly from the student's strong views and, at first, from the source.

        Args:
            weak: ``(B, 3, S, S) float32`` faces in [0, 1].
            source: whether they are source faces.

        Returns:
            Logits ``(B, K) float32`` of the fused, global and local heads.
        """
        teacher = self.teacher or self.network
        if teacher.training:
            teacher.eval()
        by_batch = [] if self.teacher is None or source else list(norms(teacher))
        for layer in by_batch:
            layer.train()
        with (
            sources_first(teacher, -1 if source else 0),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16),
            synchronised(self.group.several),
        ):
            logits = teacher(self.group.shard(weak).contiguous(memory_format=torch.channels_last)).logits
        for layer in by_batch:
            layer.eval()
        return Logits(*self.group.all_gather([head.float() for head in logits]))


def all_gather_outputs(group: Processes, outputs: NetworkOutputs) -> NetworkOutputs:
    """Return the network's outputs on the whole batch, gathered from all processes.

    Args:
        group: the processes of the training.
        outputs: outputs on this process's shard, ``(B / size, ...)``.

    Returns:
        Outputs ``(B, ...)``; gradients flow back to the shard of this process.
    """
    if not group.several:
        return outputs
    regions = () if outputs.regions is None else (outputs.regions,)
    first = [outputs.of_global, outputs.of_local, *outputs.logits, outputs.region_weights]
    every = group.all_gather([*first, *regions, *outputs.auxiliary.values()])
    of_global, of_local, fused, logits_g, logits_l, weights = every[:6]
    merged = every[6] if regions else None
    auxiliary = dict(zip(outputs.auxiliary, every[6 + len(regions) :], strict=True))
    return NetworkOutputs(
        of_global, of_local, Logits(fused, logits_g, logits_l), weights, merged, outputs.heads, auxiliary
    )
