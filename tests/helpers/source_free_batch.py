"""A tiny network, random faces and made-up batches for tests of source-free methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcdan.methods.source_free.base import Context, SourceFreeMethod, TargetBatch, View, find_source_free
from dcdan.models.heads import Logits
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings

SIZE = 32
WIDTH = 32
CLASSES = ("surprise", "fear", "happiness", "neutral")


def tiny_network(seed: int = 0, batch_norm: str = "shared") -> Network:
    """Return a network with random weights and statistics that are not the initial ones."""
    torch.manual_seed(seed)
    settings = NetworkSettings(trunk="test_byobnet", width=WIDTH, groups=4, batch_norm=batch_norm)  # type: ignore[arg-type]
    network = Network(settings, len(CLASSES), SIZE)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    network.eval()
    faces = torch.from_numpy(random_faces()).permute(0, 3, 1, 2) / 255
    with torch.no_grad():  # so that answers differ between faces
        for head in network.heads():
            head.weight.mul_(20)
        for head, logits in zip(network.heads(), network(faces).logits, strict=True):
            head.bias.sub_(logits.mean(0))
    return network


def random_faces(count: int = 20, seed: int = 0) -> NDArray[np.uint8]:
    """Return ``(N, 32, 32, 3)`` faces of noise on colours that differ."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (count, 1, 1, 3))
    return (colours * 0.7 + rng.integers(0, 76, (count, SIZE, SIZE, 3))).astype(np.uint8)


def made(
    name: str, network: Network, faces: int = 20, neutral: Sequence[int] = (), **options: object
) -> SourceFreeMethod:
    """Return a method for a tiny network."""
    method = find_source_free(name)
    return method(method.Settings.model_validate(options), network, Context(CLASSES, faces, tuple(neutral)))


def outputs_of(logits: Tensor, features: Tensor | None = None) -> NetworkOutputs:
    """Return outputs with these logits of every head, and features that add up to those given."""
    whole = torch.zeros(len(logits), WIDTH) if features is None else features
    even = torch.full((len(logits), 5), 0.2)
    return NetworkOutputs(0.25 * whole, 0.75 * whole, Logits(logits, logits, logits), even)


def batch_of(
    outputs: Mapping[View, NetworkOutputs], rows: Sequence[int] | None = None, progress: float = 0.0
) -> TargetBatch:
    """Return a batch with outputs and without faces."""
    count = len(next(iter(outputs.values())).of_global)
    chosen = torch.arange(count) if rows is None else torch.tensor(rows)
    return TargetBatch(chosen, {}, outputs, progress, 0, torch.Generator().manual_seed(0))
