"""EATA: entropy minimisation on reliable and different faces, anchored by Fisher weights (Niu et al., ICML 2022).

A face counts where its entropy is below ``margin ln K`` (Eq. 3) and its probabilities differ from their moving average
(cosine below ``redundancy``, Eq. 5); its weight is ``exp(margin ln K - H)``. The regulariser (Eq. 8, 9) is
``fisher sum_i F_i (theta_i - theta_0i)^2``.

Settings for ImageNet; the redundancy of .4 is the paper's for ten classes (.05 for a thousand). Differences: the Fisher
weights come from the target faces with predicted labels, because there are no source pictures, and all faces are
predicted after the pass.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy
from torch.optim import Optimizer

from dcdan.methods.source_free.base import (
    Context,
    Recipe,
    SourceFreeMethod,
    SourceFreeSettings,
    Target,
    TargetBatch,
    descend,
    moved_parameters,
    register,
)
from dcdan.methods.source_free.losses import entropy
from dcdan.models.network import Network


class EataSettings(SourceFreeSettings):
    """Settings of EATA."""

    margin: float = Field(default=0.4, gt=0)
    """Largest entropy of a reliable face, over ln K."""
    redundancy: float = Field(default=0.4, gt=0, le=1)
    """Cosine to the mean probabilities from which on a face is redundant."""
    fisher: float = Field(default=2000.0, ge=0)
    """Weight of the regulariser."""
    fisher_faces: int = Field(default=2000, ge=1)
    """Faces from which the Fisher weights are computed, at most."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of the moving average of the probabilities."""


def reliable_weights(logits: Tensor, mean: Tensor | None, margin: float, redundancy: float) -> Tensor:
    """Return the weight of each face in the loss.

    Args:
        logits: ``(B, K)``.
        mean: ``(K,)`` moving average of the probabilities; None before the first face.
        margin: largest entropy in nats.
        redundancy: cosine to ``mean`` from which on a face is left out.

    Returns:
        ``(B,)`` without gradient; 0 for a face that is left out.

    Example:
        >>> reliable_weights(torch.tensor([[9.0, 0.0], [0.1, 0.0]]), None, 0.4, 0.4)
        tensor([1.4900, 0.0000])
    """
    found = entropy(logits.detach())
    kept = found < margin
    if mean is not None:
        kept &= cosine_similarity(mean[None], logits.detach().softmax(1), dim=1).abs() < redundancy
    return torch.where(kept, (margin - found).exp(), torch.zeros_like(found))


@register
class Eata(SourceFreeMethod):
    """Entropy of sure and different faces, with the norm layers held near their start by Fisher weights."""

    name: ClassVar[str] = "eata"
    title: ClassVar[str] = "EATA"
    paper: ClassVar[str] = "Niu et al., Efficient Test-Time Model Adaptation without Forgetting, ICML 2022"
    recipe: ClassVar[Recipe] = Recipe(moves="norms", norms="batch", lr=0.00025)
    Settings: ClassVar[type[SourceFreeSettings]] = EataSettings

    mean: Tensor
    seen: Tensor

    def __init__(self, settings: EataSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = settings
        self.register_buffer("mean", torch.zeros(len(context.classes)))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))
        moved = list(moved_parameters(network, self.recipe.moves).values())
        for number, parameter in enumerate(moved):
            self.register_buffer(f"start_{number}", parameter.detach().clone())
            self.register_buffer(f"fisher_{number}", torch.zeros_like(parameter))

    def prepare(self, network: Network, target: Target) -> None:
        """Compute the Fisher weights: mean squared gradients of batches, by the labels that the network predicts."""
        moved = list(moved_parameters(network, self.recipe.moves).values())
        count = 0
        for rows, faces in target.batches(self.recipe.batch):
            if int(rows[0]) >= self.options.fisher_faces:
                break
            logits = network(faces).logits.fused
            gradients = torch.autograd.grad(cross_entropy(logits, logits.argmax(1)), moved, allow_unused=True)
            for number, gradient in enumerate(gradients):
                if gradient is not None:
                    self.get_buffer(f"fisher_{number}").add_(gradient.square())
            count += 1
        for number in range(len(moved)):
            self.get_buffer(f"fisher_{number}").div_(max(count, 1))

    def anchor(self, network: Network) -> Tensor:
        """Return the weighted squared distance of the parameters that move from their start.

        Args:
            network: the network.

        Returns:
            A scalar.
        """
        moved = moved_parameters(network, self.recipe.moves).values()
        terms = [
            (self.get_buffer(f"fisher_{number}") * (each - self.get_buffer(f"start_{number}")).square()).sum()
            for number, each in enumerate(moved)
        ]
        return self.options.fisher * torch.stack(terms).sum()

    def step(self, network: Network, batch: TargetBatch, optimiser: Optimizer) -> dict[str, Tensor]:
        """Update by the kept faces; without one, leave the network as it is.

        Args:
            network: the network.
            batch: the plain view.
            optimiser: over the norm layers.

        Returns:
            ``entropy`` and ``fisher``.
        """
        logits = batch.outputs["plain"].logits.fused
        margin = self.options.margin * math.log(logits.shape[1])
        weights = reliable_weights(logits, self.mean if self.seen else None, margin, self.options.redundancy)
        kept = weights > 0
        nothing = logits.new_zeros(())
        if not bool(kept.any()):
            return {"entropy": nothing, "fisher": nothing}
        with torch.no_grad():
            new = logits.softmax(1)[kept].mean(0)
            self.mean.copy_(self.options.momentum * self.mean + (1 - self.options.momentum) * new if self.seen else new)
            self.seen.fill_(True)
        losses = {"entropy": (entropy(logits) * weights)[kept].mean(), "fisher": self.anchor(network)}
        descend(losses, batch, optimiser)
        return losses
