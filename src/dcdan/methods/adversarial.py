"""The adversarial losses (Eq. 1 and 2) through gradient reversal, and the schedule of the reversal coefficient."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dcdan.models.discriminator import Discriminator, conditioned, entropy_weights, reverse

Conditional = Literal["none", "cdan-e"]


def reversal_coefficient(progress: float, slope: float = 10.0) -> float:
    """Return ``2 / (1 + exp(-slope * progress)) - 1`` (Ganin et al., JMLR 2016).

    Args:
        progress: fraction of the adaptation stage that is done, in [0, 1].
        slope: slope of the schedule.

    Returns:
        A number in [0, 1).

    Example:
        >>> reversal_coefficient(0.0), round(reversal_coefficient(1.0), 4)
        (0.0, 0.9999)
    """
    return 2.0 / (1.0 + math.exp(-slope * progress)) - 1.0


def domain_loss(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return ``-(E[log D(F_s)] + E[log(1 - D(F_t))])``, Eq. (1) and (2).

    Args:
        source: ``(B,)`` logits of source faces, positive for source.
        target: ``(B',)`` logits of target faces.
        weights: ``(B + B',)`` weights of the faces within their domain, source first (CDAN-E). They are divided by
            their sum, through which no gradient flows. None weighs all faces equally.

    Returns:
        A scalar.

    Example:
        >>> round(float(domain_loss(torch.zeros(2), torch.zeros(2))), 4)
        1.3863
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
    """Return the adversarial loss of one branch, which the discriminator minimises and the features maximise.

    The weight lambda of the loss is part of ``coefficient``. As a factor of the loss it would also slow the
    discriminator down, and a discriminator at chance gives the features no useful gradient.

    Args:
        discriminator: the discriminator of the branch.
        source: ``(B, width)`` features of source faces.
        target: ``(B', width)`` features of target faces.
        source_logits: ``(B, K)`` class logits of the source faces, used by ``cdan-e``.
        target_logits: ``(B', K)`` class logits of the target faces, used by ``cdan-e``.
        coefficient: lambda times :func:`reversal_coefficient`.
        conditional: ``none`` for Eq. (1) and (2), the sum over both domains. ``cdan-e`` for CDAN-E as in its authors'
            code: the mean over both domains of features times class probabilities (without gradient), with entropy
            weights whose gradient is reversed like that of the features.

    Returns:
        A scalar.
    """
    if conditional == "none":
        return domain_loss(*discriminator.domain_logits(source, target, coefficient))
    p_source, p_target = source_logits.softmax(1), target_logits.softmax(1)
    maps = conditioned(source, p_source), conditioned(target, p_target)
    weights = entropy_weights(reverse(torch.cat([p_source, p_target]), coefficient))
    return domain_loss(*discriminator.domain_logits(*maps, coefficient), weights) / 2
