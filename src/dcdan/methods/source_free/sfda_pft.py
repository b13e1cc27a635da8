"""SFDA-PFT: features translated by what neutral faces show (Sharafi et al., ICLR 2026); our reading.

The network is frozen. A translator in the space of the features is fitted on neutral faces of the target alone, so that
the frozen classifier takes them for neutral, and it moves features as little as that needs.

The paper pre-trains its translator on pairs of source subjects, with losses on expression and style; here are no source
pictures. So the translator starts as the identity: ``T(f) = f + U V f`` of a low rank, which becomes part of the heads
when the adaptation ends. Adam of .001, as in the authors' code. Which faces are neutral should be said; otherwise the
surer half of those that the network takes for neutral are used, from which little can be learned.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dcdan.core.errors import DataError
from dcdan.methods.source_free.base import (
    Context,
    Recipe,
    SourceFreeMethod,
    SourceFreeSettings,
    Target,
    TargetBatch,
    register,
)
from dcdan.models.network import Network

NEUTRAL = "neutral"


class PftSettings(SourceFreeSettings):
    """Settings of SFDA-PFT."""

    rank: int = Field(default=16, ge=1)
    identity: float = Field(default=1.0, ge=0)
    """Weight of the squared length of the translation, over that of the feature."""


def translation_loss(features: Tensor, moved: Tensor) -> Tensor:
    """Return the mean squared length of the translation over that of the feature.

    Args:
        features: ``(B, D)``.
        moved: ``(B, D)`` after the translation.

    Returns:
        A scalar.

    Example:
        >>> translation_loss(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 5.0]]))
        tensor(0.0400)
    """
    return ((moved - features).square().sum(1) / features.square().sum(1).clamp_min(1e-12)).mean()


@register
class SfdaPft(SourceFreeMethod):
    """Features translated so that neutral faces of the target look neutral to the frozen classifier."""

    name: ClassVar[str] = "sfda_pft"
    title: ClassVar[str] = "SFDA-PFT (our reading)"
    paper: ClassVar[str] = "Sharafi et al., Personalized Feature Translation for Expression Recognition, ICLR 2026"
    needs: ClassVar[str] = "weights; neutral faces"
    recipe: ClassVar[Recipe] = Recipe(moves="nothing", views=(), passes=10, least_steps=100, optimiser="adam", lr=0.001)
    Settings: ClassVar[type[SourceFreeSettings]] = PftSettings

    features: Tensor
    is_neutral: Tensor

    def __init__(self, settings: PftSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        if NEUTRAL not in context.classes:
            raise DataError("SFDA-PFT needs a model with the class 'neutral': use another method or model.")
        self.options = settings
        width = network.heads()[0].in_features
        generator = torch.Generator().manual_seed(0)
        self.down = nn.Parameter(torch.randn(settings.rank, width, generator=generator) / width**0.5)
        self.up = nn.Parameter(torch.zeros(width, settings.rank))
        self.register_buffer("features", torch.zeros(context.faces, width))
        self.register_buffer("is_neutral", torch.zeros(context.faces, dtype=torch.bool))

    def prepare(self, network: Network, target: Target) -> None:
        """Store the features, which never change, and choose the neutral faces.

        Args:
            network: the network.
            target: all faces.

        Raises:
            DataError: when no face is neutral.
        """
        answers = target.answers(network)
        self.features.copy_(answers.features)
        rows = torch.tensor(self.context.neutral, dtype=torch.int64)
        if not self.context.neutral:
            neutral = self.context.classes.index(NEUTRAL)
            taken = torch.nonzero(answers.logits.argmax(1) == neutral).flatten()
            sure = answers.logits.softmax(1)[taken, neutral].argsort(descending=True, stable=True)
            rows = taken[sure[: -(-len(taken) // 2)]].cpu()
        if len(rows) == 0:
            raise DataError("SFDA-PFT found no neutral face: say which faces are neutral, or use another method.")
        self.is_neutral[rows.to(self.is_neutral.device)] = True

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:
        """Return the losses of the neutral faces among a batch.

        Args:
            network: the frozen network.
            batch: rows only.

        Returns:
            ``neutral`` and ``identity``; 0 where the batch has no neutral face.
        """
        rows = batch.rows[self.is_neutral[batch.rows]]
        features = self.features[rows]
        if len(rows) == 0:
            return {"neutral": self.up.sum() * 0, "identity": self.up.sum() * 0}
        moved = features + features @ self.down.T @ self.up.T
        labels = torch.full((len(rows),), self.context.classes.index(NEUTRAL), device=rows.device)
        return {
            "neutral": cross_entropy(network.heads()[0](moved), labels),
            "identity": self.options.identity * translation_loss(features, moved),
        }

    def finish(self, network: Network, target: Target) -> None:  # noqa: ARG002
        """Make the translator part of the fused head: ``W (f + U V f) = (W + W U V) f``.

        Args:
            network: the network.
            target: not used.
        """
        head = network.heads()[0]
        head.weight.add_(head.weight @ self.up @ self.down)
