"""The network of the paper (Figure 1), and the plain network of the baselines.

The network of the paper (Figure 1): trunk, global and local branch, semantic-aware module.

Source and target go through it in one concatenated batch. Everything that a checkpoint needs to rebuild it is in
:class:`NetworkSettings`.

The network of baselines that classify as their papers do: trunk, global average pooling, one linear head.

The 1x1 convolution before the pooling stays, so that features have the same width in every row of a table; attention
and local branch are off. What has one head says its logits three times, and the exported model keeps its form: the
fused head decides, and the five regions, which nobody looks at, weigh alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from dcdan.models.afc import AFC
from dcdan.models.attention import Attention, DualAttention
from dcdan.models.domain_norm import with_domains
from dcdan.models.heads import Logits, SemanticModule, pooled
from dcdan.models.regions import LocalBranch
from dcdan.models.trunk import Trunk

Activation = Literal["afc", "gelu", "relu"]
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""


class NetworkSettings(BaseModel):
    """The shape of the network; each field but the first two is an ablation switch of the method's section 5."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trunk: str = "mobilenetv2_100"
    """Any timm model with maps at strides 8 and 16."""
    width: int = Field(default=256, ge=32, le=2048)
    """Width of both branches' features."""
    groups: int = Field(default=8, ge=1, le=64)
    """Channel groups of the two attentions."""
    attention: Attention = "dual"
    """Which attention the global branch has."""
    condensation: Literal[1, 2, 4] = 2
    """How much smaller keys and values are on each side; 1 is plain attention."""
    interaction: bool = True
    """Whether the two attentions gate each other."""
    activation: Activation = "afc"
    """The activation of the branches; the trunk keeps its own."""
    local_branch: bool = True
    """Whether there is a local branch."""
    batch_norm: Literal["per-domain", "shared"] = "per-domain"
    """Whose statistics normalise a face: its domain's, or those of both together."""
    grey: bool = False
    """Whether colour is taken from every face first: for sources that are grey, whose model never saw any."""


class NetworkOutputs(NamedTuple):
    """What the network says of B faces."""

    of_global: Tensor
    """Global features ``(B, width)``."""
    of_local: Tensor
    """Local features ``(B, width)``."""
    logits: Logits
    """Logits ``(B, K)`` of the three heads."""
    region_weights: Tensor
    """``(B, 5)``, rows sum to 1."""
    regions: Tensor | None = None
    """Features ``(B, 5, width)`` of the five regions before they are merged; None without a local branch."""
    heads: SemanticModule | None = None
    """The module whose logits these are, for methods that ask it about features of their own."""
    auxiliary: Mapping[str, Tensor] = MappingProxyType({})
    """What the network of a single method says beside this, by name: ``(B, ...)`` each."""

    def split(self, sources: int) -> tuple[NetworkOutputs, NetworkOutputs]:
        """Return the outputs of the first ``sources`` faces and of the others."""
        return self.part(slice(sources)), self.part(slice(sources, None))

    def part(self, which: slice) -> NetworkOutputs:
        """Return the outputs of some of the faces."""
        logits = Logits(*(head[which] for head in self.logits))
        regions = None if self.regions is None else self.regions[which]
        weights = self.region_weights[which]
        auxiliary = {name: value[which] for name, value in self.auxiliary.items()}
        return NetworkOutputs(
            self.of_global[which], self.of_local[which], logits, weights, regions, self.heads, auxiliary
        )


def activation_of(name: Activation) -> Callable[[], nn.Module]:
    """Return the maker of the named activation."""
    makers: dict[Activation, Callable[[], nn.Module]] = {
        "afc": AFC,
        "gelu": nn.GELU,
        "relu": partial(nn.ReLU, inplace=True),
    }
    return makers[name]


