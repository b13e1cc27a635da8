"""AGRA: adversarial graph representation adaptation (Xie et al., ACM MM 2020; Chen et al., TPAMI 2022). Sees target.

The graph of AGRA (Xie et al., ACM MM 2020): twelve nodes, the whole face and five regions in each of two domains.

Node 0 is the whole face of the source and 1 to 5 its regions; 6 and 7 to 11 are the target's. Two layers of graph
convolution within each domain, then one across, each ``A (X W + b)`` with A learnable (Kipf and Welling, ICLR 2017).
Initial links: whole-region .8, region-region .5; across domains the same part .9, whole-region .4, region-region .25;
each node to itself 1. The links across join no two different nodes of one domain.
O: rows of A are normalised in the forward pass, negative links cut off, where the authors overwrite the parameter.

The whole face and its five regions, 64 numbers each, are six of the twelve nodes of
:class:`dcdan.methods.agra.FaceGraph`; for the other six, those of the domain that a face is not of, stands the nearest
class mean of that domain. The six nodes of the face's own domain, joined, leave the graph as its feature f (384
numbers):

    L = L_cls + w_c CE(classifier of f, source) + w_a CDAN-E(f, its class probabilities)

Different here, and why:
- The model written out is the standard network, so that every row of a table runs the same layers: the classifier on f
  is an auxiliary head, trained and then left behind. Its losses reach the trunk and both branches; the three heads that
  answer are trained on source. The authors answer with the classifier on f.
- Nodes are this network's features, F_g and those of the five windows, brought to 64 numbers by two linear layers.
- Class means follow the source's labels and, on target, the fused head's answers (momentum .1, from the first face of a
  class); the authors start from k-means over the whole set and update by nearest mean, which needs a pass over all
  faces before the first step. Looking up the nearest mean is theirs, for both domains.
- Means are kept of normalised nodes, so the batch norm of each domain need not be applied to means as it is there.
- The authors' second classifier, on the five regions alone, is left out.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dcdan.methods.adversarial import adversarial_loss, reversal_coefficient
from dcdan.methods.base import Batch, MethodSettings, register
from dcdan.methods.classification import head_loss
from dcdan.methods.holistic_local import PartsMethod, parts_of
from dcdan.models.discriminator import Discriminator

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


NODE = 64


class AGRASettings(MethodSettings):
    """Settings of AGRA."""

    classifier: float = Field(default=1.0, ge=0)
    """Weight of the cross-entropy of the classifier on the graph's features."""
    adversarial: float = Field(default=1.0, ge=0)
    """Weight of CDAN-E on the graph's features; the discriminator learns at full weight."""
    momentum: float = Field(default=0.1, gt=0, le=1)
    """Share of a batch's class mean in the running one."""


class ClassMeans(nn.Module):
    """Running means of each class's nodes in one domain."""

    mean: Tensor
    known: Tensor

    def __init__(self, classes: int, width: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(classes, width))
        self.register_buffer("known", torch.zeros(classes, dtype=torch.bool))

    @torch.no_grad()
    def update(self, nodes: Tensor, classes: Tensor) -> None:
        """Learn from nodes ``(B, width)`` of faces of classes ``(B,)`` int64; classes without a face stay."""
        members = nn.functional.one_hot(classes, len(self.mean)).to(self.mean.dtype)
        counts = members.sum(0)
        sums = torch.zeros_like(self.mean).index_add_(0, classes, nodes.to(self.mean.dtype))
        found = sums / counts.clamp_min(1)[:, None]
        moved = torch.where(self.known[:, None], self.mean.lerp(found, self.momentum), found)
        self.mean.copy_(torch.where(counts[:, None] > 0, moved, self.mean))
        self.known.logical_or_(counts > 0)

    @torch.no_grad()
    def nearest(self, nodes: Tensor) -> Tensor:
        """Return the known mean ``(B, width)`` that is nearest to each row of nodes."""
        apart = (nodes[:, None].to(self.mean.dtype) - self.mean).square().sum(2)
        return self.mean[apart.masked_fill(~self.known, torch.inf).argmin(1)]


@register
class AGRA(PartsMethod):
    """Holistic and local features of both domains adapted together on a graph."""

    name: ClassVar[str] = "agra"
    title: ClassVar[str] = "AGRA"
    paper: ClassVar[str] = "Xie et al., ACM MM 2020; Chen et al., TPAMI 2022, arXiv 2008.00923"
    sees_target: ClassVar[bool] = True
    revision: ClassVar[int] = 2
    Settings: ClassVar[type[MethodSettings]] = AGRASettings

    def __init__(self, settings: AGRASettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        classes, joined = len(class_counts), PARTS * NODE
        self.of_whole, self.of_region = nn.Linear(width, NODE), nn.Linear(width, NODE)
        self.norms = nn.ModuleList([nn.BatchNorm1d(joined) for _ in range(2)])
        self.means = nn.ModuleList([ClassMeans(classes, joined, settings.momentum) for _ in range(2)])
        self.graph = FaceGraph(NODE)
        self.classifier = nn.Linear(joined, classes)
        self.discriminator = Discriminator(joined * classes)

    def nodes(self, parts: Tensor, domain: int) -> Tensor:
        """Return the normalised nodes ``(B, 384)`` of parts ``(B, 6, width)`` of the source (0) or the target (1)."""
        projected = torch.cat([self.of_whole(parts[:, :1]), self.of_region(parts[:, 1:])], 1)
        nodes: Tensor = self.norms[domain](projected.flatten(1))
        return nodes

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the graph's features ``(B, 384)`` of source and target, and let the class means follow both."""
        assert batch.target is not None
        source, target = self.nodes(parts_of(batch.source), 0), self.nodes(parts_of(batch.target), 1)
        of_source, of_target = self.means
        assert isinstance(of_source, ClassMeans)
        assert isinstance(of_target, ClassMeans)
        of_source.update(source, batch.labels.argmax(1))
        of_target.update(target, batch.target.logits.fused.argmax(1))
        beside_source = torch.cat([source, of_target.nearest(source).to(source.dtype)], 1)
        beside_target = torch.cat([of_source.nearest(target).to(target.dtype), target], 1)
        graph = self.graph(torch.cat([beside_source, beside_target]).reshape(-1, 2 * PARTS, NODE))
        n = len(source)
        return graph[:n, :PARTS].flatten(1), graph[n:, PARTS:].flatten(1)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the heads' classification loss, and the graph's classification and adversarial loss."""
        source, target = self.features(batch)
        source_logits, target_logits = self.classifier(source), self.classifier(target)
        options = self.options
        coefficient = options.adversarial * reversal_coefficient(progress)
        counts = self.drawn_counts
        adversarial = adversarial_loss(
            self.discriminator, source, target, source_logits, target_logits, coefficient, "cdan-e"
        )
        return {
            "cls": self.classify(batch),
            "graph": options.classifier * head_loss(source_logits, batch.labels, counts, options.classification),
            "adv": adversarial,
        }
