"""SHOT-IM: information maximisation with fixed heads (Liang et al., ICML 2020, Eq. 3 and 4).

    L_IM = mean_i H(p_i) - H(mean_i p_i)

Settings of the authors' code: 15 epochs, SGD .01 with Nesterov momentum .9 and weight decay .001, a tenth of the rate
for the trunk, ``(1 + 10 p)^-0.75``. SHOT without its pseudo-labels is SHOT-IM. The weak view replaces random crops.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dcdan.methods.source_free.base import Recipe, SourceFreeMethod, TargetBatch, register
from dcdan.methods.source_free.losses import entropy, negative_diversity
from dcdan.models.network import Network


@register
class ShotIM(SourceFreeMethod):
    """Sure answers for each face and all classes over a batch; the heads stay where they are."""

    name: ClassVar[str] = "shot_im"
    title: ClassVar[str] = "SHOT-IM"
    paper: ClassVar[str] = "Liang et al., Do We Really Need to Access the Source Data?, ICML 2020"
    recipe: ClassVar[Recipe] = Recipe(
        moves="features",
        norms="batch",
        views=("weak",),
        passes=15,
        lr=0.01,
        nesterov=True,
        weight_decay=0.001,
        trunk_ratio=0.1,
        schedule="inverse",
    )

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the two parts of the information maximisation loss.

        Args:
            network: not used.
            batch: the weak view.

        Returns:
            ``entropy`` and ``diversity``.
        """
        logits = batch.outputs["weak"].logits.fused
        return {"entropy": entropy(logits).mean(), "diversity": negative_diversity(logits)}
