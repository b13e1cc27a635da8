"""The dual attention block: spatial-group and channel-group self-attention with condensed keys and values.

From the paper: both attentions, "self-attention condensation over every group", and interactive learning between the
branches. From related work: grouped attention with condensed keys and values and the closed loop (CF-DAN), and channels
as tokens (DaViT; Ding et al., ECCV 2022). From this project: exact shapes and the formula of the interaction.

Keys and values come from a smaller map: a depthwise convolution with the ratio as its stride, then norm and AFC. At
ratio 2 a 7x7 map becomes 4x4, and 49 queries meet 16 keys. Ratio 1 is plain attention. Both attentions use PyTorch's
fused ``scaled_dot_product_attention``.

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
    """Reduce a map by a strided depthwise convolution; the identity at ratio 1.

    It maps ``(B, C, H, W)`` to ``(B, C, ceil(H / ratio), ceil(W / ratio))``.

    Args:
        channels: channels C.
        ratio: 1, 2 or 4.
        activation: makes the activation.

    Raises:
        ValueError: for another ratio.
    """

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
    """Resize a condensed map bilinearly to the size of another.

    Args:
        condensed: ``(B, C, h, w)``.
        like: ``(B, C, H, W)``.

    Returns:
        ``(B, C, H, W)``.
    """
    if condensed.shape[-2:] == like.shape[-2:]:
        return condensed
    return nn.functional.interpolate(condensed, size=like.shape[-2:], mode="bilinear", align_corners=False)


WINDOW = 7


def window_side(side: int, most: int = WINDOW) -> int:
    """Return the side of the attention windows: the largest divisor of ``side`` that is at most ``most``.

    A side without a divisor of 3 or more (11, 13, 22, ...) is not divided, because windows of 1 or 2 places are too
    small for attention.

    Args:
        side: side of the map.
        most: largest side of a window.

    Returns:
        The side of a window.

    Example:
        >>> window_side(14), window_side(11)
        (7, 11)
    """
    largest = max(d for d in range(1, most + 1) if side % d == 0)
    return largest if largest >= 3 else side


def to_windows(x: Tensor, rows: int, columns: int) -> Tensor:
    """Divide maps into windows.

    Args:
        x: ``(B, C, H, W)``.
        rows: windows along H, a divisor of it.
        columns: windows along W, a divisor of it.

    Returns:
        ``(B * rows * columns, C, H / rows, W / columns)``.
    """
    if rows == columns == 1:
        return x
    b, c, h, w = x.shape
    cut = x.reshape(b, c, rows, h // rows, columns, w // columns).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(b * rows * columns, c, h // rows, w // columns)


def from_windows(x: Tensor, rows: int, columns: int) -> Tensor:
    """Combine windows into maps; the inverse of :func:`to_windows`.

    Args:
        x: ``(B * rows * columns, C, h, w)``.
        rows: windows along the height.
        columns: windows along the width.

    Returns:
        ``(B, C, rows * h, columns * w)``.
    """
    if rows == columns == 1:
        return x
    n, c, h, w = x.shape
    back = x.reshape(n // (rows * columns), rows, columns, c, h, w).permute(0, 3, 1, 4, 2, 5)
    return back.reshape(n // (rows * columns), c, rows * h, columns * w)


def attended(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return ``softmax(scale q k^T) v``.

    An exported graph contains the formula itself, because the exporter's version adds a dozen nodes for shapes.

    Args:
        q: ``(..., N, D)`` queries.
        k: ``(..., M, D)`` keys.
        v: ``(..., M, D)`` values.
        scale: factor of the logits.

    Returns:
        ``(..., N, D)``.
    """
    if torch.compiler.is_exporting():
        return (q * scale @ k.transpose(-2, -1)).softmax(-1) @ v
    return scaled_dot_product_attention(q, k, v, scale=scale)


class SpatialGroupAttention(nn.Module):
    """Attention over the positions of a window within each channel group.

    It maps ``(B, C, H, W)`` to ``SA(X) + up(condensed(X))`` of the same shape: the closed loop without X itself. Each
    of the G groups of C/G channels has its own projections and ``heads`` heads; keys and values come from the condensed
    window.

    Args:
        channels: channels C.
        groups: groups G.
        ratio: condensation ratio.
        activation: makes the activation.
        heads: heads per group.

    Raises:
        UsageError: when the channels do not divide into groups and heads.
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
        """Return ``SA(X) + up(condensed(X))``; at ratio 1, without condensation, ``SA(X)``.

        Args:
            x: ``(B, C, H, W)``.

        Returns:
            ``(B, C, H, W)``.
        """
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
        """Apply multi-head attention within each group.

        Args:
            queries: ``(N, C, h, w)``.
            keys: ``(N, C, h', w')``, also the source of values.

        Returns:
            ``(N, C, h, w)``.
        """
        n, c, h, w = queries.shape
        depth = c // self.heads
        q = self.query(queries).permute(0, 2, 3, 1).reshape(n, h * w, self.heads, depth).transpose(1, 2)
        kv = self.key_value(keys).permute(0, 2, 3, 1).reshape(n, -1, self.heads, 2 * depth).transpose(1, 2)
        out = attended(q, kv[..., :depth], kv[..., depth:], depth**-0.5)
        projected: Tensor = self.project(out.transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2))
        return projected


class ChannelGroupAttention(nn.Module):
    """Attention whose tokens are the channels of a group, ``softmax(Q^T K / sqrt(C/G)) V^T``.

    It maps ``(B, C, H, W)`` to ``CA(X)`` of the same shape. Every token spans all positions, so that the receptive
    field is global.

    Args:
        channels: channels C.
        groups: groups G.

    Raises:
        UsageError: when the channels do not divide into groups.
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
        """Return ``CA(X)``.

        Args:
            x: ``(B, C, H, W)``.

        Returns:
            ``(B, C, H, W)``.
        """
        b, c, h, w = x.shape
        depth = c // self.groups
        qkv = self.query_key_value(x).reshape(b, self.groups, 3 * depth, h * w)
        q, k, v = qkv.split(depth, dim=2)
        out = attended(q, k, v, depth**-0.5)
        projected: Tensor = self.project(out.reshape(b, c, h, w))
        return projected


Attention = Literal["dual", "spatial", "channel", "off"]


class DualAttention(nn.Module):
    """The dual attention block, ``(B, C, H, W)`` to the same shape.

    Args:
        channels: channels C.
        groups: groups of both attentions.
        ratio: condensation ratio of the spatial attention.
        activation: makes the activation.
        attention: the branches to build.
        interaction: whether both branches gate each other.
    """

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
        """Return Z.

        Args:
            x: ``(B, C, H, W)``.

        Returns:
            ``(B, C, H, W)``.
        """
        branches = [x + branch(x) for branch in (self.spatial, self.channel) if branch is not None]
        if self.interaction:
            y_s, y_c = branches
            by_channel = gate(self.channel_gate(pooled(y_c)))[:, :, None, None]
            by_place = gate(self.place_gate(y_s))
            branches = [y_s * by_channel, y_c * by_place]
        merged = torch.cat(branches, 1) if len(branches) > 1 else branches[0]
        out: Tensor = self.activation(self.norm(self.merge(merged))) + x
        return out
