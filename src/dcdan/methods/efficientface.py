"""EfficientFace (Zhao, Liu and Zhou, AAAI 2021). Trains on source faces only; uses no target images.

Two parts act at stride 8 of the trunk. The rest of the trunk receives M(x) x + L(input), with x the stride-8 map and
input the input of the stage that computes x:

    local-feature extractor L      the four quarters of the map, each with depthwise 3x3 convolutions of its own
    channel-spatial modulator M    sigmoid(channel(x) spatial(x)): two layers on the mean of each channel, times dilated
                                   3x3 convolutions to one map
    label distribution learning    cross-entropy against the softmax of a generator fine-tuned on the same faces

Differences from the paper: the generator is the moving average of the network itself instead of a ResNet-50 trained on
a larger face set. The first half of the stage therefore trains on labels, and the second on the distributions of the
generator. The trunk is the common one instead of ShuffleNet-V2. Pointwise convolutions accompany the depthwise ones
where a trunk does not widen by a whole number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dcdan.core.errors import UsageError
from dcdan.methods.base import Batch, MethodSettings, SourceMethod, register
from dcdan.models.domain_norm import with_domains
from dcdan.models.heads import pooled
from dcdan.models.network import Network, NetworkSettings, PlainNetwork
from dcdan.models.trunk import Trunk

QUARTERS = 4


class EfficientFaceSettings(MethodSettings):
    """Settings of EfficientFace."""

    distributions_from: float = Field(default=0.5, ge=0, le=1)
    """Share of the stage after which the generator's distributions replace the labels; 1 never does."""


