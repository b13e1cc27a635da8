"""The heads of the network: global average pooling, and the semantic-aware module.

Global average pooling.

The semantic-aware module: three linear heads whose softmax outputs feed pseudo-labels and the final choice.

P: it "combines the global and local features"; by Eq. (3) the classifier sees their sum.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


def pooled(maps: Tensor) -> Tensor:
    """Return the mean over the places of maps ``(B, C, H, W)``: ``(B, C)``.

    Taken with the channels last, so that the gradient has the layout which maps have in training: ``maps.mean((2, 3))``
    hands back a gradient in the other one, and every layer before it pays for the difference.
    """
    return maps.permute(0, 2, 3, 1).mean((1, 2))


class Logits(NamedTuple):
    """The three heads' logits, ``(B, K)`` each."""

    fused: Tensor
    of_global: Tensor
    of_local: Tensor


class SemanticModule(nn.Module):
    """Features ``(B, width)`` of both branches -> :class:`Logits`."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.fused = nn.Linear(width, classes)
        self.of_global = nn.Linear(width, classes)
        self.of_local = nn.Linear(width, classes)

    def forward(self, of_global: Tensor, of_local: Tensor) -> Logits:
        """Return the logits of the sum, of the global and of the local features."""
        return Logits(self.fused(of_global + of_local), self.of_global(of_global), self.of_local(of_local))
