"""Subject-based domain adaptation (Zeeshan et al., FG 2024). Uses target images.

Each person of the source is a domain:

    sources    mean MMD^2 between each person's faces and those of all persons of the batch
    target     mean MMD^2 between the faces of each person and the target, over the persons closest to the target
    pseudo     cross-entropy of confident target faces, from the teacher's weak view

    L = L_cls + ramp ( w (sources + target) + w_p pseudo )

Closest first: persons are ordered by the distance of their mean feature, a moving average, to that of the target; the
share of them that takes part rises from ``first`` to 1 over the stage.

Our reading of its abstract: subjects as domains, discrepancy by MMD, selection of subjects near the target, and
confident pseudo-labels. Features are of unit length. A source without subjects is one domain.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch, Grouping, Method, MethodSettings, register
from dcdan.methods.feature_alignment import directions, fused_features, mmd, one_hot_confident


class SubjectBasedSettings(MethodSettings):
    """Settings of subject-based adaptation."""

    weight: float = Field(default=0.5, ge=0)
    """Weight of the discrepancies, after the ramp."""
    pseudo: float = Field(default=0.2, ge=0)
    """Weight of the pseudo-labels, after the ramp."""
    threshold: float = Field(default=0.9, ge=0, lt=1)
    """Least confidence of a pseudo-label."""
    first: float = Field(default=0.5, gt=0, le=1)
    """Share of the persons, closest to the target, that takes part at the start of the stage."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of the old mean features."""


def closest(distances: Tensor, share: float) -> Tensor:
    """Return which of some persons take part: a share of them, rounded up, with the least distances.

    Args:
        distances: ``(M,)``, M >= 1.
        share: in (0, 1].

    Returns:
        ``(M,) bool``.

    Example:
        >>> closest(torch.tensor([0.3, 0.1, 0.2]), 0.5).tolist()
        [False, True, True]
    """
    count = max(1, math.ceil(share * len(distances) - 1e-9))
    chosen = torch.zeros(len(distances), dtype=torch.bool, device=distances.device)
    return chosen.index_fill_(0, distances.topk(count, largest=False).indices, True)


def subject_discrepancy(source: Tensor, groups: Tensor, target: Tensor, persons: Tensor) -> Tensor:
    """Return the mean over persons of the squared MMD between their faces and the target.

    Args:
        source: ``(B, width)``.
        groups: ``(B,) int64`` person of each face.
        target: ``(B', width)``.
        persons: ``(M,) int64`` persons that take part, M >= 1, each with a face in the batch.

    Returns:
        A scalar.
    """
    return torch.stack([mmd(source[groups == person], target) for person in persons]).mean()


@register
class SubjectBased(Method):
    """Each person of the source is a domain that is drawn to the target, the closest first."""

    name: ClassVar[str] = "subject_based"
    title: ClassVar[str] = "Subject-based adaptation"
    paper: ClassVar[str] = "Zeeshan et al., Subject-Based Domain Adaptation for Facial Expression Recognition, FG 2024"
    needs: ClassVar[str] = "subjects of the source; without them it is one domain"
    reading: ClassVar[str] = "our reading of its abstract"
    grouping: ClassVar[Grouping] = "subject"
    sees_target: ClassVar[bool] = True
    uses_teacher: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = SubjectBasedSettings

    means: Tensor
    known: Tensor
    of_target: Tensor

    def __init__(self, settings: SubjectBasedSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.make_means(1)
        self.register_buffer("of_target", torch.zeros(width))

    def make_means(self, persons: int) -> None:
        """Make room for the mean features of so many persons.

        Args:
            persons: number of persons.
        """
        self.register_buffer("means", torch.zeros(persons, self.width))
        self.register_buffer("known", torch.zeros(persons, dtype=torch.bool))

    def set_groups(self, groups: Tensor) -> None:
        """Set the person of each source face.

        Args:
            groups: ``(N,) int64`` person of every face of the source pack, from 0.
        """
        super().set_groups(groups)
        self.make_means(int(groups.max()) + 1)

    @torch.no_grad()
    def distances(self, source: Tensor, groups: Tensor, target: Tensor, persons: Tensor) -> Tensor:
        """Update the mean features, and return the distance of some persons to the target.

        Args:
            source: ``(B, width)``.
            groups: ``(B,) int64`` person of each face.
            target: ``(B', width)``.
            persons: ``(M,) int64`` persons of the batch.

        Returns:
            ``(M,)``.
        """
        keep = self.options.momentum
        started = bool(self.known.any())
        self.of_target.copy_(keep * self.of_target + (1 - keep) * target.mean(0) if started else target.mean(0))
        for person in persons:
            mean = source[groups == person].mean(0).to(self.means)
            self.means[person] = keep * self.means[person] + (1 - keep) * mean if self.known[person] else mean
        self.known[persons] = True
        found: Tensor = (self.means[persons] - self.of_target).square().sum(1).sqrt()
        return found

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification loss, the discrepancies and the pseudo-label loss.

        Args:
            batch: source and target faces, with the teacher's answers.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``sources``, ``target`` and ``pseudo``, weighted.
        """
        assert batch.target is not None
        assert batch.teacher is not None
        options, ramp = self.options, reversal_coefficient(progress)
        source, target = directions(fused_features(batch.source)), directions(fused_features(batch.target))
        groups = self.groups_of(batch)
        persons = torch.tensor(sorted(set(groups.tolist())), device=groups.device)
        share = options.first + (1 - options.first) * progress
        near = persons[closest(self.distances(source.detach(), groups, target.detach(), persons), share)]
        labels = one_hot_confident(batch.teacher.fused.softmax(1), options.threshold)
        each = cross_entropy(batch.target.logits.fused, labels.argmax(1), reduction="none") * labels.sum(1)
        return {
            "cls": self.classify(batch),
            "sources": ramp * options.weight * subject_discrepancy(source, groups, source, persons),
            "target": ramp * options.weight * subject_discrepancy(source, groups, target, near),
            "pseudo": ramp * options.pseudo * each.mean(),
        }
