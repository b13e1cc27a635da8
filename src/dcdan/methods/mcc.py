"""MCC: Minimum Class Confusion (Jin et al., ECCV 2020). Sees target images.

On a batch of target logits Z, with B faces and K classes:

    Y = softmax(Z / T)                                     probabilities, rescaled
    W_i = B (1 + exp(-H(Y_i))) / sum_j (1 + exp(-H(Y_j)))   certain faces count more
    C = Y^T diag(W) Y                                      how classes go together
    L_MCC = sum over j != k of C_jk / sum_l C_jl, over K    confusion between classes, each row normalised

Different here: Z are the fused head's logits, on the strong view of the target that the loop makes for every method;
the weights take no gradient, as in the authors' code; the network has been trained on source before.
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
    """Return the share of confusion between classes of logits ``(B, K)``, a scalar in [0, 1]."""
    y = (logits / temperature).softmax(1)
    weights = entropy_weights(y.detach())
    weights = weights * (len(weights) / weights.sum())
    # A product of elements, since a matrix product would be rounded to bf16 under autocast.
    together = (weights[:, None, None] * y[:, :, None] * y[:, None, :]).sum(0)
    rows = together / together.sum(1, keepdim=True).clamp_min(1e-12)
    return (rows.sum() - rows.diagonal().sum()) / len(rows)


@register
class MCC(Method):
    """Less confusion between classes on the target; no discriminator."""

    name: ClassVar[str] = "mcc"
    title: ClassVar[str] = "MCC"
    paper: ClassVar[str] = "Jin et al., Minimum Class Confusion for Versatile Domain Adaptation, ECCV 2020"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = MCCSettings

    def __init__(self, settings: MCCSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification loss and the class confusion of the target."""
        assert batch.target is not None
        confusion = class_confusion(batch.target.logits.fused, self.options.temperature)
        return {"cls": self.classify(batch), "mcc": self.options.weight * confusion}
