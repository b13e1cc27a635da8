"""The optimiser of a stage and the schedule of its learning rate.

The trunk has one learning rate and the modules built on it another; only matrices decay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dcdan.models.network import Network
from dcdan.training.settings import StageSettings

RISE = 0.25
START = 0.1


def learning_rate(schedule: str, progress: float, cycles: int = 1) -> float:
    """Return the factor on the peak learning rate at a point of the schedule.

    ``one-cycle`` (Smith, 2018) rises from 0.1 over the first quarter and falls to 0, both by a cosine. ``cosine`` rises
    over the first fiftieth only. Each of several cycles peaks at half the height of the one before (``triangular2``;
    Smith, WACV 2017).

    Args:
        schedule: ``one-cycle`` or ``cosine``.
        progress: fraction of the stage that is done, in [0, 1].
        cycles: cycles of equal length.

    Returns:
        A factor in [0, 1].

    Example:
        >>> [round(learning_rate("one-cycle", p), 3) for p in (0.0, 0.25, 1.0)]
        [0.1, 1.0, 0.0]
    """
    if cycles > 1:
        cycle = min(int(progress * cycles), cycles - 1)
        return learning_rate(schedule, progress * cycles - cycle) * 0.5**cycle
    rise = RISE if schedule == "one-cycle" else 0.02
    if progress < rise:
        return START + (1 - START) * (1 - math.cos(math.pi * progress / rise)) / 2
    return (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


def optimiser_of(
    plan: StageSettings,
    network: Network,
    extra: Sequence[nn.Parameter],
    discriminators: Sequence[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Return the optimiser of a stage; biases, norms and scalars do not decay.

    Args:
        plan: the settings of the stage.
        network: the network; its trunk has the rate of the stage, its branches and heads ``head_ratio`` times that.
        extra: parameters of the method, trained at the rate of the heads.
        discriminators: those among ``extra`` that are trained at ``discriminator_ratio`` times the rate of the heads.

    Returns:
        The optimiser; each parameter group has a ``ratio``, the factor on the scheduled rate.
    """
    trunk, heads = network.parameter_groups()
    known = {id(parameter) for parameter in discriminators}
    heads = heads + [parameter for parameter in extra if parameter.requires_grad and id(parameter) not in known]
    built = (heads, plan.head_ratio), (list(discriminators), plan.head_ratio * plan.discriminator_ratio)
    groups = [
        {"params": chosen, "weight_decay": decay, "ratio": ratio}
        for parts in (((trunk, 1.0),), built)
        for matrices, decay in ((True, plan.weight_decay), (False, 0.0))
        for parameters, ratio in parts
        if (chosen := [parameter for parameter in parameters if (parameter.ndim > 1) == matrices])
    ]
    if plan.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=plan.lr)
    optimiser = torch.optim.SGD(groups, lr=plan.lr, momentum=0.9, nesterov=True, fused=True)
    fill_momentum(optimiser)
    return optimiser


def fill_momentum(optimiser: torch.optim.Optimizer) -> None:
    """Give every parameter of an SGD optimiser a momentum buffer with the memory layout of the parameter.

    The fused kernel pairs elements by their place in storage and needs all buffers or none. A buffer loaded from a file
    beside ``channels_last`` weights, or one missing because its parameter had no gradient yet, would give wrong
    updates.

    Args:
        optimiser: the optimiser, changed in place; others than SGD are left alone.
    """
    if not isinstance(optimiser, torch.optim.SGD):
        return
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            found: Tensor | None = optimiser.state[parameter].get("momentum_buffer")
            momentum = torch.zeros_like(parameter)
            optimiser.state[parameter]["momentum_buffer"] = momentum if found is None else momentum.copy_(found)
