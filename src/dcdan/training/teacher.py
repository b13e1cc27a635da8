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

    Counted once per optimiser step. Integer buffers are copied.
    """
    keep = min(momentum, (1 + step) / (10 + step)) if momentum else 0.0
    ours = {**dict(teacher.named_parameters()), **dict(teacher.named_buffers())}
    theirs = {**dict(student.named_parameters()), **dict(student.named_buffers())}
    floating = [name for name, value in ours.items() if value.is_floating_point()]
    torch._foreach_lerp_([ours[n] for n in floating], [theirs[n].detach() for n in floating], 1 - keep)
    for name in ours.keys() - set(floating):
        ours[name].copy_(theirs[name])
