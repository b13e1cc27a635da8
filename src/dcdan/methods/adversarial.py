"""The adversarial losses (Eq. 1 and 2) through gradient reversal, and the schedule of its coefficient."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dcdan.models.discriminator import Discriminator, conditioned, entropy_weights

Conditional = Literal["none", "cdan-e"]


def reversal_coefficient(progress: float, slope: float = 10.0) -> float:
    """Return ``2 / (1 + exp(-slope p)) - 1`` for ``p`` in [0, 1], the share of stage-2 steps done (DANN's schedule)."""
    return 2.0 / (1.0 + math.exp(-slope * progress)) - 1.0


def domain_loss(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the scalar ``-(E[log D(F_s)] + E[log(1 - D(F_t))])`` of logits ``(B,)``: Eq. (1) and (2).

    ``weights`` ``(2B,)``, source first, weigh the faces within each domain (CDAN-E).
    """
    logits = torch.cat([source, target])
    truth = torch.cat([torch.ones_like(source), torch.zeros_like(target)])
    each = binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if weights is None:
        weights = torch.ones_like(each)
    n = len(source)
    of_source = (each[:n] * weights[:n]).sum() / weights[:n].sum()
    of_target = (each[n:] * weights[n:]).sum() / weights[n:].sum()
    return of_source + of_target


def adversarial_loss(
    discriminator: Discriminator,
    source: Tensor,
    target: Tensor,
    source_logits: Tensor,
    target_logits: Tensor,
    coefficient: float,
    conditional: Conditional,
) -> Tensor:
    """Return the scalar loss of one branch: features ``(B, width)`` and logits ``(B, K)`` of both domains.

    The discriminator minimises it; the features above the reversal maximise it.
    """
    weights = None
    if conditional == "cdan-e":
        p_source, p_target = source_logits.softmax(1), target_logits.softmax(1)
        source, target = conditioned(source, p_source), conditioned(target, p_target)
        weights = torch.cat([entropy_weights(p_source), entropy_weights(p_target)])
    judged = discriminator.evaluate_epoch(torch.cat([source, target]), coefficient)
    return domain_loss(judged[: len(source)], judged[len(source) :], weights)
