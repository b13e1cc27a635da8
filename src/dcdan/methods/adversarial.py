"""The adversarial losses (Eq. 1 and 2) through gradient reversal, and the schedule of its coefficient."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dcdan.models.discriminator import Discriminator, conditioned, entropy_weights, reverse

Conditional = Literal["none", "cdan-e"]


def reversal_coefficient(progress: float, slope: float = 10.0) -> float:
    """Return ``2 / (1 + exp(-slope p)) - 1`` for ``p`` in [0, 1], the share of stage-2 steps done (DANN's schedule)."""
    return 2.0 / (1.0 + math.exp(-slope * progress)) - 1.0


def domain_loss(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return ``-(E[log D(F_s)] + E[log(1 - D(F_t))])``, Eq. (1) and (2).

    Args:
        source: logits ``(B,)`` of source faces, positive for source.
        target: logits ``(B',)`` of target faces.
        weights: ``(B + B',)``, source first: the weights of the faces within their domain (CDAN-E). Their sum, which
            they are divided by, takes no gradient.

    Returns:
        A scalar.
    """
    logits = torch.cat([source, target])
    truth = torch.cat([torch.ones_like(source), torch.zeros_like(target)])
    each = binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if weights is None:
        weights = torch.ones_like(each)
    n = len(source)
    of_source = (each[:n] * weights[:n]).sum() / weights[:n].detach().sum()
    of_target = (each[n:] * weights[n:]).sum() / weights[n:].detach().sum()
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
    """Return the adversarial loss of one branch: the discriminator minimises it, the features maximise it.

    The weight lambda of the loss belongs into ``coefficient``, and not before the loss: it would slow the discriminator
    down by as much, and one that stays at chance teaches the features nothing.

    Args:
        discriminator: of the branch.
        source: features ``(B, width)`` of source faces.
        target: features ``(B', width)`` of target faces.
        source_logits: class logits ``(B, K)`` of the source faces, for ``cdan-e``.
        target_logits: class logits ``(B', K)`` of the target faces.
        coefficient: lambda times :func:`reversal_coefficient`.
        conditional: ``none`` for Eq. (1) and (2), the sum over both domains. ``cdan-e`` for CDAN-E as in its authors'
            code: the mean of both domains, features times class probabilities (which take no gradient there), and
            entropy weights whose gradient is reversed like the features'.

    Returns:
        A scalar.
    """
    if conditional == "none":
        return domain_loss(*discriminator.domain_logits(source, target, coefficient))
    p_source, p_target = source_logits.softmax(1), target_logits.softmax(1)
    maps = conditioned(source, p_source), conditioned(target, p_target)
    weights = entropy_weights(reverse(torch.cat([p_source, p_target]), coefficient))
    return domain_loss(*discriminator.domain_logits(*maps, coefficient), weights) / 2
