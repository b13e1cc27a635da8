"""The optimiser of a stage and the schedule of its learning rate.

Learning rates as pure functions of the share of a stage that is done.

The optimiser of a stage: the trunk at one rate, what is built on it at another, and only matrices decay.
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
    """Return the factor in [0, 1] on the highest learning rate at ``progress`` in [0, 1].

    ``one-cycle`` (Smith, 2018): cosine rise from a tenth over the first quarter, cosine fall to 0. ``cosine``: the fall
    alone, after a short rise over the first fiftieth. Of several ``cycles`` of equal length each has half the height of
    the one before (``triangular2``; Smith, 2017).
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
        plan: settings of the stage.
        network: trained at the stage's rate, what is built on the trunk at ``head_ratio`` times that.
        extra: parameters of the method, trained at the rate of the heads.
        discriminators: those among ``extra`` that are trained at ``discriminator_ratio`` times that rate.

    Returns:
        The optimiser, whose groups have a ``ratio``, by which the schedule's rate is multiplied.
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
    """Give every parameter of SGD a momentum, 0 where it has none, laid out in memory as the parameter is.

    The fused kernel pairs elements by their place in storage and wants all momenta or none: one loaded from a file
    beside ``channels_last`` weights, or one that is missing since its parameter had no gradient yet, would go wrong.
    """
    if not isinstance(optimiser, torch.optim.SGD):
        return
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            found: Tensor | None = optimiser.state[parameter].get("momentum_buffer")
            momentum = torch.zeros_like(parameter)
            optimiser.state[parameter]["momentum_buffer"] = momentum if found is None else momentum.copy_(found)
