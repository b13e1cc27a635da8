"""Dynamic semantic-aware pseudo-labels: which of the teacher's answers on target faces count, and their loss.

P: the labels come from global and local features together and supply "discriminative supervision" (Algorithm 1, lines
11-12). R: thresholds by class follow what each class has learned (AGLRLS, FlexMatch) and the source's own confidence
(AdaMatch, Berthelot et al., ICLR 2022), kept as a running average over the whole stage, with a floor.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dcdan.models.heads import Logits

Prior = Literal["none", "source", "uniform", "estimated"]
PseudoLabelRule = Literal["off", "all", "fixed", "dynamic"]


class DynamicThresholds(nn.Module):
    """Running state: ``T_c = max(floor, tau ((r_c + 1) / 2)^2)``, at most 1; r_c confident share over the largest."""

    share: Tensor
    confidence: Tensor
    seen: Tensor

    def __init__(self, classes: int, relative: float = 0.9, momentum: float = 0.99, floor: float = 0.4) -> None:
        super().__init__()
        self.relative, self.momentum, self.floor = relative, momentum, floor
        self.register_buffer("share", torch.full((classes,), 1.0 / classes))
        self.register_buffer("confidence", torch.tensor(1.0))
        self.register_buffer("seen", torch.full((classes,), 1.0 / classes))

    @torch.no_grad()
    def update(self, source: Tensor, target: Tensor) -> None:
        """Learn from class probabilities ``(B, K)``: the source's mean confidence, the target's confident classes."""
        keep = self.momentum
        self.confidence.mul_(keep).add_((1 - keep) * source.amax(1).mean())
        best, label = target.max(1)
        counts = torch.zeros_like(self.share).index_add_(0, label, (best >= self.values()[label]).to(best.dtype))
        self.share.mul_(keep).add_((1 - keep) * counts / len(target))
        self.seen.mul_(keep).add_((1 - keep) * target.mean(0))

    def values(self) -> Tensor:
        """Return the thresholds ``(K,)``."""
        tau = self.relative * self.confidence
        relative = self.share / self.share.max().clamp_min(1e-8)
        return (tau * ((relative + 1) / 2) ** 2).clamp(self.floor, 1)


def aligned_to_prior(probabilities: Tensor, seen: Tensor, prior: Tensor) -> Tensor:
    """Scale rows ``(B, K)`` so that their running mean ``seen`` ``(K,)`` is drawn to ``prior`` ``(K,)`` (AdaMatch)."""
    scaled = probabilities * (prior / seen.clamp_min(1e-6))
    return scaled / scaled.sum(1, keepdim=True).clamp_min(1e-12)


def pseudo_label_loss(student: Logits, teacher: Tensor, counted: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """Return the heads' cross-entropy against the teacher's arg-max, over the faces that count, a scalar.

    Student logits and teacher probabilities ``(B, K)``; ``counted`` ``(B,)`` bool. Divided by all B faces, so that few
    certain faces weigh little.
    """
    labels = teacher.argmax(1)
    total = teacher.new_zeros(())
    for weight, head in zip(weights, student, strict=True):
        total = total + weight * (cross_entropy(head, labels, reduction="none") * counted).sum() / len(labels)
    return total / sum(weights)
