"""The choice of the best of global and local predictions, per face, vectorised and exportable.

P: "unified global-local prediction selection". R (AGLRLS): the fused head if its confidence reaches the threshold of
its class; else the global head if that one's does; else the arg-max of the sum of the three, each masked below its
threshold. O: a head is masked as a whole, since summing the few entries that pass, as AGLRLS does, would report a
probability of 1 for the least certain faces of all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dcdan.models.semantic import Logits

DECIDERS = ("fused", "global", "sum")


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


def select(logits: Logits, thresholds: Tensor, temperature: Tensor | float = 1.0) -> Choice:
    """Choose between the heads of :class:`Logits` ``(B, K)`` with the classes' thresholds ``(K,)``.

    In the third case a head none of whose classes reaches its threshold is left out of the sum; where that leaves no
    head, the three count alike, so that every face gets an answer.
    """
    heads = torch.stack([(head / temperature).softmax(1) for head in logits])
    best, index = heads.max(2)
    sure = best >= thresholds[index]
    counted = (heads >= thresholds).any(2, keepdim=True).to(heads.dtype)
    counted = torch.where(counted.sum(0) > 0, counted, torch.ones_like(counted))
    summed = (heads * counted).sum(0) / counted.sum(0)
    probabilities = torch.where(sure[0][:, None], heads[0], torch.where(sure[1][:, None], heads[1], summed))
    decided_by = torch.where(sure[0], 0, torch.where(sure[1], 1, 2))
    confidence, expression = probabilities.max(1)
    return Choice(probabilities, expression, confidence, decided_by)