def to_quarters(maps: Tensor) -> Tensor:
    """Rearrange the quarters of maps as channels.

    Args:
        maps: ``(B, C, H, W)`` with even H and W.

    Returns:
        ``(B, 4 C, H / 2, W / 2)``.
    """
    b, c, h, w = maps.shape
    return maps.reshape(b, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5).reshape(b, 4 * c, h // 2, w // 2)


def from_quarters(maps: Tensor) -> Tensor:
    """Put quarters back in their places; the inverse of :func:`to_quarters`.

    Args:
        maps: ``(B, 4 C, H, W)``.

    Returns:
        ``(B, C, 2 H, 2 W)``.
    """
    b, c, h, w = maps.shape
    return maps.reshape(b, 2, 2, c // 4, h, w).permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, 2 * h, 2 * w)


class LocalFeatures(nn.Sequential):
    """Local-feature extractor with separate weights for each quarter of the map.

    It maps ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``.

    Args:
        inputs: input channels.
        outputs: output channels.
        stride: stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        ins, outs = QUARTERS * inputs, QUARTERS * outputs
        super().__init__(
            nn.Conv2d(ins, ins, 3, stride=stride, padding=1, groups=ins, bias=False),
            nn.Conv2d(ins, outs, 1, groups=QUARTERS, bias=False),
            nn.BatchNorm2d(outs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outs, outs, 3, padding=1, groups=outs, bias=False),
            nn.BatchNorm2d(outs),
            nn.ReLU(inplace=True),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Extract the features of each quarter.

        Args:
            maps: ``(B, inputs, H, W)``.

        Returns:
            ``(B, outputs, H / stride, W / stride)``.
        """
        out = to_quarters(maps)
        for layer in self:
            out = layer(out)
        return from_quarters(out)


class Modulator(nn.Module):
    """Multiply a map by a weight in (0, 1) for each channel and place.

    Args:
        channels: channels of the map.
        reduction: factor by which the hidden layers are narrower.
        dilation: dilation of the 3x3 convolutions.
    """

    def __init__(self, channels: int, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)

        def step(inputs: int, size: int) -> list[nn.Module]:
            padding = dilation if size == 3 else 0
            convolution = nn.Conv2d(inputs, hidden, size, padding=padding, dilation=padding or 1, bias=False)
            return [convolution, nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)]

        self.channel = nn.Sequential(*step(channels, 1), nn.Conv2d(hidden, channels, 1))
        self.spatial = nn.Sequential(*step(channels, 1), *step(hidden, 3), *step(hidden, 3), nn.Conv2d(hidden, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Weight channels and places.

        Args:
            maps: ``(B, C, H, W)``.

        Returns:
            ``(B, C, H, W)``.
        """
        channel: Tensor = self.channel(pooled(maps)[:, :, None, None])
        spatial: Tensor = self.spatial(maps)
        return (channel * spatial).sigmoid() * maps


def stride_eight_stage(trunk: Trunk) -> nn.Module:
    """Return the module of a trunk that outputs its stride-8 map.

    Args:
        trunk: the trunk.

    Returns:
        The module.

    Raises:
        UsageError: when the trunk has no such module.
    """
    name = trunk.body.feature_info.module_name()[trunk.middle_index]
    modules: dict[str, nn.Module] = dict(trunk.body.named_modules())
    found = modules.get(name, modules.get(name.replace(".", "_")))
    if found is None:
        raise UsageError(f"EfficientFace finds no stage at stride 8 in '{trunk.name}'; take another network.trunk.")
    return found


def shapes_of(trunk: Trunk, stage: nn.Module) -> tuple[torch.Size, torch.Size]:
    """Return the shapes of a stage's input and output for one face of 64 pixels.

    Args:
        trunk: the trunk.
        stage: a module of it.

    Returns:
        ``(1, C, H, W)`` of the input and of the output.
    """
    shapes: list[torch.Size] = []
    hook = stage.register_forward_hook(lambda _, given, made: shapes.extend((given[0].shape, made.shape)))
    training = trunk.training
    with torch.no_grad():
        trunk.eval()(torch.zeros(1, 3, 64, 64))
    trunk.train(training)
    hook.remove()
    return shapes[0], shapes[1]


class EfficientFaceNetwork(PlainNetwork):
    """The plain network with the local-feature extractor and the modulator at stride 8 of its trunk.

    Both parts are outside the trunk, so that its weights have timm's names; a hook replaces the output of the stage.
    """

    def __init__(self, settings: NetworkSettings, classes: int, size: int) -> None:
        super().__init__(settings, classes, size)
        stage = stride_eight_stage(self.trunk)
        given, made = shapes_of(self.trunk, stage)
        self.local_features = LocalFeatures(given[1], made[1], given[2] // made[2])
        self.modulator = Modulator(made[1])
        if settings.batch_norm == "per-domain":
            with_domains(self)
        stage.register_forward_hook(self.exchange)

    def exchange(self, stage: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:  # noqa: ARG002
        """Return the sum of the modulated map and the local features, as a forward hook of the stage.

        Args:
            stage: not used.
            given: inputs of the stage.
            made: ``(B, C, H, W)`` output of the stage.

        Returns:
            ``(B, C, H, W)``.
        """
        modulated: Tensor = self.modulator(made)
        local: Tensor = self.local_features(given[0])
        return modulated + local


@register
class EfficientFace(SourceMethod):
    """Training on labels, then on label distributions from the moving average of the network."""

    name: ClassVar[str] = "efficientface"
    title: ClassVar[str] = "EfficientFace"
    paper: ClassVar[str] = (
        "Zhao et al., Robust Lightweight Facial Expression Recognition Network with Label Distribution Training, "
        "AAAI 2021"
    )
    uses_teacher: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = EfficientFaceSettings
    network_class: ClassVar[type[Network]] = EfficientFaceNetwork

    def __init__(self, settings: EfficientFaceSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the cross-entropy against the labels or, later, against the distributions of the generator.

        Args:
            batch: source faces, with the teacher's logits.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``.
        """
        if progress < self.options.distributions_from:
            return {"cls": self.classify(batch)}
        assert batch.teacher is not None
        return {"cls": self.classify(replace(batch, labels=batch.teacher.fused.softmax(1)))}
