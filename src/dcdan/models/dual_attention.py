"""The dual attention block: spatial and channel attention, a closed loop, and interactive learning between them.

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

from dcdan.models.attention import ChannelGroupAttention, SpatialGroupAttention
from dcdan.models.gate import gate
from dcdan.models.pooling import pooled

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
