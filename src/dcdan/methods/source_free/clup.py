"""CluP: cluster-level pseudo-labels (Conti et al., BMVC 2022).

The features of all faces are clustered by k-means; a cluster gets the class that most of its faces are given, and its
purity is their share. Of each class the faces of the purest clusters train the network, with mixup. Settings of the
authors' code where they apply: share .3, mixup .2, SGD with Nesterov momentum .9 and weight decay .0005.

Differences: the start is the trained network instead of one pre-trained on the target by SwAV, so the learning rate is
.01 (a tenth of it for the trunk) instead of .1; there is a cluster for every 15 faces, at least two for each class, at
most 1,000 (the code: 250 or 1,000 for 30,000 and 90,000 faces).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from dcdan.methods.source_free.base import (
    Context,
    Recipe,
    SourceFreeMethod,
    SourceFreeSettings,
    Target,
    TargetBatch,
    register,
)
from dcdan.methods.source_free.losses import unit
from dcdan.models.network import Network

UNLABELLED = -1


class ClupSettings(SourceFreeSettings):
    """Settings of CluP."""

    faces_per_cluster: int = Field(default=15, ge=1)
    share: float = Field(default=0.3, gt=0, le=1)
    """Share of the faces of each class that get a label."""
    mixup: float = Field(default=0.2, gt=0)
    """Both parameters of the Beta distribution that mixes pairs of faces."""


class ClusterLabels(NamedTuple):
    """Label and confidence of each of N faces."""

    classes: Tensor
    """``(N,)`` int64, the class of its cluster."""
    purity: Tensor
    """``(N,)`` share of the cluster's faces that were given that class."""


def kmeans(points: Tensor, clusters: int, iterations: int = 100) -> Tensor:
    """Return the cluster of each point, by Lloyd's algorithm from k-means++ seeds drawn with a fixed seed.

    Args:
        points: ``(N, D)``.
        clusters: number of clusters, at most N.
        iterations: largest number of iterations.

    Returns:
        ``(N,)`` int64.

    Example:
        >>> kmeans(torch.tensor([[0.0], [9.0], [0.1]]), 2).tolist() in ([0, 1, 0], [1, 0, 1])
        True
    """
    points = points.double().cpu()
    rng = np.random.default_rng(0)
    centres = points[rng.integers(len(points))][None]
    nearest = torch.full((len(points),), torch.inf, dtype=points.dtype)
    while len(centres) < clusters:
        nearest = torch.minimum(nearest, (points - centres[-1]).square().sum(1))
        total = float(nearest.sum())
        chances = (nearest / total).numpy() if total > 0 else None
        centres = torch.cat([centres, points[rng.choice(len(points), p=chances)][None]])
    member = torch.cdist(points, centres).argmin(1)
    for _ in range(iterations):
        counts = torch.bincount(member, minlength=clusters)
        sums = torch.zeros_like(centres).index_add_(0, member, points)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
        new = torch.cdist(points, centres).argmin(1)
        if bool((new == member).all()):
            break
        member = new
    return member


def cluster_labels(member: Tensor, given: Tensor, classes: int) -> ClusterLabels:
    """Return the majority class of each face's cluster and its share.

    Args:
        member: ``(N,)`` int64, the cluster of each face.
        given: ``(N,)`` int64, the class that the network gives to it.
        classes: number of classes K.

    Returns:
        Label and purity of each face.

    Example:
        >>> cluster_labels(torch.tensor([0, 0, 0, 1]), torch.tensor([2, 2, 1, 0]), 3).purity
        tensor([0.6667, 0.6667, 0.6667, 1.0000])
    """
    counts = torch.zeros(int(member.max()) + 1, classes)
    counts.index_put_((member, given), torch.ones(len(member)), accumulate=True)
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    purity, winner = shares.max(1)
    return ClusterLabels(winner[member], purity[member])


def purest(labels: ClusterLabels, share: float) -> Tensor:
    """Return the labels of the faces in the purest clusters of each class.

    Args:
        labels: label and purity of each face.
        share: share of each class that is kept, at least one face.

    Returns:
        ``(N,)`` int64, -1 for faces without a label.

    Example:
        >>> purest(ClusterLabels(torch.tensor([0, 0, 1]), torch.tensor([0.5, 1.0, 0.7])), 0.5)
        tensor([-1,  0,  1])
    """
    kept = torch.full_like(labels.classes, UNLABELLED)
    for each in sorted(set(labels.classes.tolist())):
        rows = torch.nonzero(labels.classes == each).flatten()
        order = labels.purity[rows].argsort(descending=True, stable=True)
        chosen = rows[order[: max(int(share * len(rows)), 1)]]
        kept[chosen] = each
    return kept


@register
class Clup(SourceFreeMethod):
    """Training on the purest clusters of the target, each labelled by its majority."""

    name: ClassVar[str] = "clup"
    title: ClassVar[str] = "CluP"
    paper: ClassVar[str] = "Conti et al., Cluster-level Pseudo-labelling for Source-free Cross-domain FER, BMVC 2022"
    recipe: ClassVar[Recipe] = Recipe(
        moves="all",
        norms="batch",
        views=(),
        inputs=("weak",),
        passes=15,
        lr=0.01,
        nesterov=True,
        weight_decay=0.0005,
        trunk_ratio=0.1,
        schedule="inverse",
    )
    Settings: ClassVar[type[SourceFreeSettings]] = ClupSettings

    labels: Tensor

    def __init__(self, settings: ClupSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = settings
        self.register_buffer("labels", torch.full((context.faces,), UNLABELLED))

    def prepare(self, network: Network, target: Target) -> None:
        """Cluster the faces and label the purest clusters.

        Args:
            network: the network.
            target: all faces.
        """
        answers = target.answers(network)
        classes = len(self.context.classes)
        wanted = max(len(target) // self.options.faces_per_cluster, 2 * classes)
        ones = torch.ones(len(target), 1, device=answers.features.device)
        member = kmeans(unit(torch.cat([answers.features, ones], 1)), min(wanted, 1000, len(target)))
        labels = cluster_labels(member, answers.logits.argmax(1).cpu(), classes)
        self.labels.copy_(purest(labels, self.options.share))

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:
        """Return the cross-entropy of mixed pairs of labelled faces.

        Args:
            network: the network.
            batch: the weak view.

        Returns:
            ``cross_entropy``; 0 where the batch has fewer than two labelled faces.
        """
        labels = self.labels[batch.rows]
        known = labels != UNLABELLED
        if int(known.sum()) < 2:
            return {"cross_entropy": batch.faces["weak"].new_zeros(())}
        faces, labels = batch.faces["weak"][known], labels[known]
        seed = int(torch.randint(2**31, (), generator=batch.generator))
        share = float(np.random.default_rng(seed).beta(self.options.mixup, self.options.mixup))
        other = torch.randperm(len(faces), generator=batch.generator).to(faces.device)
        logits = network(share * faces + (1 - share) * faces[other]).logits.fused
        mixed = share * cross_entropy(logits, labels) + (1 - share) * cross_entropy(logits, labels[other])
        return {"cross_entropy": mixed}
