"""Dynamic semantic-aware pseudo-labels: which of the teacher's predictions on target faces count, and their loss.

From the paper: labels come from global and local features together and supply "discriminative supervision" (Algorithm
1, lines 11-12). From related work: thresholds by class follow the learning state of each class (AGLRLS, FlexMatch) and
the confidence on the source (AdaMatch; Berthelot et al., ICLR 2022), as a running mean over the whole stage, with a
floor.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dcdan.models.heads import Logits

Prior = Literal["none", "source", "uniform", "estimated"]
PseudoLabelRule = Literal["off", "all", "fixed", "dynamic"]


STRICT_BATCHES = 10
"""How many batches in which every class is equally confident are counted before the first: thresholds start at tau."""


def move_mean(mean: Tensor, value: Tensor, updates: Tensor, momentum: float) -> None:
    """Update a running mean with the value of one batch, in place and without bias.

    The first batches have equal weights, as in a plain mean, until the weight of a batch is ``1 - momentum``. With a
    fixed momentum the initial value would dominate for long.

    Args:
        mean: any shape; its value has no weight when ``updates`` is 0.
        value: the same shape.
        updates: scalar, the number of batches in the mean.
        momentum: weight of the past after many batches, in [0, 1).

    Example:
        >>> mean = torch.tensor(1.0)
        >>> for updates, value in enumerate((0.2, 0.4)):
        ...     move_mean(mean, torch.tensor(value), torch.tensor(float(updates)), 0.99)
        >>> mean
        tensor(0.3000)
    """
    weight = (1 / (updates + 1)).clamp_min(1 - momentum)
    mean.lerp_(value.to(mean.dtype), weight.to(mean.dtype))


class DynamicThresholds(nn.Module):
    """Confidence thresholds of the classes, from running means over the whole adaptation stage.

    ``T_c = max(floor, tau ((r_c + 1) / 2)^2)``, at most 1. tau is ``relative`` times the mean confidence on the source
    (AdaMatch). r_c is the fraction of target faces predicted as class c with a probability of at least tau, over the
    largest such fraction (FlexMatch, AGLRLS).

    Args:
        classes: number of classes K.
        relative: tau over the mean confidence on the source.
        momentum: momentum of the running means.
        floor: lowest threshold.
    """

    share: Tensor
    """Share of target faces that are confidently of each class, ``(K,)``."""
    confidence: Tensor
    """Mean highest probability on source faces."""
    seen: Tensor
    """Mean probabilities of target faces, ``(K,)``."""
    updates: Tensor
    """Number of batches in these means."""

    def __init__(self, classes: int, relative: float = 0.9, momentum: float = 0.99, floor: float = 0.25) -> None:
        """``momentum`` of the running means; see the class for ``relative`` and ``floor``."""
        super().__init__()
        self.relative, self.momentum, self.floor = relative, momentum, floor
        self.register_buffer("share", torch.full((classes,), 1.0 / classes))
        self.register_buffer("confidence", torch.tensor(1.0))
        self.register_buffer("seen", torch.full((classes,), 1.0 / classes))
        self.register_buffer("updates", torch.tensor(0.0))

    @torch.no_grad()
    def update(self, source: Tensor, target: Tensor) -> None:
        """Update the running means with one batch.

        Args:
            source: ``(B, K)`` class probabilities of source faces by the student.
            target: ``(B', K)`` class probabilities of target faces by the teacher.
        """
        move_mean(self.confidence, source.amax(1).mean(), self.updates, self.momentum)
        best, label = target.max(1)
        confident = (best >= self.tau()).to(best.dtype)
        counts = torch.zeros_like(self.share, dtype=best.dtype).index_add_(0, label, confident)
        move_mean(self.share, counts / len(target), self.updates + STRICT_BATCHES, self.momentum)
        move_mean(self.seen, target.mean(0), self.updates, self.momentum)
        self.updates.add_(1)

    def tau(self) -> Tensor:
        """Return the highest threshold, that of the most confident class.

        Returns:
            A scalar.
        """
        return self.relative * self.confidence

    def values(self) -> Tensor:
        """Return the thresholds.

        Returns:
            ``(K,)``.
        """
        relative = self.share / self.share.max().clamp_min(1e-8)
        return (self.tau() * ((relative + 1) / 2).square()).clamp(self.floor, 1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Add the count of batches that checkpoints of version 0.1 lack."""
        if prefix + "share" in state_dict:  # checkpoints of version 0.1 do not count batches
            state_dict.setdefault(prefix + "updates", torch.tensor(1e6))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def aligned_to_prior(probabilities: Tensor, seen: Tensor, prior: Tensor) -> Tensor:
    """Scale probabilities so that their running mean approaches a prior (distribution alignment; AdaMatch).

    Args:
        probabilities: ``(B, K)``, rows sum to 1.
        seen: ``(K,)`` running mean of the probabilities.
        prior: ``(K,)``, sums to 1.

    Returns:
        ``(B, K)``, rows sum to 1.
    """
    scaled = probabilities * (prior / seen.clamp_min(1e-6))
    return scaled / scaled.sum(1, keepdim=True).clamp_min(1e-12)


def pseudo_label_loss(student: Logits, teacher: Tensor, counted: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """Return the cross-entropy of the heads against the teacher's arg-max, over the faces that count.

    It is divided by all B faces, so that a few certain faces have little weight.

    Args:
        student: ``(B, K)`` logits of each head.
        teacher: ``(B, K)`` class probabilities.
        counted: ``(B,) bool``, which faces count.
        weights: weights of the fused, global and local head.

    Returns:
        A scalar.
    """
    labels = teacher.argmax(1)
    total = teacher.new_zeros(())
    for weight, head in zip(weights, student, strict=True):
        total = total + weight * (cross_entropy(head, labels, reduction="none") * counted).sum() / len(labels)
    return total / sum(weights)
