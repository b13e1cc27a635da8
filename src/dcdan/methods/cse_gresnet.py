"""CSE-GResNet: channel-shift-enhancement Gabor network (Jiang et al., TAFFC 2023). Trains on source faces only.

The network that the sentence on "CSG" in the paper of this project describes. Three parts:

    Gabor convolution        weights w * g_u, where g_u is a real Gabor filter of one of U = 4 orientations and of a
                             scale that grows with depth (Luan et al., Gabor Convolutional Networks, TIP 2018)
    channel shift            an eighth of the channels take the values of the next channel, an eighth of the previous
    channel enhancement      each channel is gated by a 1-D convolution over its neighbours' means, beside the identity

    L = CE

Our reading of its abstract. The Gabor filters multiply every convolution of the common trunk with a kernel of 3 or
more, in ResNet-50 the 3x3 ones and in MobileNet-V2 the depthwise ones. Output channel o has orientation o mod U. The
authors' shift and enhancement follow each block; here they stand once, after the trunk's last map.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dcdan.methods.base import Batch, SourceMethod, register
from dcdan.models.heads import pooled
from dcdan.models.network import Network, NetworkSettings, PlainNetwork

ORIENTATIONS = 4
SCALES = (2, 3, 4)
"""Scales of the Gabor filters, from the first layer to the last. At scale 1 the outer taps of a kernel of 3 are 0."""


def gabor_filters(side: int, scale: int, orientations: int = ORIENTATIONS) -> Tensor:
    """Return real Gabor filters (Luan et al., Eq. 1), each divided by its largest magnitude.

    ``exp(-|z|^2 k^2 / (2 s^2)) cos(k (x cos a + y sin a))`` with ``s = pi``, ``k = (pi / 2) / sqrt(2)^(scale - 1)`` and
    the angle ``a = u pi / U`` of orientation u.

    Args:
        side: side of the kernel in taps.
        scale: the scale, from 1.
        orientations: number U of orientations.

    Returns:
        ``(U, side, side) float32``; 1 at the centre of an odd kernel.

    Example:
        >>> gabor_filters(3, 1)[:, 1, 1].tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    taps = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    y, x = taps[:, None], taps[None]
    frequency = (math.pi / 2) / math.sqrt(2) ** (scale - 1)
    envelope = torch.exp(-(x**2 + y**2) * frequency**2 / (2 * math.pi**2))
    angles = [math.pi * u / orientations for u in range(orientations)]
    waves = [torch.cos(frequency * (x * math.cos(a) + y * math.sin(a))) for a in angles]
    filters = torch.stack([envelope * wave for wave in waves])
    return (filters / filters.abs().amax((1, 2), keepdim=True)).float()


@cache
def gabor_class(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    """Return a kind of convolution whose weights are multiplied by the buffer ``gabor`` wherever they are used.

    The parameter keeps its name, so that pre-trained weights load as into the plain layer.

    Args:
        kind: the class of a convolution.

    Returns:
        A subclass.
    """

    def weight(layer: nn.Conv2d) -> Tensor:
        own = layer._parameters["weight"]
        assert own is not None
        return own * layer.get_buffer("gabor").to(own.dtype)

    return type(f"Gabor{kind.__name__}", (kind,), {"weight": property(weight)})


def with_gabor(body: nn.Module) -> int:
    """Turn every convolution of a trunk with a kernel of 3 or more into a Gabor convolution, in place.

    Args:
        body: the trunk.

    Returns:
        How many were changed.
    """
    layers = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size[0] >= 3]
    for number, layer in enumerate(layers):
        filters = gabor_filters(layer.kernel_size[0], SCALES[number * len(SCALES) // len(layers)])
        own = filters[torch.arange(layer.out_channels) % ORIENTATIONS][:, None]
        layer.register_buffer("gabor", own, persistent=False)
        kind: Any = type(layer)
        layer.__class__ = gabor_class(kind)
    return len(layers)


def shifted_channels(x: Tensor, share: int = 8) -> Tensor:
    """Return a map of which a part of the channels is moved on by one, and a part back.

    Args:
        x: ``(B, C, H, W)``.
        share: one in so many channels is moved each way; at least one.

    Returns:
        ``(B, C, H, W)``: the first part holds the channels after it, the second those before; zeros at the ends.
    """
    channels = x.shape[1]
    part = max(channels // share, 1)
    zero = torch.zeros_like(x[:, :1])
    after, before = torch.cat([x[:, 1:], zero], 1), torch.cat([zero, x[:, :-1]], 1)
    return torch.cat([after[:, :part], before[:, part : 2 * part], x[:, 2 * part :]], 1)


class ChannelEnhancement(nn.Module):
    """Gate each channel by its neighbours' means, beside the identity, ``(B, C, H, W)`` to the same shape.

    Args:
        taps: channels that a gate looks at.
    """

    def __init__(self, taps: int = 3) -> None:
        super().__init__()
        self.neighbours = nn.Conv1d(1, 1, taps, padding=taps // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance the channels.

        Args:
            x: ``(B, C, H, W)``.

        Returns:
            ``(B, C, H, W)``.
        """
        gate = self.neighbours(x.mean((2, 3))[:, None]).sigmoid().squeeze(1)
        enhanced: Tensor = x + x * gate[:, :, None, None]
        return enhanced


class GaborNetwork(PlainNetwork):
    """The plain network on Gabor convolutions, with channel shift and enhancement after the trunk."""

    def __init__(self, settings: NetworkSettings, classes: int, size: int) -> None:
        super().__init__(settings, classes, size)
        with_gabor(self.trunk.body)
        self.enhance = ChannelEnhancement()

    def pooled_features(self, normalised: Tensor) -> Tensor:
        """Return the pooled features of normalised faces.

        Args:
            normalised: ``(B, 3, S, S)`` as :meth:`normalised` returns.

        Returns:
            ``(B, width)``.
        """
        last = self.trunk(normalised)[1]
        return pooled(self.squeeze(self.enhance(shifted_channels(last))))


@register
class CSEGResNet(SourceMethod):
    """Gabor convolutions with a shift and an enhancement of channels."""

    name: ClassVar[str] = "cse_gresnet"
    title: ClassVar[str] = "CSE-GResNet"
    paper: ClassVar[str] = "Jiang et al., CSE-GResNet: A Simple and Highly Efficient Network for FER, TAFFC 2023"
    reading: ClassVar[str] = "our reading of its abstract"
    network_class: ClassVar[type[Network]] = GaborNetwork

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification loss.

        Args:
            batch: source faces.
            progress: not used.

        Returns:
            ``cls``.
        """
        return {"cls": self.classify(batch)}
