"""CSG: Contrastive Syn-to-Real Generalization (Chen et al., ICLR 2021). Trains on source faces only.

The loss is cross-entropy plus a contrastive term that preserves what the initial trunk represents:

    L = CE + .1 sum over the last two stages of  -log  exp(q k / T) / (exp(q k / T) + sum_n exp(q n / T))

q are features of a face from the trained trunk, k from a frozen copy of the initial trunk, n a queue of k from earlier
faces, T = .07. Features are pooled by attention: a map v is averaged with the weights <v_place, mean of v>, those of
the trained trunk for both. Two layers then project them to 128 numbers of unit length. The projection of the frozen
side is a moving average (.999) of that of the trained side. The frozen trunk is not part of the written model.

The sentence of the DCD-DAN paper on "CSG" describes a Gabor network, CSE-GResNet. This file implements CSG, the method
of that name.

Differences from the authors' code: the queue has 4,096 faces (theirs 65,536, more than most sources have). Both sides
get one view (theirs two random ones). The batch norm of the trained trunk is trained, as for every method (theirs is
frozen). Maps are cut at 0 where their weights are computed, because trunks such as MobileNet-V2 end in linear layers.
The method is meant for ImageNet weights; a random trunk has nothing to preserve.
"""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, relu

from dcdan.methods.base import Batch, MethodSettings, SourceMethod, register
from dcdan.models.heads import pooled
from dcdan.models.network import Network, NetworkOutputs, PlainNetwork

STAGES = ("before_last", "last")


class CSGSettings(MethodSettings):
    """Settings of CSG."""

    weight: float = Field(default=0.1, ge=0)
    """Weight of the contrastive loss of each stage against the cross-entropy."""
    temperature: float = Field(default=0.07, gt=0)
    """T: the smaller, the more the nearest negatives count."""
    queue: int = Field(default=4096, ge=1, le=1_000_000)
    """Earlier faces that serve as negatives."""
    dimensions: int = Field(default=128, ge=2, le=4096)
    """Numbers in which features are compared."""
    momentum: float = Field(default=0.999, ge=0, lt=1)
    """Of the moving average that projects the frozen trunk's features."""


def attention_pooled(maps: Tensor, by: Tensor) -> Tensor:
    """Average maps over places, weighted by the similarity of each place to the mean.

    Args:
        maps: ``(B, C, H, W)`` to average.
        by: ``(B, C, H, W)`` from which the weights are computed.

    Returns:
        ``(B, C)``.
    """
    seen = relu(by)
    weights = torch.einsum("bchw,bc->bhw", seen, pooled(seen)) + 1e-6
    return torch.einsum("bchw,bhw->bc", maps, weights / weights.sum((1, 2), keepdim=True))


def contrastive_loss(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Return the InfoNCE loss (van den Oord et al., 2018).

    Args:
        queries: ``(B, D)`` of unit length.
        keys: ``(B, D)`` of unit length, the positives.
        negatives: ``(N, D)`` of unit length.
        temperature: temperature of the softmax.

    Returns:
        A scalar.
    """
    logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ negatives.T], 1) / temperature
    return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))


class TwoStageNetwork(PlainNetwork):
    """The plain network, with the maps of the trunk's last two stages as auxiliary outputs."""

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:  # noqa: ARG002
        """Compute the outputs for a batch of faces.

        Args:
            faces: ``(B, 3 or 1, S, S) float32`` in [0, 1].
            landmarks: not used.

        Returns:
            The outputs.
        """
        before_last, last = self.maps(faces)
        features = pooled(self.squeeze(last))
        return self.single_head_outputs(features, self.head(features), before_last=before_last, last=last)

    def maps(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps of the last two stages.

        Args:
            faces: ``(B, 3 or 1, S, S) float32`` in [0, 1].

        Returns:
            ``(B, C, H, W)`` of each stage.
        """
        before_last, last = self.trunk.body(self.normalised(faces))[-2:]
        return before_last, last


class Comparison(nn.Module):
    """The contrastive comparison at one stage: two projections and the queue of negatives ``(N, D)``.

    Args:
        channels: channels of the stage.
        settings: the settings.
    """

    queue: Tensor
    place: Tensor

    def __init__(self, channels: int, settings: CSGSettings) -> None:
        super().__init__()
        self.options = settings
        self.trained = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, settings.dimensions))
        self.averaged = copy.deepcopy(self.trained).requires_grad_(False)
        self.register_buffer("queue", normalize(torch.randn(settings.queue, settings.dimensions), dim=1))
        self.register_buffer("place", torch.tensor(0))

    def forward(self, trained: Tensor, frozen: Tensor) -> Tensor:
        """Return the contrastive loss and add the keys to the queue.

        Args:
            trained: ``(B, C, H, W)`` maps of the trained trunk.
            frozen: ``(B, C, H, W)`` maps of the frozen trunk.

        Returns:
            A scalar.
        """
        queries = normalize(self.trained(attention_pooled(trained, trained)).float(), dim=1)
        with torch.no_grad():
            for own, other in zip(self.averaged.parameters(), self.trained.parameters(), strict=True):
                own.lerp_(other, 1 - self.options.momentum)
            keys = normalize(self.averaged(attention_pooled(frozen, trained)).float(), dim=1)
        loss = contrastive_loss(queries, keys, self.queue.clone(), self.options.temperature)
        newest = keys[-len(self.queue) :]
        places = (self.place + torch.arange(len(newest), device=keys.device)) % len(self.queue)
        self.queue[places] = newest
        self.place.copy_((self.place + len(newest)) % len(self.queue))
        return loss


@register
class CSG(SourceMethod):
    """Cross-entropy with a contrastive loss that keeps features close to those of the initial trunk."""

    name: ClassVar[str] = "csg"
    title: ClassVar[str] = "CSG"
    paper: ClassVar[str] = "Chen et al., Contrastive Syn-to-Real Generalization, ICLR 2021"
    Settings: ClassVar[type[MethodSettings]] = CSGSettings
    network_class: ClassVar[type[Network]] = TwoStageNetwork

    frozen: TwoStageNetwork

    def __init__(self, settings: CSGSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.comparisons = nn.ModuleDict()

    def prepare(self, network: Network, faces: int) -> None:  # noqa: ARG002
        """Copy the initial network and create the comparison of each stage.

        Args:
            network: the network with its initial weights.
            faces: not used.
        """
        assert isinstance(network, TwoStageNetwork)
        self.frozen = copy.deepcopy(network).requires_grad_(False).eval()
        for stage, channels in zip(STAGES, network.trunk.body.feature_info.channels()[-2:], strict=True):
            self.comparisons[stage] = Comparison(channels, self.options)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification loss and the contrastive loss of each stage.

        Args:
            batch: source faces.
            progress: not used.

        Returns:
            ``cls`` and ``contrast_STAGE``, weighted.
        """
        assert batch.faces is not None
        with torch.no_grad():
            frozen = self.frozen.eval().maps(batch.faces)
        losses = {"cls": self.classify(batch)}
        for stage, known in zip(STAGES, frozen, strict=True):
            apart = self.comparisons[stage](batch.source.auxiliary[stage], known)
            losses[f"contrast_{stage}"] = self.options.weight * apart
        return losses
