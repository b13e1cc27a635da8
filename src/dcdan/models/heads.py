"""The heads of the network: global average pooling, and the semantic-aware module.

The semantic-aware module has three linear heads, whose softmax outputs are used for pseudo-labels and the final
selection. From the paper: it "combines the global and local features"; by Eq. (3) the classifier receives their sum.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


def pooled(maps: Tensor) -> Tensor:
    """Return the global average of maps.

    It is computed with channels last, so that its gradient has the memory layout of maps in training. The gradient of
    ``maps.mean((2, 3))`` has the other layout, which costs time in every earlier layer.

    Args:
        maps: ``(B, C, H, W)``.

    Returns:
        ``(B, C)``.
    """
    return maps.permute(0, 2, 3, 1).mean((1, 2))


class Logits(NamedTuple):
    """The logits of the fused, global and local heads, ``(B, K)`` each."""

    fused: Tensor
    of_global: Tensor
    of_local: Tensor


class SemanticModule(nn.Module):
    """Three linear heads on the features of both branches.

    Args:
        width: width of the features.
        classes: number of classes K.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.fused = nn.Linear(width, classes)
        self.of_global = nn.Linear(width, classes)
        self.of_local = nn.Linear(width, classes)

    def forward(self, of_global: Tensor, of_local: Tensor) -> Logits:
        """Return the logits of the sum of both features, of the global and of the local features.

        Args:
            of_global: ``(B, width)``.
            of_local: ``(B, width)``.

        Returns:
            ``(B, K)`` logits of each head.
        """
        return Logits(self.fused(of_global + of_local), self.of_global(of_global), self.of_local(of_local))
