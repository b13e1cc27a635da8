"""The selection between global and local predictions for each face, and averaging over mirror images.

From the paper: "unified global-local prediction selection". From AGLRLS: the fused head if its confidence reaches the
threshold of its class; else the global head if its confidence does; else the arg-max of the sum of the three, each
masked below its threshold. From this project: a head is masked as a whole. Summing only the entries above their
thresholds, as AGLRLS does, would report a probability of 1 for the least certain faces.

The temperature of the calibration is applied after the selection. The thresholds refer to plain probabilities, so that
a temperature must change neither the deciding head nor its decision, only the confidence.

Averaging over a face and its mirror image is slightly more accurate and better calibrated, at twice the time.
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
    """The selected prediction of each of B faces."""

    probabilities: Tensor
    """``(B, K)``, rows sum to 1."""
    expression: Tensor
    """``(B,)`` int64, the index of the class."""
    confidence: Tensor
    """``(B,)``, the probability of that class."""
    decided_by: Tensor
    """``(B,)`` int64, an index into :data:`DECIDERS`."""


def select(logits: Logits, thresholds: Tensor, temperature: float = 1.0) -> Choice:
    """Select between the heads for each face.

    When no head reaches its threshold, the three are averaged. A head whose classes are all below their thresholds is
    left out, unless that leaves none. The selected probabilities are then tempered, see :func:`tempered`.

    Args:
        logits: ``(B, K)`` of each head.
        thresholds: ``(K,)`` confidence thresholds of the classes.
        temperature: temperature above 0.

    Returns:
        The predictions.

    Example:
        >>> one = torch.tensor([[4.0, 0.0]])
        >>> select(Logits(one, one, one), torch.zeros(2)).expression
        tensor([0])
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
    """Return probabilities raised to ``1 / temperature`` and normalised; their order does not change.

    For a single head it is the softmax of logits over the temperature (Guo et al., ICML 2017, Eq. 9).

    Args:
        probabilities: ``(B, K)``.
        temperature: temperature above 0.

    Returns:
        ``(B, K)``, rows sum to 1.

    Example:
        >>> tempered(torch.tensor([[0.9, 0.1]]), 2.0)
        tensor([[0.7500, 0.2500]])
    """
    tiny = torch.finfo(probabilities.dtype).tiny
    return (probabilities.clamp_min(tiny).log() / temperature).softmax(1)


def both_ways(network: Callable[[Tensor], NetworkOutputs], faces: Tensor) -> NetworkOutputs:
    """Average the probabilities of faces and their mirror images.

    Args:
        network: maps faces ``(B, C, S, S)`` to outputs.
        faces: ``(B, C, S, S)``, in the input range of ``network``.

    Returns:
        Outputs whose logits are the logarithms of the mean probabilities of each head. Features, region weights and
        auxiliary outputs are those of the faces themselves.
    """
    out = network(torch.cat([faces, faces.flip(3)]))
    tiny = torch.finfo(out.of_global.dtype).tiny
    logits = Logits(*(_pairs(head.softmax(1)).mean(0).clamp_min(tiny).log() for head in out.logits))
    regions = None if out.regions is None else _pairs(out.regions)[0]
    auxiliary = {name: _pairs(value)[0] for name, value in out.auxiliary.items()}
    of_global, of_local, weights = (_pairs(part)[0] for part in (out.of_global, out.of_local, out.region_weights))
    return NetworkOutputs(of_global, of_local, logits, weights, regions, out.heads, auxiliary)


def _pairs(rows: Tensor) -> Tensor:
    """Separate the outputs of faces and mirror images."""
    return rows.reshape(2, -1, *rows.shape[1:])
