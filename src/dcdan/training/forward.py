"""A network over many faces without gradient: predictions of a domain, and its batch-norm statistics estimated anew."""

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
from dcdan.training.data import in_colour, to_float

CHUNK = 128


class Features(NamedTuple):
    """What a network says of N faces."""

    logits: Logits
    of_global: Tensor
    of_local: Tensor


@torch.no_grad()
def look(
    network: Network,
    faces: np.ndarray,
    rows: np.ndarray,
    device: torch.device,
    source: bool,
    bf16: bool,
    mirror: bool = False,
) -> Features:
    """Return logits ``(N, K)`` and features ``(N, width)`` of the rows, normalised as source or target faces.

    With ``mirror`` the logits are those of each face and its mirror image together, see :func:`both_ways`.
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


def chosen(features: Features, thresholds: Tensor) -> Tensor:
    """Return the chosen probabilities ``(N, K)``."""
    return select(features.logits, thresholds.cpu()).probabilities


@torch.no_grad()
def estimate_statistics(
    network: Network, faces: np.ndarray, rows: np.ndarray, device: torch.device, weights: np.ndarray | None = None
) -> None:
    """Replace the statistics by which target faces are normalised by their mean over ``rows``, in one pass (AdaBN).

    The mean is that of batch statistics, weighted by faces. The rows are mixed, since packs may be sorted by class and
    the variance between classes belongs to a batch's; the last few may fill no batch worth counting. With ``weights``
    ``(len(rows),)`` as many rows are drawn by them.
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
