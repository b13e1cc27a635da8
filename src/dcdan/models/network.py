"""The network of the paper (Figure 1): a trunk, a global and a local branch, and the semantic-aware module.

Source and target faces form one concatenated batch. :class:`NetworkSettings` contains all that is needed to rebuild the
network of a checkpoint.

:class:`PlainNetwork` is the network of baselines that classify as in their papers: trunk, global average pooling, one
linear head. The 1x1 convolution before the pooling remains, so that features have the same width for every method of a
table; attention and local branch are off. All three heads return the logits of its one head, so that the exported graph
has the same outputs: the fused head decides, and the five region weights are .2 each.
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
from dcdan.models.pretrained_trunks import input_scaling
from dcdan.models.regions import LocalBranch
from dcdan.models.trunk import Trunk

Activation = Literal["afc", "gelu", "relu"]
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""
CONTRAST_MEAN, CONTRAST_DEVIATION = 0.5, 0.22
"""Mean and standard deviation of every face after contrast normalisation, about those of an average photograph."""
LEAST_DEVIATION = 1 / 64
"""Standard deviation below which a face's contrast is not raised further: it would be noise."""


class NetworkSettings(BaseModel):
    """The architecture of the network. Most fields are ablation switches (docs/method.md, "Settings").

    Example:
        >>> NetworkSettings(attention="off").local_branch
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trunk: str = "mobilenetv2_100"
    """Any timm model with maps at strides 8 and 16."""
    init: str = ""
    """Safetensors file with tensors of the trunk's timm model, from which training starts; empty for none. It does not
    belong to the architecture, so ``model.json`` leaves it out."""
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
    """Whether each domain has its own batch-norm statistics, or both have common ones."""
    grey: bool = False
    """Whether every face is converted to grey first, for models whose source faces are grey."""
    contrast: bool = False
    """Whether the contrast of every face is normalised first, see :func:`normalise_contrast`."""
    actions: int = Field(default=0, ge=0, le=1000)
    """Number of facial actions that a linear head on both branches' features estimates; 0 for no such head."""


class NetworkOutputs(NamedTuple):
    """Outputs of the network for B faces."""

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
    """The module that computed the logits, for methods that apply it to other features."""
    auxiliary: Mapping[str, Tensor] = MappingProxyType({})
    """Auxiliary outputs by name, ``(B, ...)`` each: ``actions`` ``(B, A)`` with the setting of that name, and outputs
    that only one method uses."""

    def split(self, sources: int) -> tuple[NetworkOutputs, NetworkOutputs]:
        """Divide the outputs into those of source and target faces.

        Args:
            sources: number of source faces at the start of the batch.

        Returns:
            Outputs of the first ``sources`` faces, and of the others.
        """
        return self.part(slice(sources)), self.part(slice(sources, None))

    def part(self, which: slice) -> NetworkOutputs:
        """Return the outputs of some of the faces.

        Args:
            which: slice of the batch.

        Returns:
            Their outputs.
        """
        logits = Logits(*(head[which] for head in self.logits))
        regions = None if self.regions is None else self.regions[which]
        weights = self.region_weights[which]
        auxiliary = {name: value[which] for name, value in self.auxiliary.items()}
        of_global, of_local = self.of_global[which], self.of_local[which]
        return NetworkOutputs(of_global, of_local, logits, weights, regions, self.heads, auxiliary)


def activation_of(name: Activation) -> Callable[[], nn.Module]:
    """Return a factory of the named activation.

    Args:
        name: ``afc``, ``gelu`` or ``relu``.

    Returns:
        A function that makes a new layer.

    Example:
        >>> activation_of("gelu")()
        GELU(approximate='none')
    """
    makers: dict[Activation, Callable[[], nn.Module]] = {
        "afc": AFC,
        "gelu": nn.GELU,
        "relu": partial(nn.ReLU, inplace=True),
    }
    return makers[name]


def normalise_contrast(faces: Tensor) -> Tensor:
    """Give every face the same mean and standard deviation, over all its channels and places.

    ``x -> (x - mean) / max(deviation, 1/64) * 0.22 + 0.5`` with the unbiased standard deviation of the face.

    Args:
        faces: ``(B, C, H, W)`` float, usually in [0, 1].

    Returns:
        ``(B, C, H, W)`` of mean 0.5 and deviation 0.22; values may leave [0, 1]. A face of one brightness is 0.5.

    Example:
        >>> normalise_contrast(torch.tensor([0.2, 0.4]).reshape(1, 1, 1, 2)).flatten()
        tensor([0.3444, 0.6556])
    """
    mean = faces.mean((1, 2, 3), keepdim=True)
    deviation = faces.std((1, 2, 3), keepdim=True).clamp_min(LEAST_DEVIATION)
    return (faces - mean) / deviation * CONTRAST_DEVIATION + CONTRAST_MEAN


