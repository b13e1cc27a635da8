"""Answers averaged over a face and its mirror image: a little better and better calibrated, for twice the time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dcdan.models.network import Outputs
from dcdan.models.semantic import Logits


def both_ways(network: Callable[[Tensor], Outputs], faces: Tensor) -> Outputs:
    """Look at faces ``(B, C, S, S)``, as the network takes them, and at their mirror images.

    The logits are logarithms of the mean probabilities of each head; all else is that of the faces as they are.
    """
    out = network(torch.cat([faces, faces.flip(3)]))
    tiny = torch.finfo(out.of_global.dtype).tiny
    logits = Logits(*(_pairs(head.softmax(1)).mean(0).clamp_min(tiny).log() for head in out.logits))
    regions = None if out.regions is None else _pairs(out.regions)[0]
    of_global, of_local, weights = (_pairs(part)[0] for part in (out.of_global, out.of_local, out.region_weights))
    return out._replace(
        of_global=of_global, of_local=of_local, logits=logits, region_weights=weights, regions=regions, asides={}
    )


def _pairs(rows: Tensor) -> Tensor:
    return rows.reshape(2, -1, *rows.shape[1:])
