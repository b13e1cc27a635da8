"""What several methods compare features of two domains by: class means, cosine similarity, maximum mean discrepancy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from dcdan.models.network import NetworkOutputs

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Widths of the Gaussian kernels of :func:`mmd`, in units of the mean squared distance (Long et al., ICML 2015)."""


def fused_features(outputs: NetworkOutputs) -> Tensor:
    """Return the features that the fused head classifies, the sum of global and local ones.

    Args:
        outputs: outputs of the network on B faces.

    Returns:
        ``(B, width)``.
    """
    return outputs.of_global + outputs.of_local


def directions(features: Tensor) -> Tensor:
    """Return features of unit length in float32, or in float64 where they are.

    Args:
        features: ``(B, width)``.

    Returns:
        ``(B, width)``; a zero vector stays zero.
    """
    wide = features if features.dtype == torch.float64 else features.float()
    return normalize(wide, dim=1)


def mmd(first: Tensor, second: Tensor) -> Tensor:
    """Return the squared maximum mean discrepancy of two samples (Gretton et al., JMLR 2012), the biased estimate.

    The kernel is the mean of Gaussians ``exp(-|x - y|^2 / (b m))`` over ``b`` in :data:`BANDWIDTHS`, where ``m`` is
    the mean squared distance between different rows of both samples together, without gradient.

    Args:
        first: ``(N, width)``, N >= 1.
        second: ``(M, width)``, M >= 1.

    Returns:
        A scalar, at least 0.

    Example:
        >>> float(mmd(torch.eye(3), torch.eye(3)))
        0.0
    """
    both = torch.cat([first, second])
    squares = both.square().sum(1)
    distances = (squares[:, None] + squares[None] - 2 * (both[:, None] * both[None]).sum(2)).clamp_min(0)
    pairs = max(1, len(both) * (len(both) - 1))
    scale = (distances.detach().sum() / pairs).clamp_min(1e-12)
    kernel = torch.stack([torch.exp(-distances / (scale * width)) for width in BANDWIDTHS]).mean(0)
    n = len(first)
    found: Tensor = kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
    return found.clamp_min(0)


def class_means(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted mean feature of each class.

    Args:
        features: ``(B, width)``.
        weights: ``(B, K)``, at least 0: how much each face counts for each class.

    Returns:
        ``(K, width)``, zeros for a class of no weight; and the total weights ``(K,)``.
    """
    total = weights.sum(0)
    return (weights[:, :, None] * features[:, None]).sum(0) / total.clamp_min(1e-6)[:, None], total


class MovingMeans(nn.Module):
    """Moving averages of the mean feature of each class, which gradients reach through the newest batch.

    As in moving semantic transfer (Xie et al., ICML 2018): a batch has few faces of a class, so its means are averaged
    with those of earlier batches. The first face of a class sets its mean.

    Args:
        classes: number of classes K.
        width: width of the features.
        momentum: share of the old mean.
    """

    means: Tensor
    known: Tensor

    def __init__(self, classes: int, width: int, momentum: float = 0.7) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("means", torch.zeros(classes, width))
        self.register_buffer("known", torch.zeros(classes, dtype=torch.bool))

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """Update the means by a batch.

        Args:
            features: ``(B, width)``.
            weights: ``(B, K)``, at least 0.

        Returns:
            The new means ``(K, width)``.
        """
        found, total = class_means(features, weights)
        seen = total > 1e-6
        old = self.means.to(found)
        keep = torch.where(self.known, self.momentum, 0.0)[:, None].to(found)
        new = torch.where(seen[:, None], keep * old + (1 - keep) * found, old)
        self.means.copy_(new.detach())
        self.known |= seen
        return new


def one_hot_confident(probabilities: Tensor, threshold: float) -> Tensor:
    """Return the likeliest class of each face that reaches a threshold, one-hot; zeros for the others.

    Args:
        probabilities: ``(B, K)``.
        threshold: least confidence.

    Returns:
        ``(B, K)``.

    Example:
        >>> one_hot_confident(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), 0.8).tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    best, label = probabilities.max(1)
    hard = torch.zeros_like(probabilities).scatter_(1, label[:, None], 1.0)
    return hard * (best >= threshold)[:, None]
