"""DADA: Discriminative Adversarial Domain Adaptation (Tang and Jia, AAAI 2020). Uses target images.

One classifier of K + 1 outputs z replaces classifier and discriminator; output K + 1 says "target". With p = softmax(z)
over K + 1, q = softmax over the first K, and d_k = sigmoid(z_(K+1) - z_k), the domain against class k alone:

    source                -(1 - p_(K+1)) log p_y - p_(K+1) log(1 - p_y)     class and domain inhibit each other
    target, classifier    -sum_k q_k log d_k
    target, features      -sum_k q_k log(1 - d_k)
    target, features      entropy of q

Differences from the paper: z_1..z_K are the fused head's logits and z_(K+1) is a linear layer that is not exported.
q counts as a weight without gradient in the adversarial terms. Both players take one step from one backward pass: the
term of the classifier sees features without gradient, that of the features a classifier without. The schedule of DANN
replaces the paper's. The three heads' own cross-entropy stays, so that all heads of the written model are trained.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.methods.feature_alignment import fused_features


class DADASettings(MethodSettings):
    """Settings of DADA."""

    weight: float = Field(default=0.1, ge=0)
    """Weight of what the features lower on the target, after the ramp."""
    entropy: float = Field(default=0.1, ge=0)
    """Weight of the entropy of the target's classes."""


def source_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the classification-aware source loss.

    Args:
        logits: ``(B, K + 1)``, the domain last.
        labels: ``(B, K)``, rows sum to 1.

    Returns:
        A scalar.
    """
    p = logits.softmax(1)
    own, domain = (labels * p[:, :-1]).sum(1), p[:, -1]
    return -((1 - domain) * own.clamp_min(1e-8).log() + domain * (1 - own).clamp_min(1e-8).log()).mean()


def domain_against_classes(logits: Tensor, *, as_target: bool) -> Tensor:
    """Return the mean over faces of ``-sum_k q_k log d_k``, or of ``-sum_k q_k log(1 - d_k)``.

    Args:
        logits: ``(B, K + 1)``, the domain last.
        as_target: the first, which the classifier lowers; False for the second, which the features lower.

    Returns:
        A scalar.

    Example:
        >>> round(float(domain_against_classes(torch.zeros(1, 3), as_target=True)), 4)
        0.6931
    """
    q = logits[:, :-1].softmax(1).detach()
    gap = logits[:, -1:] - logits[:, :-1]
    return -(q * logsigmoid(gap if as_target else -gap)).sum(1).mean()


def class_entropy(logits: Tensor) -> Tensor:
    """Return the mean entropy of the K classes, in nats.

    Args:
        logits: ``(B, K)``.

    Returns:
        A scalar.
    """
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


@register
class DADA(Method):
    """One classifier of the classes and the domain, which inhibit each other."""

    name: ClassVar[str] = "dada"
    title: ClassVar[str] = "DADA"
    paper: ClassVar[str] = "Tang and Jia, Discriminative Adversarial Domain Adaptation, AAAI 2020"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = DADASettings

    def __init__(self, settings: DADASettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.domain = nn.Linear(width, 1)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification loss and the losses of both players.

        Args:
            batch: source and target faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``source``, ``domain``, ``features`` and ``entropy``, weighted.
        """
        source, target, ramp = batch.source, batch.target, reversal_coefficient(progress)
        assert target is not None
        assert target.heads is not None
        f_source, f_target = fused_features(source), fused_features(target)
        head = target.heads.fused
        weights, biases = torch.cat([head.weight, self.domain.weight]), torch.cat([head.bias, self.domain.bias])
        of_source = torch.cat([source.logits.fused, self.domain(f_source)], 1)
        of_classifier = linear(f_target.detach(), weights, biases)
        of_features = linear(f_target, weights.detach(), biases.detach())
        return {
            "cls": self.classify(batch),
            "source": source_loss(of_source, batch.labels),
            "domain": domain_against_classes(of_classifier, as_target=True),
            "features": ramp * self.options.weight * domain_against_classes(of_features, as_target=False),
            "entropy": ramp * self.options.entropy * class_entropy(of_features[:, :-1]),
        }
