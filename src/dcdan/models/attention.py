"""The dual attention block: spatial-group and channel-group self-attention with condensed keys and values.

Self-attention condensation: keys and values come from a smaller map, so attention costs less.

P: "implement self-attention condensation over every group". O: a depthwise convolution with the ratio as its stride,
then norm and AFC; at ratio 2 a 7x7 map becomes 4x4, and 49 queries meet 16 keys. Ratio 1 is plain attention.

Spatial-group and channel-group self-attention over a feature map.

P names both; R: grouped attention with condensed keys and values (CF-DAN) and channels as tokens (DaViT, Ding et al.,
ECCV 2022); O: the exact shapes. Both use PyTorch's fused ``scaled_dot_product_attention``.

The dual attention block: spatial and channel attention, a closed loop, and interactive learning between them.

The closed loop is CF-DAN's (R); the interaction is named by P, its formula is ours (O).

    Y_s = X + SA(X) + up(condensed(X)),  Y_c = X + CA(X)
    a = gate(W1 GAP(Y_c)) scales Y_s by channel;  b = gate(conv1x1(Y_s)) scales Y_c by place
    Z = AFC(BN(W3 [Y_s a ; Y_c b])) + X
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dcdan.core.errors import UsageError
from dcdan.models.afc import gate
from dcdan.models.domain_norm import fold
from dcdan.models.heads import pooled


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


WINDOW = 7


def window_side(side: int, most: int = WINDOW) -> int:
    """Return the side of the attention windows: the largest divisor of ``side`` that is at most ``most``.

    A side without a divisor from 3 on (11, 13, 22, ...) stays whole, since within 1 or 2 places there is nothing to
    attend to.
    """
    largest = max(d for d in range(1, most + 1) if side % d == 0)
    return largest if largest >= 3 else side


def to_windows(x: Tensor, rows: int, columns: int) -> Tensor:
    """Cut ``(B, C, H, W)`` into ``rows x columns`` windows: ``(B * rows * columns, C, H / rows, W / columns)``."""
    if rows == columns == 1:
        return x
    b, c, h, w = x.shape
    cut = x.reshape(b, c, rows, h // rows, columns, w // columns).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(b * rows * columns, c, h // rows, w // columns)


def from_windows(x: Tensor, rows: int, columns: int) -> Tensor:
    """Put windows back together: the inverse of :func:`to_windows`."""
    if rows == columns == 1:
        return x
    n, c, h, w = x.shape
    back = x.reshape(n // (rows * columns), rows, columns, c, h, w).permute(0, 3, 1, 4, 2, 5)
    return back.reshape(n // (rows * columns), c, rows * h, columns * w)


def attended(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return ``softmax(scale q k^T) v`` for queries ``(..., N, D)``, keys and values ``(..., M, D)``.

    In a graph for elsewhere it is spelt out: the exporter's own spelling has a dozen nodes about shapes.
    """
    if torch.compiler.is_exporting():
        return (q * scale @ k.transpose(-2, -1)).softmax(-1) @ v
    return scaled_dot_product_attention(q, k, v, scale=scale)


class SpatialGroupAttention(nn.Module):
    """Attention over the positions of a window within each channel group: ``(B, C, H, W)`` -> the same.

    Each of the G groups of C/G channels has projections of its own and ``heads`` heads; keys and values come from the
    condensed window. The result is ``SA(X) + up(condensed(X))``, the closed loop's additions without X itself.
    """

    def __init__(
        self, channels: int, groups: int, ratio: int, activation: Callable[[], nn.Module], heads: int = 2
    ) -> None:
        super().__init__()
        if channels % (groups * heads):
            raise UsageError(
                f"{channels} channels do not divide into {groups} groups of {heads} heads; "
                f"take a width that is a multiple of {groups * heads}."
            )
        self.heads = groups * heads
        self.condense = Condensation(channels, ratio, activation)
        self.query = nn.Conv2d(channels, channels, 1, groups=groups)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1, groups=groups)
        self.project = nn.Conv2d(channels, channels, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``SA(X) + up(condensed(X))``; at ratio 1, where nothing is condensed, ``SA(X)`` alone."""
        h, w = x.shape[-2:]
        rows, columns = h // window_side(h), w // window_side(w)
        windows = to_windows(x, rows, columns)
        fold(self.condense, rows * columns)
        condensed: Tensor = self.condense(windows)
        out = self.attend(windows, condensed)
        if self.condense.ratio > 1:
            out = out + enlarge(condensed, windows)
        return from_windows(out, rows, columns)

    def attend(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Multi-head attention from ``(N, C, h, w)`` to ``(N, C, h', w')`` within each group: ``(N, C, h, w)``."""
        n, c, h, w = queries.shape
        depth = c // self.heads
        q = self.query(queries).permute(0, 2, 3, 1).reshape(n, h * w, self.heads, depth).transpose(1, 2)
        kv = self.key_value(keys).permute(0, 2, 3, 1).reshape(n, -1, self.heads, 2 * depth).transpose(1, 2)
        out = attended(q, kv[..., :depth], kv[..., depth:], depth**-0.5)
        projected: Tensor = self.project(out.transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2))
        return projected


class ChannelGroupAttention(nn.Module):
    """Attention whose tokens are the channels of a group: ``(B, C, H, W)`` -> the same, ``CA(X)``.

    ``softmax(Q^T K / sqrt(C/G)) V^T`` per group; every token sees all positions, so the receptive field is global.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        if channels % groups:
            raise UsageError(
                f"{channels} channels do not divide into {groups} groups; take a width that is a multiple of {groups}."
            )
        self.groups = groups
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1, groups=groups)
        self.project = nn.Conv2d(channels, channels, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``CA(X)``."""
        b, c, h, w = x.shape
        depth = c // self.groups
        qkv = self.query_key_value(x).reshape(b, self.groups, 3 * depth, h * w)
        q, k, v = qkv.split(depth, dim=2)
        out = attended(q, k, v, depth**-0.5)
        projected: Tensor = self.project(out.reshape(b, c, h, w))
        return projected


Attention = Literal["dual", "spatial", "channel", "off"]


class DualAttention(nn.Module):
    """``(B, C, H, W)`` -> ``(B, C, H, W)``; ``attention`` names the branches that are there."""

    def __init__(
        self,
        channels: int,
        groups: int,
        ratio: int,
        activation: Callable[[], nn.Module],
        attention: Literal["dual", "spatial", "channel"] = "dual",
        interaction: bool = True,
    ) -> None:
        super().__init__()
        branches = 2 if attention == "dual" else 1
        self.spatial = SpatialGroupAttention(channels, groups, ratio, activation) if attention != "channel" else None
        self.channel = ChannelGroupAttention(channels, groups) if attention != "spatial" else None
        self.interaction = interaction and branches == 2
        if self.interaction:
            self.channel_gate = nn.Linear(channels, channels)
            self.place_gate = nn.Conv2d(channels, 1, 1)
        self.merge = nn.Conv2d(branches * channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """Return Z."""
        branches = [x + branch(x) for branch in (self.spatial, self.channel) if branch is not None]
        if self.interaction:
            y_s, y_c = branches
            by_channel = gate(self.channel_gate(pooled(y_c)))[:, :, None, None]
            by_place = gate(self.place_gate(y_s))
            branches = [y_s * by_channel, y_c * by_place]
        merged = torch.cat(branches, 1) if len(branches) > 1 else branches[0]
        out: Tensor = self.activation(self.norm(self.merge(merged))) + x
        return out
