"""EfficientFace (Zhao, Liu and Zhou, AAAI 2021). Source faces alone: it sees no target image.

Its two parts sit at stride 8 of the trunk, and what follows in the trunk sees their sum M(x) x + L(input), x the
stride-8 map and input the one that the stage which makes x is given:

    local-feature extractor L      the four quarters of the map, each with depthwise 3x3 convolutions of its own
    channel-spatial modulator M    sigmoid(channel(x) spatial(x)): two layers on the mean of each channel, times dilated
                                   3x3 convolutions to one map
    label distribution learning    cross-entropy against the softmax of a generator fine-tuned on the same faces

Different here: the generator is the moving average of the network itself instead of a ResNet-50 from a larger face set,
so labels teach the first half of the stage, and the generator's distributions the second; the trunk is the common one
instead of ShuffleNet-V2; pointwise convolutions join the depthwise ones where a trunk widens by no whole number.
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
from dcdan.models.network import NetworkSettings, PlainNetwork
from dcdan.models.trunk import Trunk

QUARTERS = 4


class EfficientFaceSettings(MethodSettings):
    """Settings of EfficientFace."""

    distributions_from: float = Field(default=0.5, ge=0, le=1)
    """Share of the stage after which the generator's distributions replace the labels; 1 never does."""


def to_quarters(maps: Tensor) -> Tensor:
    """Lay the quarters of maps side by side as channels: ``(B, C, H, W)`` -> ``(B, 4 C, H / 2, W / 2)``."""
    b, c, h, w = maps.shape
    return maps.reshape(b, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5).reshape(b, 4 * c, h // 2, w // 2)


def from_quarters(maps: Tensor) -> Tensor:
    """Put quarters back in their places: ``(B, 4 C, H, W)`` -> ``(B, C, 2 H, 2 W)``."""
    b, c, h, w = maps.shape
    return maps.reshape(b, 2, 2, c // 4, h, w).permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, 2 * h, 2 * w)


class LocalFeatures(nn.Sequential):
    """Map ``(B, inputs, H, W)`` -> ``(B, outputs, H / stride, W / stride)``; each quarter has its own weights."""

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
        """Look at each quarter by itself."""
        out = to_quarters(maps)
        for layer in self:
            out = layer(out)
        return from_quarters(out)


class Modulator(nn.Module):
    """Map ``(B, C, H, W)`` -> itself, times a weight in (0, 1) for each channel and place."""

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
        """Weigh channels and places."""
        channel: Tensor = self.channel(pooled(maps)[:, :, None, None])
        spatial: Tensor = self.spatial(maps)
        return (channel * spatial).sigmoid() * maps


def stride_eight_stage(trunk: Trunk) -> nn.Module:
    """Return the module of the trunk whose result is its stride-8 map; raise UsageError where there is none."""
    name = trunk.body.feature_info.module_name()[trunk.middle_index]
    modules: dict[str, nn.Module] = dict(trunk.body.named_modules())
    found = modules.get(name, modules.get(name.replace(".", "_")))
    if found is None:
        raise UsageError(f"EfficientFace finds no stage at stride 8 in '{trunk.name}'; take another network.trunk.")
    return found


def shapes_of(trunk: Trunk, stage: nn.Module) -> tuple[torch.Size, torch.Size]:
    """Return the shapes of a stage's input and output for one face of 64 pixels."""
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

    They stand beside the trunk and not in it, so that its weights keep timm's names: the stage's result is exchanged
    on its way to the next.
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
        """Return the sum of the modulated map and the local features, as a hook of the stage."""
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

    def __init__(self, settings: EfficientFaceSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings

    @classmethod
    def build_network(cls, settings: NetworkSettings, classes: int, size: int) -> EfficientFaceNetwork:
        """Return the plain network with both parts at stride 8."""
        return EfficientFaceNetwork(settings, classes, size)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the cross-entropy against the labels, or later against the generator's distributions."""
        if progress < self.options.distributions_from:
            return {"cls": self.classify(batch)}
        assert batch.teacher is not None
        return {"cls": self.classify(replace(batch, labels=batch.teacher.fused.softmax(1)))}
