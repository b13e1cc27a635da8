"""The optimiser of a stage: the trunk at one rate, what is built on it at another, and only matrices decay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dcdan.models.network import Network
from dcdan.training.settings import StageSettings


def optimiser_of(plan: StageSettings, network: Network, extra: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimiser over a network and ``extra`` parameters of a method; biases, norms and scalars do not decay.

    Each group has a ``ratio``, by which the schedule's rate is multiplied.
    """
    trunk, heads = network.parameter_groups()
    heads = heads + [parameter for parameter in extra if parameter.requires_grad]
    groups = [
        {"params": chosen, "weight_decay": decay, "ratio": ratio}
        for parameters, ratio in ((trunk, 1.0), (heads, plan.head_ratio))
        for chosen, decay in (
            ([p for p in parameters if p.ndim > 1], plan.weight_decay),
            ([p for p in parameters if p.ndim <= 1], 0.0),
        )
        if chosen
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
