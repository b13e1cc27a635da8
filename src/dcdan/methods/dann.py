"""DANN: one domain discriminator on the summed features, through gradient reversal (Ganin et al., JMLR 2016)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from dcdan.methods.adversarial import Conditional, adversarial_loss, reversal_coefficient
from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.models.discriminator import Discriminator


class DANNSettings(MethodSettings):
    """Settings of DANN and, with ``conditional``, of CDAN-E."""

    weight: float = Field(default=1.0, ge=0)
    """Weight of the adversarial loss on the features; the discriminator learns at full weight."""
    conditional: Conditional = "none"
    """Plain features, or their outer product with the class probabilities."""


@register
class DANN(Method):
    """Adversarial alignment of the input features of the fused head."""

    name: ClassVar[str] = "dann"
    title: ClassVar[str] = "DANN"
    paper: ClassVar[str] = "Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016"
    sees_target: ClassVar[bool] = True
    revision: ClassVar[int] = 2
    Settings: ClassVar[type[MethodSettings]] = DANNSettings

    def __init__(self, settings: DANNSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        inputs = width * (len(class_counts) if settings.conditional == "cdan-e" else 1)
        self.discriminator = Discriminator(inputs)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification and the adversarial loss.

        Args:
            batch: source and target faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls`` and ``adv``, weighted.
        """
        source, target = batch.source, batch.target
        assert target is not None
        adversarial = adversarial_loss(
            self.discriminator,
            source.of_global + source.of_local,
            target.of_global + target.of_local,
            source.logits.fused,
            target.logits.fused,
            self.options.weight * reversal_coefficient(progress),
            self.options.conditional,
        )
        return {"cls": self.classify(batch), "adv": adversarial}
