"""SAR: sharpness-aware entropy minimisation on reliable faces, with recovery (Niu et al., ICLR 2023).

Only faces with an entropy below ``margin ln K`` count (Eq. 2). The update uses the gradient at
``theta + rho g / |g|`` (Eq. 4), where unreliable faces are left out once more. When the moving average of the entropy
falls below ``collapse``, the model has collapsed and is put back to its start.

Settings for a ResNet-50. The paper keeps the top of the network fixed; here the norm layers of the trunk move.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from dcdan.methods.source_free.base import (
    Context,
    Recipe,
    SourceFreeMethod,
    SourceFreeSettings,
    TargetBatch,
    moved_parameters,
    register,
    total_loss,
)
from dcdan.methods.source_free.losses import entropy
from dcdan.models.network import Network


class SarSettings(SourceFreeSettings):
    """Settings of SAR."""

    margin: float = Field(default=0.4, gt=0)
    """Largest entropy of a reliable face, over ln K."""
    rho: float = Field(default=0.05, ge=0)
    """Length of the step to the worst place nearby."""
    collapse: float = Field(default=0.2, ge=0)
    """Moving average of the entropy below which the model is put back."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of that average."""


def ascent(gradients: list[Tensor], rho: float) -> list[Tensor]:
    """Return the step to the worst place nearby: all gradients together, scaled to length ``rho``.

    Args:
        gradients: of each parameter.
        rho: length.

    Returns:
        A step for each parameter.

    Example:
        >>> ascent([torch.tensor([3.0]), torch.tensor([4.0])], 0.5)
        [tensor([0.3000]), tensor([0.4000])]
    """
    length = torch.stack([each.norm() for each in gradients]).norm()
    return [each * (rho / (length + 1e-12)) for each in gradients]


@register
class Sar(SourceFreeMethod):
    """Entropy of sure faces in a flat place, put back to the start where the answers collapse."""

    name: ClassVar[str] = "sar"
    title: ClassVar[str] = "SAR"
    paper: ClassVar[str] = "Niu et al., Towards Stable Test-Time Adaptation in Dynamic Wild World, ICLR 2023"
    recipe: ClassVar[Recipe] = Recipe(moves="trunk norms", norms="batch", lr=0.00025)
    Settings: ClassVar[type[SourceFreeSettings]] = SarSettings

    average: Tensor
    recoveries: Tensor

    def __init__(self, settings: SarSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = settings
        self.register_buffer("average", torch.full((), torch.nan))
        self.register_buffer("recoveries", torch.zeros((), dtype=torch.int64))
        for number, parameter in enumerate(self.moved(network)):
            self.register_buffer(f"start_{number}", parameter.detach().clone())

    def moved(self, network: Network) -> list[nn.Parameter]:
        """Return the parameters that move."""
        return list(moved_parameters(network, self.recipe.moves).values())

    def step(self, network: Network, batch: TargetBatch, optimiser: Optimizer) -> dict[str, Tensor]:
        """Climb, measure the gradient there, go back and update; put the model back where it has collapsed.

        Args:
            network: the network.
            batch: the plain view.
            optimiser: over the norm layers of the trunk.

        Returns:
            ``entropy`` at the worst place, and ``recovered``.
        """
        found = entropy(batch.outputs["plain"].logits.fused)
        margin = self.options.margin * math.log(len(self.context.classes))
        reliable = found < margin
        nothing = found.new_zeros(())
        if not bool(reliable.any()):
            return {"entropy": nothing, "recovered": nothing}
        moved = self.moved(network)
        first = total_loss({"entropy": found[reliable].mean()}, batch.step)
        gradients = torch.autograd.grad(first, moved, allow_unused=True)
        pairs = [(each, gradient) for each, gradient in zip(moved, gradients, strict=True) if gradient is not None]
        steps = ascent([gradient for _, gradient in pairs], self.options.rho)
        before = [each.detach().clone() for each, _ in pairs]
        with torch.no_grad():
            for (each, _), climb in zip(pairs, steps, strict=True):
                each.add_(climb)
        again = entropy(network(batch.faces["plain"]).logits.fused)
        kept = reliable & (again.detach() < margin)
        optimiser.zero_grad(set_to_none=True)
        second = again[kept].mean() if bool(kept.any()) else nothing
        if bool(kept.any()):
            total_loss({"entropy": second}, batch.step).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for (each, _), old in zip(pairs, before, strict=True):
                each.copy_(old)
        if not bool(kept.any()):
            return {"entropy": nothing, "recovered": nothing}
        optimiser.step()
        return {"entropy": second, "recovered": self.recover(second.detach(), moved, optimiser)}

    @torch.no_grad()
    def recover(self, loss: Tensor, moved: list[nn.Parameter], optimiser: Optimizer) -> Tensor:
        """Update the moving average and put the model back where it is too low.

        Args:
            loss: entropy of the step.
            moved: the parameters that move.
            optimiser: their optimiser, whose momenta are dropped then.

        Returns:
            1 where the model was put back, else 0.
        """
        momentum = self.options.momentum
        self.average.copy_(loss if self.average.isnan() else momentum * self.average + (1 - momentum) * loss)
        if float(self.average) >= self.options.collapse:
            return loss.new_zeros(())
        for number, each in enumerate(moved):
            each.copy_(self.get_buffer(f"start_{number}"))
        optimiser.state.clear()
        self.average.fill_(torch.nan)
        self.recoveries += 1
        return loss.new_ones(())
