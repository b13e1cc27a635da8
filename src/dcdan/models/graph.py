"""The graph of AGRA (Xie et al., ACM MM 2020): twelve nodes, the whole face and five regions in each of two domains.

Node 0 is the whole face of the source and 1 to 5 its regions; 6 and 7 to 11 are the target's. Two layers of graph
convolution within each domain, then one across, each ``A (X W + b)`` with A learnable (Kipf and Welling, ICLR 2017).
Initial links: whole-region .8, region-region .5; across domains the same part .9, whole-region .4, region-region .25;
each node to itself 1. The links across join no two different nodes of one domain.
O: rows of A are normalised in the forward pass, negative links cut off, where the authors overwrite the parameter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PARTS = 6
"""Nodes of a domain: the whole face, then its regions."""


def links_within() -> Tensor:
    """Return the initial links ``(6, 6)`` between the nodes of one domain."""
    links = torch.full((PARTS, PARTS), 0.5)
    links[0, :] = links[:, 0] = 0.8
    return links.fill_diagonal_(1.0)


def links_across() -> Tensor:
    """Return the initial links ``(12, 12)`` between the domains, and of each node to itself."""
    block = torch.full((PARTS, PARTS), 0.25)
    block[0, :] = block[:, 0] = 0.4
    block.fill_diagonal_(0.9)
    own = torch.eye(PARTS)
    return torch.cat([torch.cat([own, block], 1), torch.cat([block, own], 1)])


def normalised(links: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return the positive part of ``links`` ``(N, N)``, where ``allowed`` is 1, with rows that sum to 1."""
    positive = links.clamp_min(0)
    if allowed is not None:
        positive = positive * allowed
    return positive / positive.sum(1, keepdim=True).clamp_min(1e-8)


class FaceGraph(nn.Module):
    """Nodes ``(B, 12, width)`` -> nodes that know of each other, of the same shape."""

    allowed: Tensor

    def __init__(self, width: int = 64, hidden: int = 128, dropout: float = 0.5) -> None:
        super().__init__()
        self.within = nn.Parameter(links_within())
        self.across = nn.Parameter(links_across())
        self.register_buffer("allowed", (links_across() > 0).float(), persistent=False)
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, width)
        self.third = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor) -> Tensor:
        """Pass the nodes through the graph within each domain, then across."""
        within, across = normalised(self.within), normalised(self.across, self.allowed)
        by_domain = nodes.reshape(len(nodes), 2, PARTS, -1)
        by_domain = self.dropout((within @ self.first(by_domain)).relu())
        by_domain = within @ self.second(by_domain)
        joined: Tensor = across @ self.third(by_domain.flatten(1, 2))
        return joined
