"""CSG: Contrastive Syn-to-Real Generalization (Chen et al., ICLR 2021). Source faces alone: it sees no target image.

Cross-entropy, and a pull towards what the trunk knew before it was trained:

    L = CE + .1 sum over the last two stages of  -log  exp(q k / T) / (exp(q k / T) + sum_n exp(q n / T))

q are the trained trunk's features of a face, k those of a frozen copy of the initial trunk, n a queue of the latter
from earlier faces, T = .07. Features are pooled by attention, a map v averaged with the weights <v_place, mean of v>
(those of the trained trunk for both), and taken through two layers to 128 numbers of unit length; the frozen side's two
layers are a moving average (.999) of the trained side's. The frozen trunk is no part of the model that is written out.

The paper that this project follows describes in its sentence on "CSG" a Gabor network, CSE-GResNet. Built is CSG, the
method of that name.

Different here: the queue holds 4,096 faces (65,536 in the authors' code, more than most sources have faces); both sides
see one view (the authors' show two random ones); the trained trunk's batch norm learns, as in every row (theirs is
frozen); maps are cut at 0 where their weights are formed, since trunks such as MobileNet-V2 end in linear layers. With
a trunk that starts at random there is nothing to preserve but its randomness: the row means most with ImageNet weights.
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
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings, PlainNetwork

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
    """Return maps ``(B, C, H, W)`` averaged over places ``(B, C)``, weighted by those of ``by`` near its own mean."""
    seen = relu(by)
    weights = torch.einsum("bchw,bc->bhw", seen, pooled(seen)) + 1e-6
    return torch.einsum("bchw,bhw->bc", maps, weights / weights.sum((1, 2), keepdim=True))


def contrastive_loss(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Return InfoNCE, a scalar: queries and their keys ``(B, D)``, negatives ``(N, D)``, all of unit length."""
    logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ negatives.T], 1) / temperature
    return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))


class TwoStageNetwork(PlainNetwork):
    """The plain network; its auxiliary outputs are the maps of the trunk's last two stages."""

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:  # noqa: ARG002
        """Look at faces; landmarks change nothing here."""
        before_last, last = self.maps(faces)
        features = pooled(self.squeeze(last))
        return self.say(features, self.head(features), before_last=before_last, last=last)

    def maps(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps ``(B, C, H, W)`` of the last two stages."""
        before_last, last = self.trunk.body(self.normalised(faces))[-2:]
        return before_last, last


class Comparison(nn.Module):
    """One stage's comparison of both trunks: two projections and the queue of negatives ``(N, D)``."""

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
        """Return the contrastive loss of both trunks' maps ``(B, C, H, W)``, and put the keys into the queue."""
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

    frozen: TwoStageNetwork

    def __init__(self, settings: CSGSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.comparisons = nn.ModuleDict()

    @classmethod
    def build_network(cls, settings: NetworkSettings, classes: int, size: int) -> TwoStageNetwork:
        """Return the plain network that shows its last two stages."""
        return TwoStageNetwork(settings, classes, size)

    def prepare(self, network: Network, faces: int) -> None:  # noqa: ARG002
        """Keep a copy of the network as it starts, and compare stages of its widths."""
        assert isinstance(network, TwoStageNetwork)
        self.frozen = copy.deepcopy(network).requires_grad_(False).eval()
        for stage, channels in zip(STAGES, network.trunk.body.feature_info.channels()[-2:], strict=True):
            self.comparisons[stage] = Comparison(channels, self.options)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification loss and the contrastive one of each stage."""
        assert batch.faces is not None
        with torch.no_grad():
            frozen = self.frozen.eval().maps(batch.faces)
        losses = {"cls": self.classify(batch)}
        for stage, known in zip(STAGES, frozen, strict=True):
            apart = self.comparisons[stage](batch.source.auxiliary[stage], known)
            losses[f"contrast_{stage}"] = self.options.weight * apart
        return losses
