"""MCD: Maximum Classifier Discrepancy (Saito et al., CVPR 2018). Uses target images.

Two classifiers F1, F2 on features G(x), with d(p1, p2) the mean over classes of |p1 - p2|:

    step A    min over G, F1, F2    L(source)
    step B    min over F1, F2       L(source) - E_target d
    step C    min over G            E_target d,   four times a batch

Differences from the paper: one backward pass replaces the three steps. The loss is L(source) - E_target d, and the
gradient of d is reversed between classifiers and features: the classifiers raise d (step B), the features lower it
(step C), and all minimise L(source) (step A). The reversed gradient is multiplied by ``pull``, 4 for the four
repetitions of step C, and by the schedule of DANN, because F2 starts from random weights. F1 is the network's fused
head, so that the written model has one of the pair. Both are single linear layers, like all heads of the network.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.methods.classification import head_loss
from dcdan.models.discriminator import reverse


class MCDSettings(MethodSettings):
    """Settings of MCD."""

    weight: float = Field(default=1.0, ge=0)
    """Weight of the discrepancy against the classification losses."""
    pull: float = Field(default=4.0, ge=0)
    """How much stronger the features lower the discrepancy than the classifiers raise it, after the ramp."""


def discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean absolute difference of two predictions.

    Args:
        first: ``(B, K)`` logits.
        second: ``(B, K)`` logits.

    Returns:
        A scalar in [0, 2 / K].

    Example:
        >>> import torch
        >>> float(discrepancy(torch.zeros(1, 2), torch.zeros(1, 2)))
        0.0
    """
    return (first.softmax(1) - second.softmax(1)).abs().mean()


@register
class MCD(Method):
    """Two classifiers whose disagreement on target faces the features learn to reduce."""

    name: ClassVar[str] = "mcd"
    title: ClassVar[str] = "MCD"
    paper: ClassVar[str] = "Saito et al., Maximum Classifier Discrepancy for Unsupervised Domain Adaptation, CVPR 2018"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = MCDSettings

    def __init__(self, settings: MCDSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.second = nn.Linear(width, len(class_counts))

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification losses of all heads and minus the discrepancy.

        Args:
            batch: source and target faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``cls2`` and ``disc``, weighted.
        """
        source, target, options = batch.source, batch.target, self.options
        assert target is not None
        assert target.heads is not None
        of_source = self.second(source.of_global + source.of_local)
        seen = reverse(target.of_global + target.of_local, options.pull * reversal_coefficient(progress))
        apart = discrepancy(target.heads.fused(seen), self.second(seen))
        return {
            "cls": self.classify(batch),
            "cls2": head_loss(of_source, batch.labels, self.sampled_counts, options.classification),
            "disc": -options.weight * apart,
        }
