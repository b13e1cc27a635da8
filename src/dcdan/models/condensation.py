"""Self-attention condensation: keys and values come from a smaller map, so attention costs less.

P: "implement self-attention condensation over every group". O: a depthwise convolution with the ratio as its stride,
then norm and AFC; at ratio 2 a 7x7 map becomes 4x4, and 49 queries meet 16 keys. Ratio 1 is plain attention.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class Condensation(nn.Sequential):
    """``(B, C, H, W)`` -> ``(B, C, ceil(H / ratio), ceil(W / ratio))``; the identity at ratio 1."""

    def __init__(self, channels: int, ratio: int, activation: Callable[[], nn.Module]) -> None:
        if ratio not in (1, 2, 4):
            raise ValueError(f"The condensation ratio is 1, 2 or 4, not {ratio}.")
        self.ratio = ratio
        if ratio == 1:
            super().__init__(nn.Identity())
            return
        kernel = 2 * ratio - 1
        super().__init__(
            nn.Conv2d(channels, channels, kernel, stride=ratio, padding=ratio - 1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            activation(),
        )


def enlarge(condensed: Tensor, like: Tensor) -> Tensor:
    """Return a condensed map ``(B, C, h, w)`` at the size of ``like`` ``(B, C, H, W)``, bilinearly."""
    if condensed.shape[-2:] == like.shape[-2:]:
        return condensed
    return nn.functional.interpolate(condensed, size=like.shape[-2:], mode="bilinear", align_corners=False)
