"""The teacher: a moving average of the student's weights and statistics (mean teacher, Tarvainen and Valpola, 2017)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def make_teacher(student: Module) -> Module:
    """Return a copy of the student in evaluation mode, without gradients."""
    teacher = copy.deepcopy(student)
    teacher.requires_grad_(False)
    return teacher.eval()


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float, step: int) -> None:
    """Move the teacher towards the student; early steps move it further, so that it does not lag a short run.

    Counted once per optimiser step. Integer buffers are copied. The teacher is a copy of the student, whose tensors
    come in the same order.
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
