"""Passes over many faces without gradients: predictions of a domain, and estimates of its batch-norm statistics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dcdan.models.domain_norm import sources_first
from dcdan.models.heads import Logits
from dcdan.models.network import Network
from dcdan.models.selection import both_ways, select
from dcdan.training.batches import gather
from dcdan.training.data import StackedFaces, in_colour, to_float

CHUNK = 128


class Features(NamedTuple):
    """Outputs of a network on N faces: logits, and features of the global and local branches.

    Attributes:
        logits: ``(N, K) float32`` of each head.
        of_global: ``(N, width) float32``.
        of_local: ``(N, width) float32``.
    """

    logits: Logits
    of_global: Tensor
    of_local: Tensor


@torch.no_grad()
def predict_features(
    network: Network,
    faces: np.ndarray | StackedFaces,
    rows: np.ndarray,
    device: torch.device,
    source: bool,
    bf16: bool,
    mirror: bool = False,
) -> Features:
    """Run a network over rows of a face array, in evaluation mode and without gradients.

    Args:
        network: the network; its training mode is restored.
        faces: ``(N, S, S)`` or ``(N, S, S, 3)`` uint8.
        rows: ``(n,) int64`` rows to use.
        device: the device of the network.
        source: whether to normalise the faces by source statistics; False uses those of the target.
        bf16: whether to compute in bf16.
        mirror: whether to combine the logits of each face and its mirror image, see :func:`both_ways`.

    Returns:
        Logits ``(n, K)`` and features ``(n, width)``, float32 on the CPU.
    """
    before = network.training
    network.eval()
    parts = []
    with sources_first(network, -1 if source else 0), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for start in range(0, len(rows), CHUNK):
            batch = in_colour(to_float(faces[rows[start : start + CHUNK]], device))
            batch = batch.contiguous(memory_format=torch.channels_last)
            out = both_ways(network, batch) if mirror else network(batch)
            parts.append((*out.logits, out.of_global, out.of_local))
    network.train(before)
    fused, of_global, of_local, f_g, f_l = (torch.cat(column).float().cpu() for column in zip(*parts, strict=True))
    return Features(Logits(fused, of_global, of_local), f_g, f_l)


def selected_probabilities(features: Features, thresholds: Tensor) -> Tensor:
    """Return the selected class probabilities.

    Args:
        features: outputs of a network on N faces.
        thresholds: ``(K,) float32`` thresholds of the choice between the heads.

    Returns:
        ``(N, K) float32``; each row sums to 1.
    """
    return select(features.logits, thresholds.cpu()).probabilities


@torch.no_grad()
def estimate_statistics(
    network: Network, faces: np.ndarray, rows: np.ndarray, device: torch.device, weights: np.ndarray | None = None
) -> None:
    """Replace the target's batch-norm statistics by the mean of batch statistics over rows (AdaBN; Li et al., 2018).

    The rows are shuffled, because packs may be sorted by class and the variance between classes belongs in every batch.
    A last batch below half size is left out.

    Args:
        network: the network, changed in place and left in evaluation mode.
        faces: ``(N, S, S)`` or ``(N, S, S, 3)`` uint8.
        rows: ``(n,) int64`` rows to use.
        device: the device of the network.
        weights: ``(n,) float64`` sampling weights that sum to 1; n rows are sampled by them. None uses each row once.
    """
    rng = np.random.default_rng(0)
    drawn = rng.permutation(rows) if weights is None else rng.choice(rows, len(rows), p=weights)
    mixed = np.resize(drawn, max(len(rows), 2))  # one face has no variance
    seen = 0
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    network.train()
    with sources_first(network, 0):
        for start in range(0, max(len(mixed) - CHUNK // 2, 1), CHUNK):
            chunk = mixed[start : start + CHUNK]
            seen += len(chunk)
            for layer in layers:
                layer.momentum = len(chunk) / seen
            batch = in_colour(to_float(gather(faces, chunk), device))
            network(batch.contiguous(memory_format=torch.channels_last))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
