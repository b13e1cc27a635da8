"""AaD: attracting and dispersing (Yang et al., NeurIPS 2022, Eq. 5).

    L = mean_i [ -sum over the K nearest j of p_i . s_j  +  a sum over the rest of the batch of p_i . p_m ]

with ``a = (1 + 10 p)^-beta`` over the progress p. Features and probabilities of all faces are kept in banks. Settings
of the authors' code for VisDA: 15 epochs, K = 5, beta = 5, SGD .001 with Nesterov momentum .9, weight decay .001, a
tenth of the rate for the trunk. The weak view replaces random crops.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from dcdan.methods.source_free.base import (
    Context,
    Recipe,
    SourceFreeMethod,
    SourceFreeSettings,
    Target,
    TargetBatch,
    features_of,
    register,
)
from dcdan.methods.source_free.losses import nearest_neighbours, unit
from dcdan.models.network import Network

RECIPE = Recipe(
    moves="all",
    norms="batch",
    views=("weak",),
    passes=15,
    lr=0.001,
    nesterov=True,
    weight_decay=0.001,
    trunk_ratio=0.1,
    schedule="inverse",
)
"""The recipe of AaD and NRC."""


class AadSettings(SourceFreeSettings):
    """Settings of AaD."""

    neighbours: int = Field(default=5, ge=1)
    beta: float = Field(default=5.0, ge=0)
    """How fast the dispersing fades."""


def attraction(probabilities: Tensor, near: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the negative agreement of each face with its neighbours, averaged over the faces.

    Args:
        probabilities: ``(B, K)``.
        near: ``(B, M, K)`` probabilities of M neighbours, without gradient.
        weights: ``(B, M)``; all 1 when None.

    Returns:
        A scalar.

    Example:
        >>> attraction(torch.tensor([[1.0, 0.0]]), torch.tensor([[[1.0, 0.0], [0.5, 0.5]]]))
        tensor(-1.5000)
    """
    agree = (probabilities[:, None] * near).sum(2)
    return -(agree if weights is None else agree * weights).sum(1).mean()


def dispersion(probabilities: Tensor) -> Tensor:
    """Return the agreement of each face with all others of the batch, summed over these, averaged over the faces.

    Args:
        probabilities: ``(B, K)``.

    Returns:
        A scalar.

    Example:
        >>> dispersion(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        tensor(0.6667)
    """
    agree = probabilities @ probabilities.T
    return (agree.sum() - agree.diagonal().sum()) / len(agree)


class BankMethod(SourceFreeMethod):
    """A method with banks of the features and probabilities of all faces."""

    features: Tensor
    scores: Tensor

    def __init__(self, settings: SourceFreeSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.register_buffer("features", torch.zeros(context.faces, network.heads()[0].in_features))
        self.register_buffer("scores", torch.zeros(context.faces, len(context.classes)))

    def prepare(self, network: Network, target: Target) -> None:
        """Fill the banks with the answers of the start.

        Args:
            network: the network.
            target: all faces.
        """
        answers = target.answers(network)
        self.features.copy_(unit(answers.features))
        self.scores.copy_(answers.logits.softmax(1))

    def store(self, network: Network, batch: TargetBatch) -> Tensor:
        """Put a batch into the banks.

        Args:
            network: the network.
            batch: the weak view.

        Returns:
            ``(B, K)`` its probabilities, with gradient.
        """
        outputs = batch.outputs["weak"]
        probabilities: Tensor = outputs.logits.fused.softmax(1)
        self.features[batch.rows] = unit(features_of(network, outputs))
        self.scores[batch.rows] = probabilities.detach()
        return probabilities


@register
class Aad(BankMethod):
    """Neighbours in feature space agree, other faces of the batch differ."""

    name: ClassVar[str] = "aad"
    title: ClassVar[str] = "AaD"
    paper: ClassVar[str] = "Yang et al., Attracting and Dispersing, NeurIPS 2022"
    recipe: ClassVar[Recipe] = RECIPE
    Settings: ClassVar[type[SourceFreeSettings]] = AadSettings

    def __init__(self, settings: AadSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = settings

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:
        """Return both terms.

        Args:
            network: the network.
            batch: the weak view.

        Returns:
            ``attract`` and ``disperse``.
        """
        probabilities = self.store(network, batch)
        near = nearest_neighbours(self.features[batch.rows], self.features, batch.rows, self.options.neighbours)
        fading = (1 + 10 * batch.progress) ** -self.options.beta
        return {
            "attract": attraction(probabilities, self.scores[near]),
            "disperse": fading * dispersion(probabilities),
        }
