"""Global average pooling."""

from __future__ import annotations

from torch import Tensor


def pooled(maps: Tensor) -> Tensor:
    """Return the mean over the places of maps ``(B, C, H, W)``: ``(B, C)``.

    Taken with the channels last, so that the gradient has the layout which maps have in training: ``maps.mean((2, 3))``
    hands back a gradient in the other one, and every layer before it pays for the difference.
    """
    return maps.permute(0, 2, 3, 1).mean((1, 2))
