"""TENT: entropy minimisation over the scale and shift of norm layers (Wang et al., ICLR 2021).

Settings of the authors' code for ImageNet: SGD of .00025 with momentum .9 for batches of 64. The paper predicts each
batch right after its step; here all faces are predicted by the network after the pass.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dcdan.methods.source_free.base import Recipe, SourceFreeMethod, TargetBatch, register
from dcdan.methods.source_free.losses import entropy
from dcdan.models.network import Network


@register
class Tent(SourceFreeMethod):
    """Minimal entropy of the answers, over the scale and shift of the norm layers."""

    name: ClassVar[str] = "tent"
    title: ClassVar[str] = "TENT"
    paper: ClassVar[str] = "Wang et al., Tent: Fully Test-Time Adaptation by Entropy Minimization, ICLR 2021"
    recipe: ClassVar[Recipe] = Recipe(moves="norms", norms="batch", lr=0.00025)

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the mean entropy.

        Args:
            network: not used.
            batch: the plain view.

        Returns:
            ``entropy``.
        """
        return {"entropy": entropy(batch.outputs["plain"].logits.fused).mean()}
