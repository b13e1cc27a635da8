"""AFN: Adaptive Feature Norm (Xu et al., ICCV 2019), stepwise and hard. Uses target images.

With |f| the length of a feature vector, over the faces of each domain:

    stepwise (SAFN)    E (|f| - (|f|_before + dr))^2      lengths grow by a step, dr = 1
    hard (HAFN)        (E |f| - R)^2                      the mean length approaches R = 25 in both domains

both weighted .05. |f|_before is the length under the weights of the previous step, which equals |f| without gradient.
The value of the stepwise loss is therefore always dr^2; only its gradient, -2 dr along f, matters.

Differences from the paper: f is the sum of global and local features, the input of the fused head, instead of a
bottleneck of 1,000 units with dropout. R is scaled by the square root of width / 1,000, as lengths are. The hard
variant is the default instead of the stepwise one. Where features come from norms without weight decay, nothing bounds
the stepwise variant: in the first benchmark its logits grew a thousandfold within an epoch.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.linalg import vector_norm

from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.models.network import NetworkOutputs


class AFNSettings(MethodSettings):
    """Settings of AFN."""

    variant: Literal["stepwise", "hard"] = "hard"
    """Let each length grow by a step, or pull the mean length to a radius."""
    weight: float = Field(default=0.05, ge=0)
    """Weight of the norm loss."""
    step: float = Field(default=1.0, gt=0)
    """The step dr of the stepwise variant."""
    radius: float = Field(default=25.0, gt=0)
    """The radius R of the hard variant at a width of 1,000."""


def stepwise_norm_loss(features: Tensor, step: float) -> Tensor:
    """Return the loss of SAFN.

    Args:
        features: ``(B, width)``.
        step: the step dr.

    Returns:
        A scalar of value ``step ** 2``; its gradient lengthens the features.
    """
    lengths = vector_norm(features, dim=1)
    loss: Tensor = (lengths - (lengths.detach() + step)).square().mean()
    return loss


def hard_norm_loss(features: Tensor, radius: float) -> Tensor:
    """Return the loss of HAFN.

    Args:
        features: ``(B, width)`` of one domain.
        radius: the radius R.

    Returns:
        A scalar.
    """
    loss: Tensor = (vector_norm(features, dim=1).mean() - radius).square()
    return loss


@register
class AFN(Method):
    """Longer features in both domains, which transfer better according to the paper."""

    name: ClassVar[str] = "afn"
    title: ClassVar[str] = "AFN"
    paper: ClassVar[str] = "Xu et al., Larger Norm More Transferable, ICCV 2019"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = AFNSettings

    def __init__(self, settings: AFNSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings

    def of_domain(self, outputs: NetworkOutputs) -> Tensor:
        """Return the norm loss of one domain.

        Args:
            outputs: outputs of the network on its faces.

        Returns:
            A scalar.
        """
        features = outputs.of_global + outputs.of_local
        if self.options.variant == "stepwise":
            return stepwise_norm_loss(features, self.options.step)
        return hard_norm_loss(features, self.options.radius * (features.shape[1] / 1000) ** 0.5)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification loss and the norm loss of both domains.

        Args:
            batch: source and target faces.
            progress: not used.

        Returns:
            ``cls`` and ``norm``, weighted.
        """
        assert batch.target is not None
        norms = self.of_domain(batch.source) + self.of_domain(batch.target)
        return {"cls": self.classify(batch), "norm": self.options.weight * norms}
