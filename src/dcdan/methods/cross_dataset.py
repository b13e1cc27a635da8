"""Cross-dataset adaptation, reversed gradients and a balanced objective (Han et al., Access 2020). Uses target images.

    balance    each face weighs n_y^-b, and each source set of a batch counts alike
    sets       a classifier of the set that a face is from (source sets, and the target), whose gradient is reversed
    bias       mean over pairs of source sets of |mean answer - mean answer|^2, as the sets show the same expressions

    L = balanced L_cls + CE(set) with reversed gradient + w_b bias

Our reading of its abstract: several sets are combined, reversed gradients lower their bias, and a flexible objective
controls for skewed labels. Han et al. train on labelled sets only; here the target is one more set, without labels.
"""

from __future__ import annotations

from itertools import combinations
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch, Grouping, Method, MethodSettings, register
from dcdan.methods.classification import smooth
from dcdan.methods.feature_alignment import fused_features
from dcdan.models.discriminator import reverse


class CrossDatasetSettings(MethodSettings):
    """Settings of cross-dataset adaptation."""

    skew: float = Field(default=0.5, ge=0, le=1)
    """The exponent b: 0 leaves classes as they are, 1 makes them count alike."""
    weight: float = Field(default=0.1, ge=0)
    """Weight of the reversed gradient of the classifier of sets, after the ramp."""
    bias: float = Field(default=0.1, ge=0)
    """Weight w_b of the difference between the mean answers of source sets."""


def balanced_weights(labels: Tensor, groups: Tensor, counts: Tensor, skew: float) -> Tensor:
    """Return weights of faces that sum to 1, alike for each set, and within a set in proportion to ``n_y^-skew``.

    Args:
        labels: ``(B, K)``, rows sum to 1.
        groups: ``(B,) int64`` set of each face, from 0.
        counts: ``(K,)`` training faces of each class.
        skew: the exponent.

    Returns:
        ``(B,)``.

    Example:
        >>> labels, groups = torch.eye(2)[[0, 0, 1]], torch.tensor([0, 0, 1])
        >>> balanced_weights(labels, groups, torch.tensor([4.0, 1.0]), 0.5).tolist()
        [0.25, 0.25, 0.5]
    """
    each = labels @ counts.clamp_min(1).to(labels).pow(-skew)
    total = each.new_zeros(int(groups.max()) + 1).index_add_(0, groups, each)
    return each / total[groups] / (total > 0).sum()


def set_bias(probabilities: Tensor, groups: Tensor) -> Tensor:
    """Return the mean over pairs of sets of the squared distance of their mean answers.

    Args:
        probabilities: ``(B, K)``.
        groups: ``(B,) int64`` set of each face.

    Returns:
        A scalar; 0 where the batch has one set.
    """
    means = [probabilities[groups == group].mean(0) for group in sorted(set(groups.tolist()))]
    pairs = [(one - other).square().sum() for one, other in combinations(means, 2)]
    return torch.stack(pairs).mean() if pairs else 0 * probabilities.sum()


@register
class CrossDataset(Method):
    """Source sets and target that a classifier of sets cannot tell apart, with balanced sets and classes."""

    name: ClassVar[str] = "cross_dataset"
    title: ClassVar[str] = "Cross-dataset adaptation"
    paper: ClassVar[str] = "Han et al., Toward Unbiased FER in the Wild via Cross-Dataset Adaptation, Access 8, 2020"
    needs: ClassVar[str] = "several source sets (column group.set of a manifest); one set is one domain"
    reading: ClassVar[str] = "our reading of its abstract"
    grouping: ClassVar[Grouping] = "set"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = CrossDatasetSettings

    def __init__(self, settings: CrossDatasetSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.of_set = self.classifier_of_sets(1)

    def classifier_of_sets(self, sets: int) -> nn.Sequential:
        """Return a classifier of the source sets and the target, which is the last class.

        Args:
            sets: number of source sets.
        """
        return nn.Sequential(nn.Linear(self.width, 128), nn.LeakyReLU(0.2), nn.Linear(128, sets + 1))

    def set_groups(self, groups: Tensor) -> None:
        """Set the source set of each face.

        Args:
            groups: ``(N,) int64`` set of every face of the source pack, from 0.
        """
        super().set_groups(groups)
        self.of_set = self.classifier_of_sets(int(groups.max()) + 1)

    def balanced(self, batch: Batch, groups: Tensor) -> Tensor:
        """Return the balanced cross-entropy of the three heads.

        Args:
            batch: source faces.
            groups: ``(B,) int64`` set of each.

        Returns:
            A scalar.
        """
        settings = self.settings.classification
        weights = balanced_weights(batch.labels, groups, self.sampled_counts, self.options.skew)
        labels = smooth(batch.labels, settings.label_smoothing)
        total = weights.new_zeros(())
        for share, head in zip(settings.weights, batch.source.logits, strict=True):
            total = total + share * (weights * cross_entropy(head, labels, reduction="none")).sum()
        return total / sum(settings.weights)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the balanced classification loss, that of the classifier of sets, and the bias.

        Args:
            batch: source and target faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``sets`` and ``bias``, weighted.
        """
        target, options = batch.target, self.options
        assert target is not None
        groups = self.groups_of(batch)
        features = torch.cat([fused_features(batch.source), fused_features(target)])
        logits = self.of_set(reverse(features, options.weight * reversal_coefficient(progress)))
        truth = torch.cat([groups, groups.new_full((len(target.of_global),), logits.shape[1] - 1)])
        return {
            "cls": self.balanced(batch, groups),
            "sets": cross_entropy(logits, truth),
            "bias": options.bias * set_bias(batch.source.logits.fused.softmax(1), groups),
        }