class Network(nn.Module):
    """Faces ``(B, 3 or 1, S, S)`` float in [0, 1] -> :class:`NetworkOutputs` for ``classes`` expressions."""

    mean: Tensor
    deviation: Tensor
    luma: Tensor

    def __init__(self, settings: NetworkSettings, classes: int, size: int) -> None:
        super().__init__()
        activation = activation_of(settings.activation)
        self.settings = settings
        self.trunk = Trunk(settings.trunk)
        shape = self.trunk.shape
        self.squeeze = nn.Sequential(
            nn.Conv2d(shape.last, settings.width, 1, bias=False), nn.BatchNorm2d(settings.width)
        )
        self.attention: nn.Module = (
            nn.Identity()
            if settings.attention == "off"
            else DualAttention(
                settings.width,
                settings.groups,
                settings.condensation,
                activation,
                settings.attention,
                settings.interaction,
            )
        )
        self.local = (
            LocalBranch(shape.middle, -(-size // 8), settings.width, activation) if settings.local_branch else None
        )
        self.semantic = SemanticModule(settings.width, classes)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA)[:, None, None], persistent=False)
        if settings.batch_norm == "per-domain":
            with_domains(self)

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:
        """Look at faces; landmarks ``(B, 5, 2)`` in units of the face side override the fixed regions."""
        middle, last = self.trunk(self.normalised(faces))
        of_global = pooled(self.attention(self.squeeze(last)))
        if self.local is None:
            of_local = torch.zeros_like(of_global)
            weights = of_global.new_full((of_global.shape[0], 5), 0.2)
            regions = None
        else:
            of_local, weights, regions = self.local(middle, landmarks)
        logits = self.semantic(of_global, of_local)
        if self.local is None and not self.training:
            logits = logits._replace(of_local=logits.of_global)  # a branch that is not there must not vote
        return NetworkOutputs(of_global, of_local, logits, weights, regions, self.semantic)

    def normalised(self, faces: Tensor) -> Tensor:
        """Return faces ``(B, 3 or 1, S, S)`` in [0, 1] as the trunk takes them, in three channels.

        In a graph for elsewhere it is a 1 x 1 convolution: where channels lie last, as in int8, ONNX Runtime takes an
        eighth to a third of the network's time to subtract and divide by channel.
        """
        if torch.compiler.is_exporting() and faces.shape[1] == 3:
            mixed = self.luma.expand(3, 3, 1, 1) if self.settings.grey else torch.eye(3)[..., None, None]
            bias = -(self.mean / self.deviation).flatten()
            return functional.conv2d(faces, mixed / self.deviation[:, None], bias)
        if self.settings.grey and faces.shape[1] == 3:
            faces = (faces * self.luma).sum(1, keepdim=True)
        return (faces - self.mean) / self.deviation

    def heads(self) -> tuple[nn.Linear, ...]:
        """Return the layers whose outputs are logits."""
        return self.semantic.fused, self.semantic.of_global, self.semantic.of_local

    @torch.no_grad()
    def apply_prior_bias(self, counts: Tensor, strength: float) -> None:
        """Add ``strength * log share`` of each class, by its ``counts`` ``(K,)``, to the logits of all heads for good.

        What logit adjustment takes from common classes in training (Menon et al., ICLR 2021) is so given back in part.
        """
        shares = counts.clamp_min(1) / counts.clamp_min(1).sum()
        for head in self.heads():
            head.bias.add_(strength * shares.log().to(head.bias))

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the trunk's parameters and those of everything built on it."""
        of_trunk = list(self.trunk.parameters())
        known = {id(parameter) for parameter in of_trunk}
        return of_trunk, [parameter for parameter in self.parameters() if id(parameter) not in known]


class PlainNetwork(Network):
    """Faces ``(B, 3 or 1, S, S)`` float in [0, 1] -> :class:`NetworkOutputs` whose three heads agree.

    Features are those that the head sees, global and local alike: ``(B, features)``.
    """

    def __init__(self, settings: NetworkSettings, classes: int, size: int, features: int | None = None) -> None:
        """``features`` of the head, where they are not the ``width`` of the settings."""
        super().__init__(settings.model_copy(update={"attention": "off", "local_branch": False}), classes, size)
        del self.semantic
        self.head = nn.Linear(features or settings.width, classes)

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:  # noqa: ARG002
        """Look at faces; landmarks change nothing here."""
        features = self.look(self.normalised(faces))
        return self.say(features, self.head(features))

    def heads(self) -> tuple[nn.Linear, ...]:
        """Return the one head."""
        return (self.head,)

    def look(self, normalised: Tensor) -> Tensor:
        """Return the features ``(B, width)`` of faces as :meth:`normalised` leaves them."""
        return pooled(self.squeeze(self.trunk(normalised)[1]))

    def say(self, features: Tensor, logits: Tensor, **auxiliary: Tensor) -> NetworkOutputs:
        """Return the outputs of one head: features ``(B, features)`` and logits ``(B, K)``."""
        even = features.new_full((features.shape[0], 5), 0.2)
        return NetworkOutputs(features, features, Logits(logits, logits, logits), even, auxiliary=auxiliary)
