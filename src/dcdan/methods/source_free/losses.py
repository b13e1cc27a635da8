"""Losses and searches that several source-free methods share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

EPSILON = 1e-5
"""Added to the mean probabilities before their logarithm, as in the authors' code of SHOT and NRC."""


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the softmax of each row.

    Args:
        logits: ``(B, K)``.

    Returns:
        ``(B,)`` in nats.

    Example:
        >>> entropy(torch.zeros(1, 2))
        tensor([0.6931])
    """
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


def negative_diversity(logits: Tensor) -> Tensor:
    """Return the negative entropy of the mean probabilities, low where all classes are answered alike.

    Args:
        logits: ``(B, K)``.

    Returns:
        A scalar in nats, at least ``-ln K``.

    Example:
        >>> round(float(negative_diversity(torch.zeros(3, 2))), 3)
        -0.693
    """
    mean = logits.softmax(1).mean(0)
    return (mean * (mean + EPSILON).log()).sum()


def nearest_neighbours(features: Tensor, bank: Tensor, own: Tensor, count: int) -> Tensor:
    """Return the nearest rows of a bank by cosine similarity, without the face itself.

    Args:
        features: ``(B, D)``, of length 1.
        bank: ``(N, D)``, of length 1.
        own: ``(B,)`` int64, the row of each face in the bank.
        count: number of neighbours; all others where there are fewer.

    Returns:
        ``(B, count)`` int64 rows, the nearest first.

    Example:
        >>> bank = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]))
        >>> nearest_neighbours(bank[:1], bank, torch.tensor([0]), 2)
        tensor([[1, 2]])
    """
    similar = (features @ bank.T).scatter(1, own[:, None], -torch.inf)
    return similar.topk(min(count, len(bank) - 1), dim=1).indices


def unit(features: Tensor) -> Tensor:
    """Return features of length 1 without gradient.

    Args:
        features: ``(B, D)``.

    Returns:
        ``(B, D)``.
    """
    return normalize(features.detach())
