"""MCC: Minimum Class Confusion (Jin et al., ECCV 2020). Uses target images.

On a batch of target logits Z, with B faces and K classes:

    Y = softmax(Z / T)                                     rescaled probabilities
    W_i = B (1 + exp(-H(Y_i))) / sum_j (1 + exp(-H(Y_j)))  certain faces count more
    C = Y^T diag(W) Y                                      correlation of classes
    L_MCC = sum over j != k of C_jk / sum_l C_jl, over K   confusion between classes, each row normalised

Differences from the paper: Z are the logits of the fused head on the strong view of the target, as for every method.
The weights receive no gradient, as in the authors' code. The network is trained on the source first.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.models.discriminator import entropy_weights


class MCCSettings(MethodSettings):
    """Settings of MCC."""

    weight: float = Field(default=1.0, ge=0)
    """Weight of the confusion."""
    temperature: float = Field(default=2.5, gt=0)
    """What the logits are divided by, so that sure answers do not hide the confusion."""


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """Return the confusion between classes.

    Args:
        logits: ``(B, K)``.
        temperature: temperature of the softmax.

    Returns:
        A scalar in [0, 1].

    Example:
        >>> import torch
        >>> round(float(class_confusion(torch.zeros(4, 2), 1.0)), 4)
        0.5
    """
    y = (logits / temperature).softmax(1)
    weights = entropy_weights(y.detach())
    weights = weights * (len(weights) / weights.sum())
    # A product of elements, since a matrix product would be rounded to bf16 under autocast.
    together = (weights[:, None, None] * y[:, :, None] * y[:, None, :]).sum(0)
    rows = together / together.sum(1, keepdim=True).clamp_min(1e-12)
    return (rows.sum() - rows.diagonal().sum()) / len(rows)


@register
class MCC(Method):
    """Minimal confusion between classes on the target, without a discriminator."""

    name: ClassVar[str] = "mcc"
    title: ClassVar[str] = "MCC"
    paper: ClassVar[str] = "Jin et al., Minimum Class Confusion for Versatile Domain Adaptation, ECCV 2020"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = MCCSettings

    def __init__(self, settings: MCCSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification loss and the class confusion of the target.

        Args:
            batch: source and target faces.
            progress: not used.

        Returns:
            ``cls`` and ``mcc``, weighted.
        """
        assert batch.target is not None
        confusion = class_confusion(batch.target.logits.fused, self.options.temperature)
        return {"cls": self.classify(batch), "mcc": self.options.weight * confusion}