class Network(nn.Module):
    """The network, from faces to :class:`NetworkOutputs`.

    Args:
        settings: the architecture.
        classes: number of classes K.
        size: face side in pixels.
    """

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
        self.actions = nn.Linear(2 * settings.width, settings.actions) if settings.actions else None
        mean, deviation = input_scaling(settings.trunk)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA)[:, None, None], persistent=False)
        if settings.batch_norm == "per-domain":
            with_domains(self)

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:
        """Compute the outputs for a batch of faces.

        Args:
            faces: ``(B, 3, S, S)`` or ``(B, 1, S, S)`` float in [0, 1].
            landmarks: ``(B, 5, 2)`` in units of the face side, to cut the regions around; the template's when None.

        Returns:
            The outputs.
        """
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
            logits = logits._replace(of_local=logits.of_global)  # a missing branch must not vote
        auxiliary = {}
        if self.actions is not None:
            auxiliary["actions"] = self.actions(torch.cat([of_global, of_local], 1))
        return NetworkOutputs(of_global, of_local, logits, weights, regions, self.semantic, auxiliary)

    def normalised(self, faces: Tensor) -> Tensor:
        """Return faces in the input range of the trunk: grey, contrast, three channels, scaling of the trunk.

        An exported graph computes the scaling as a 1x1 convolution: with channels last, as in int8 graphs, ONNX Runtime
        takes an eighth to a third of the network's time to subtract and divide by channel.

        Args:
            faces: ``(B, 3, S, S)`` or ``(B, 1, S, S)`` float in [0, 1].

        Returns:
            ``(B, 3, S, S)`` float.
        """
        settings = self.settings
        exporting = torch.compiler.is_exporting() and faces.shape[1] == 3
        if settings.grey and faces.shape[1] == 3 and (settings.contrast or not exporting):
            faces = functional.conv2d(faces, self.luma[None]) if exporting else (faces * self.luma).sum(1, keepdim=True)
        if settings.contrast:
            faces = normalise_contrast(faces)
        if exporting:
            if faces.shape[1] == 1:
                mixed = faces.new_ones(3, 1, 1, 1)
            else:
                mixed = self.luma.expand(3, 3, 1, 1) if settings.grey else torch.eye(3)[..., None, None]
            bias = -(self.mean / self.deviation).flatten()
            return functional.conv2d(faces, mixed / self.deviation[:, None], bias)
        return (faces - self.mean) / self.deviation

    def heads(self) -> tuple[nn.Linear, ...]:
        """Return the layers whose outputs are logits.

        Returns:
            The fused, global and local head.
        """
        return self.semantic.fused, self.semantic.of_global, self.semantic.of_local

    @torch.no_grad()
    def apply_prior_bias(self, counts: Tensor, strength: float) -> None:
        """Add ``strength * log prior`` to the logits of all heads, by changing their biases.

        It restores part of what logit adjustment subtracts from common classes in training (Menon et al., ICLR 2021).

        Args:
            counts: ``(K,)`` class counts, from which the prior is computed.
            strength: strength in [0, 1].
        """
        shares = counts.clamp_min(1) / counts.clamp_min(1).sum()
        for head in self.heads():
            head.bias.add_(strength * shares.log().to(head.bias))

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the parameters of the trunk, and those of everything else.

        Returns:
            Two lists.
        """
        of_trunk = list(self.trunk.parameters())
        known = {id(parameter) for parameter in of_trunk}
        return of_trunk, [parameter for parameter in self.parameters() if id(parameter) not in known]


PLAIN = {"attention": "off", "local_branch": False, "actions": 0}
"""Settings that a :class:`PlainNetwork` overrides."""


class PlainNetwork(Network):
    """The network of baselines: one linear head on pooled features, whose logits all three heads return.

    The global and the local features are both the input of the head, ``(B, features)``.

    Args:
        settings: the architecture; ``PLAIN`` overrides it.
        classes: number of classes K.
        size: face side in pixels.
        features: inputs of the head; None for the width of the settings.
    """

    def __init__(self, settings: NetworkSettings, classes: int, size: int, features: int | None = None) -> None:
        """``features`` of the head, where they are not the ``width`` of the settings."""
        super().__init__(settings.model_copy(update=PLAIN), classes, size)
        del self.semantic
        self.head = nn.Linear(features or settings.width, classes)

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:  # noqa: ARG002
        """Compute the outputs for a batch of faces.

        Args:
            faces: ``(B, 3, S, S)`` or ``(B, 1, S, S)`` float in [0, 1].
            landmarks: not used.

        Returns:
            The outputs.
        """
        features = self.pooled_features(self.normalised(faces))
        return self.single_head_outputs(features, self.head(features))

    def heads(self) -> tuple[nn.Linear, ...]:
        """Return the only head.

        Returns:
            A tuple of one layer.
        """
        return (self.head,)

    def pooled_features(self, normalised: Tensor) -> Tensor:
        """Return the pooled features of normalised faces.

        Args:
            normalised: ``(B, 3, S, S)`` as :meth:`normalised` returns.

        Returns:
            ``(B, width)``.
        """
        return pooled(self.squeeze(self.trunk(normalised)[1]))

    def single_head_outputs(self, features: Tensor, logits: Tensor, **auxiliary: Tensor) -> NetworkOutputs:
        """Return the outputs of a network with one head.

        Args:
            features: ``(B, features)``.
            logits: ``(B, K)``.
            **auxiliary: auxiliary outputs by name.

        Returns:
            The outputs.
        """
        even = features.new_full((features.shape[0], 5), 0.2)
        return NetworkOutputs(features, features, Logits(logits, logits, logits), even, auxiliary=auxiliary)
