"""AGRA: adversarial graph representation adaptation (Xie et al., ACM MM 2020; Chen et al., TPAMI 2022).

It uses target images.

The graph has twelve nodes, the whole face and five regions in each of two domains. Node 0 is the whole face of the
source and nodes 1 to 5 are its regions; 6 and 7 to 11 are those of the target. Two layers of graph convolution act
within each domain, then one across, each ``A (X W + b)`` with learnable A (Kipf and Welling, ICLR 2017). Initial links
within a domain are .8 between whole face and region, .5 between regions. Across domains they are .9 for the same part,
.4 between whole face and region, .25 between regions. Self-links are 1. The layer across domains has no link between
different nodes of one domain. The authors overwrite A with its normalised form; here rows are normalised in the forward
pass and negative links are cut off.

Six of the nodes of :class:`FaceGraph` are the whole face and its regions, 64 numbers each. The six nodes of the other
domain are the nearest class mean of that domain. The concatenated nodes of the face's own domain are its feature f of
the graph (384 numbers):

    L = L_cls + w_c CE(classifier of f, source) + w_a CDAN-E(f, its class probabilities)

Differences from the papers: - The written model is the standard network, so that every method of a table runs the same
layers. The classifier on f is   an auxiliary head, used in training only; its losses reach the trunk and both branches.
The authors predict with it. - Nodes are the features of this network, F_g and those of the five windows, reduced to 64
numbers by two linear layers. - Class means follow the source labels and, on the target, the predictions of the fused
head (momentum .1, from the first   face of a class). The authors start from k-means over the whole set, which needs a
pass over all faces, and update the   nearest mean. The lookup of the nearest mean is theirs, for both domains. - Means
are computed from normalised nodes, so that they need no batch norm. - The authors' second classifier, on the five
regions alone, is left out.
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
    """Return the initial links between the nodes of one domain.

    Returns:
        ``(6, 6) float32``.
    """
    links = torch.full((PARTS, PARTS), 0.5)
    links[0, :] = links[:, 0] = 0.8
    return links.fill_diagonal_(1.0)


def links_across() -> Tensor:
    """Return the initial links between the domains, with self-links.

    Returns:
        ``(12, 12) float32``.
    """
    block = torch.full((PARTS, PARTS), 0.25)
    block[0, :] = block[:, 0] = 0.4
    block.fill_diagonal_(0.9)
    own = torch.eye(PARTS)
    return torch.cat([torch.cat([own, block], 1), torch.cat([block, own], 1)])


def normalised(links: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return the positive part of a link matrix with rows that sum to 1.

    Args:
        links: ``(N, N)``.
        allowed: ``(N, N)`` of 0 and 1; links at 0 are removed.

    Returns:
        ``(N, N)``.

    Example:
        >>> normalised(torch.tensor([[1.0, 3.0], [-1.0, 2.0]])).tolist()
        [[0.25, 0.75], [0.0, 1.0]]
    """
    positive = links.clamp_min(0)
    if allowed is not None:
        positive = positive * allowed
    return positive / positive.sum(1, keepdim=True).clamp_min(1e-8)


class FaceGraph(nn.Module):
    """Graph convolutions over the nodes of both domains, ``(B, 12, width)`` to the same shape.

    Args:
        width: numbers per node.
        hidden: width of the hidden layer.
        dropout: dropout rate of the hidden layer.
    """

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
        """Apply the graph convolutions within each domain, then across.

        Args:
            nodes: ``(B, 12, width)``.

        Returns:
            ``(B, 12, width)``.
        """
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
    """Running means of the nodes of each class in one domain.

    Args:
        classes: number of classes K.
        width: numbers per face.
        momentum: weight of a batch in the running mean.
    """

    mean: Tensor
    known: Tensor

    def __init__(self, classes: int, width: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(classes, width))
        self.register_buffer("known", torch.zeros(classes, dtype=torch.bool))

    @torch.no_grad()
    def update(self, nodes: Tensor, classes: Tensor) -> None:
        """Update the running means; those of classes without a face do not change.

        Args:
            nodes: ``(B, width)`` nodes of faces.
            classes: ``(B,) int64`` their classes.
        """
        members = nn.functional.one_hot(classes, len(self.mean)).to(self.mean.dtype)
        counts = members.sum(0)
        sums = torch.zeros_like(self.mean).index_add_(0, classes, nodes.to(self.mean.dtype))
        found = sums / counts.clamp_min(1)[:, None]
        moved = torch.where(self.known[:, None], self.mean.lerp(found, self.momentum), found)
        self.mean.copy_(torch.where(counts[:, None] > 0, moved, self.mean))
        self.known.logical_or_(counts > 0)

    @torch.no_grad()
    def nearest(self, nodes: Tensor) -> Tensor:
        """Return the nearest class mean of each face, among classes that have one.

        Args:
            nodes: ``(B, width)`` nodes of faces.

        Returns:
            ``(B, width)``.
        """
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
        """Return the normalised nodes of one domain.

        Args:
            parts: ``(B, 6, width)`` features of the whole face and the regions.
            domain: 0 for the source, 1 for the target.

        Returns:
            ``(B, 384)``.
        """
        projected = torch.cat([self.of_whole(parts[:, :1]), self.of_region(parts[:, 1:])], 1)
        nodes: Tensor = self.norms[domain](projected.flatten(1))
        return nodes

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the graph features of both domains and update their class means.

        Args:
            batch: source and target faces.

        Returns:
            ``(B, 384)`` of the source and of the target.
        """
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
        """Return the classification loss of the heads, and the classification and adversarial losses of the graph.

        Args:
            batch: source and target faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``graph`` and ``adv``, weighted.
        """
        source, target = self.features(batch)
        source_logits, target_logits = self.classifier(source), self.classifier(target)
        options = self.options
        coefficient = options.adversarial * reversal_coefficient(progress)
        counts = self.sampled_counts
        adversarial = adversarial_loss(
            self.discriminator, source, target, source_logits, target_logits, coefficient, "cdan-e"
        )
        return {
            "cls": self.classify(batch),
            "graph": options.classifier * head_loss(source_logits, batch.labels, counts, options.classification),
            "adv": adversarial,
        }
