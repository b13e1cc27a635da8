"""The choice between global and local predictions, per face, and averages over a face and its mirror image.

The choice of the best of global and local predictions, per face, vectorised and exportable.

P: "unified global-local prediction selection". R (AGLRLS): the fused head if its confidence reaches the threshold of
its class; else the global head if that one's does; else the arg-max of the sum of the three, each masked below its
threshold. O: a head is masked as a whole, since summing the few entries that pass, as AGLRLS does, would report a
probability of 1 for the least certain faces of all.

O: the temperature of the calibration comes after the choice. The thresholds were learned on probabilities as they
are, so a temperature must not change which head decides, nor what it decides: it only changes how sure that is.

Answers averaged over a face and its mirror image: a little better and better calibrated, for twice the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dcdan.core.outputs import DECIDERS
from dcdan.models.heads import Logits
from dcdan.models.network import NetworkOutputs

__all__ = ["DECIDERS", "Choice", "both_ways", "select", "tempered"]


class Choice(NamedTuple):
    """What was chosen for each of B faces."""

    probabilities: Tensor
    """``(B, K)``, rows sum to 1."""
    expression: Tensor
    """``(B,)`` int64, the index of the class."""
    confidence: Tensor
    """``(B,)``, the probability of that class."""
    decided_by: Tensor
    """``(B,)`` int64, an index into :data:`DECIDERS`."""


def select(logits: Logits, thresholds: Tensor, temperature: float = 1.0) -> Choice:
    """Choose between the heads of :class:`Logits` ``(B, K)`` with the classes' thresholds ``(K,)``.

    In the third case a head none of whose classes reaches its threshold is left out of the sum; where that leaves no
    head, the three count alike, so that every face gets an answer. The chosen probabilities are then tempered, see
    :func:`tempered`.
    """
    heads = torch.cat(logits).softmax(1).reshape(len(logits), -1, len(thresholds))
    likeliest = heads.amax(2)
    passing = (heads * (heads >= thresholds).to(heads.dtype)).amax(2)
    sure = passing >= likeliest
    decided_by = torch.where(sure[0], 0, torch.where(sure[1], 1, 2))
    # What each head has a share of the answer by, ``(3, B)``, spares a graph the branches.
    counted = (passing > 0).to(heads.dtype)
    counted = counted + (1 - counted.amax(0))
    alone = (torch.arange(len(logits), device=heads.device)[:, None] == decided_by).to(heads.dtype)
    shares = torch.where(decided_by == 2, counted, alone)
    probabilities = (shares[:, :, None] * heads).sum(0) / shares.sum(0)[:, None]
    expression = probabilities.argmax(1)
    if temperature != 1:
        probabilities = tempered(probabilities, temperature)
    return Choice(probabilities, expression, probabilities.amax(1), decided_by)


def tempered(probabilities: Tensor, temperature: float) -> Tensor:
    """Return ``(B, K)`` probabilities raised to ``1 / temperature``, rows scaled to sum to 1; their order stays.

    For one head it is the softmax of its logits over the temperature (Guo et al., ICML 2017, Eq. 9).
    """
    tiny = torch.finfo(probabilities.dtype).tiny
    return (probabilities.clamp_min(tiny).log() / temperature).softmax(1)


def both_ways(network: Callable[[Tensor], NetworkOutputs], faces: Tensor) -> NetworkOutputs:
    """Average the probabilities of faces and of their mirror images.

    Args:
        network: faces ``(B, C, S, S)`` -> outputs.
        faces: ``(B, C, S, S)``, as the network takes them.

    Returns:
        Outputs whose logits are the logarithms of the mean probabilities of each head. Features, region weights and
        auxiliary outputs are those of the faces as they are.
    """
    out = network(torch.cat([faces, faces.flip(3)]))
    tiny = torch.finfo(out.of_global.dtype).tiny
    logits = Logits(*(_pairs(head.softmax(1)).mean(0).clamp_min(tiny).log() for head in out.logits))
    regions = None if out.regions is None else _pairs(out.regions)[0]
    auxiliary = {name: _pairs(value)[0] for name, value in out.auxiliary.items()}
    of_global, of_local, weights = (_pairs(part)[0] for part in (out.of_global, out.of_local, out.region_weights))
    return NetworkOutputs(of_global, of_local, logits, weights, regions, out.heads, auxiliary)


def _pairs(rows: Tensor) -> Tensor:
    return rows.reshape(2, -1, *rows.shape[1:])
