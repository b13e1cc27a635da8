"""What the network costs: parameters, multiply-adds, activation memory and time, by part.

Multiply-adds are counted by PyTorch (``torch.utils.flop_counter``) in one pass of one face: convolutions, matrix
products and attention. Elementwise operations, such as activations and norms, are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import median
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dcdan.models.attention import Condensation
from dcdan.models.network import Network, NetworkSettings

PARTS = ("trunk", "squeeze", "attention", "local", "semantic")
"""Modules of :class:`Network` that compute: trunk, 1x1 convolution, dual attention, local branch, heads."""


class Complexity(BaseModel):
    """Cost of one network.

    Example:
        >>> network = Network(NetworkSettings(trunk="mobilenetv2_050", width=32, groups=2), 7, 32)
        >>> cost = complexity(network, 32)
        >>> cost.multiply_adds == sum(cost.by_part.values())
        True
    """

    model_config = ConfigDict(frozen=True)

    trunk: str
    """timm name of the trunk."""
    size: int
    """Side of the faces in pixels."""
    condensation: int
    """Condensation ratio of the attention."""
    parameters: int
    """Number of parameters."""
    multiply_adds: int
    """Multiply-adds of one face."""
    by_part: dict[str, int]
    """Multiply-adds of each of :data:`PARTS`; they sum to ``multiply_adds``."""
    of_condensation: int
    """Multiply-adds of the condensing convolutions, which are part of ``attention``."""
    activation_bytes: int
    """Bytes of the outputs of all layers for one face in float32: what a training step keeps of each face, roughly."""
    milliseconds: float | None = None
    """Median time of one face in eager PyTorch, float32, one thread; None when not measured."""


def multiply_adds(network: nn.Module, faces: Tensor) -> dict[str, int]:
    """Count the multiply-adds of one pass, by module.

    Args:
        network: the network, in evaluation mode.
        faces: its input.

    Returns:
        Qualified name of each module that computes -> multiply-adds; ``""`` is the whole network.

    Example:
        >>> multiply_adds(nn.Sequential(nn.Linear(3, 5)), torch.ones(2, 3))
        {'': 30, '0': 30}
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(faces)
    root = type(network).__name__
    counts = {name: sum(found.values()) // 2 for name, found in counter.get_flop_counts().items()}
    own = {name.removeprefix(root).removeprefix("."): n for name, n in counts.items() if name.startswith(root)}
    return {"": counts.get("Global", 0)} | {name: n for name, n in own.items() if name}


def activation_bytes(network: nn.Module, faces: Tensor) -> int:
    """Sum the sizes of the outputs of all layers without children in one pass.

    Args:
        network: the network, in evaluation mode.
        faces: its input.

    Returns:
        Bytes.

    Example:
        >>> activation_bytes(nn.Sequential(nn.Linear(3, 5), nn.ReLU()), torch.ones(2, 3))
        80
    """
    sizes: list[int] = []

    def add(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * output.element_size())

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(add) for module in leaves]
    try:
        with torch.no_grad():
            network(faces)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(sizes)


def milliseconds(network: nn.Module, faces: Tensor, passes: int = 20) -> float:
    """Measure the median time of a pass on one thread.

    Args:
        network: the network, in evaluation mode.
        faces: its input.
        passes: number of measured passes, after three that are not.

    Returns:
        Milliseconds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spent = []
        with torch.no_grad():
            for number in range(passes + 3):
                began = time.perf_counter()
                network(faces)
                if number >= 3:
                    spent.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return 1000 * median(spent)


def complexity(network: Network, size: int, timed: bool = False) -> Complexity:
    """Measure one network.

    Args:
        network: the network.
        size: side of the faces in pixels.
        timed: whether to measure the time too.

    Returns:
        Its cost.
    """
    was_training = network.training
    network.eval()
    faces = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    counts = multiply_adds(network, faces)
    condensing = [name for name, module in network.named_modules() if isinstance(module, Condensation)]
    by_part = {part: counts.get(part, 0) for part in PARTS}
    cost = Complexity(
        trunk=network.settings.trunk,
        size=size,
        condensation=network.settings.condensation,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_adds=counts[""],
        by_part=by_part,
        of_condensation=sum(counts.get(name, 0) for name in condensing),
        activation_bytes=activation_bytes(network, faces),
        milliseconds=milliseconds(network, faces) if timed else None,
    )
    network.train(was_training)
    return cost


def complexities(
    trunks: Iterable[str],
    sizes: Iterable[int],
    ratios: Iterable[int] = (1, 2, 4),
    classes: int = 7,
    timed: bool = False,
    **settings: Any,
) -> list[Complexity]:
    """Measure networks of every trunk, size and condensation ratio.

    Args:
        trunks: timm names.
        sizes: sides of the faces in pixels.
        ratios: condensation ratios.
        classes: number of classes.
        timed: whether to measure the time too.
        **settings: other fields of :class:`NetworkSettings`.

    Returns:
        One entry for each combination, ratios varying fastest.
    """
    ratios = tuple(ratios)
    found = []
    for trunk in trunks:
        for size in sizes:
            for ratio in ratios:
                chosen = NetworkSettings.model_validate(
                    {"batch_norm": "shared", **settings, "trunk": trunk, "condensation": ratio}
                )
                found.append(complexity(Network(chosen, classes, size), size, timed))
    return found
