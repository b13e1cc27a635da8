"""LA-CMFER: Learning with Alignments for cross-multidomain FER (Yang et al., ACM MM 2024). Uses target images.

Every source set has a classifier of its own on common features. With pseudo-labels y' of confident target faces:

    classification     cross-entropy of each set's classifier on its own faces
    sample level       same class: 1 - cos(f_s, f_t); another class: max(0, cos(f_s, f_t) - align)
    cluster level      the same between the class means of each source set and those of the target
    within the target  the strong view's answer follows the weak view's (dual-view consistency)
    agreement          mean |p_a - p_b| over pairs of classifiers on target faces

    L = L_cls + .4 (sample + cluster) + .5 consistency + .1 agreement

From the paper: the parts, the pseudo-label threshold .9, align .4 and the weights .4, .5, .1. Our reading of its
abstract: the formulas of the two levels. With one source set the classifiers that agree are its own and the fused head,
which is the one that is written.
"""

from __future__ import annotations

from itertools import combinations
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch, Grouping, Method, MethodSettings, register
from dcdan.methods.classification import head_loss
from dcdan.methods.feature_alignment import class_means, directions, fused_features, one_hot_confident
from dcdan.methods.mcd import discrepancy


class LACMFERSettings(MethodSettings):
    """Settings of LA-CMFER."""

    threshold: float = Field(default=0.9, ge=0, lt=1)
    """Least confidence of a pseudo-label."""
    align: float = Field(default=0.4, ge=-1, le=1)
    """Cosine above which faces of different classes are pushed apart."""
    between: float = Field(default=0.4, ge=0)
    """Weight of both levels of alignment between domains, after the ramp."""
    within: float = Field(default=0.5, ge=0)
    """Weight of the consistency within the target, after the ramp."""
    agreement: float = Field(default=0.1, ge=0)
    """Weight of the agreement of the classifiers, after the ramp."""


def pair_loss(first: Tensor, second: Tensor, first_classes: Tensor, second_classes: Tensor, align: float) -> Tensor:
    """Return the mean over pairs of ``same (1 - cos) + (1 - same) max(0, cos - align)``.

    Args:
        first: ``(N, width)`` of unit length.
        second: ``(M, width)`` of unit length.
        first_classes: ``(N, K)``, rows sum to 1, or to 0 for what has no class and no pair.
        second_classes: ``(M, K)``, likewise.
        align: cosine above which different classes are pushed apart.

    Returns:
        A scalar; 0 without pairs.
    """
    cosine = (first[:, None] * second[None]).sum(2)
    same = (first_classes[:, None] * second_classes[None]).sum(2)
    counts = first_classes.sum(1)[:, None] * second_classes.sum(1)[None]
    each = same * (1 - cosine) + (counts - same) * relu(cosine - align)
    return each.sum() / counts.sum().clamp_min(1)


@register
class LACMFER(Method):
    """Alignment of several source sets to the target by faces and by class means, with agreeing classifiers."""

    name: ClassVar[str] = "la_cmfer"
    title: ClassVar[str] = "LA-CMFER"
    paper: ClassVar[str] = "Yang et al., Learning with Alignments for Cross-Multidomain FER, ACM MM 2024"
    needs: ClassVar[str] = "several source sets (column group.set of a manifest); one set is one domain"
    reading: ClassVar[str] = "our reading of its abstract, with its printed weights"
    grouping: ClassVar[Grouping] = "set"
    sees_target: ClassVar[bool] = True
    uses_teacher: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = LACMFERSettings

    def __init__(self, settings: LACMFERSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.classifiers = nn.ModuleList([nn.Linear(width, len(class_counts))])

    def set_groups(self, groups: Tensor) -> None:
        """Set the source set of each face, and give each set its classifier.

        Args:
            groups: ``(N,) int64`` set of every face of the source pack, from 0.
        """
        super().set_groups(groups)
        classes = len(self.sampled_counts)
        self.classifiers = nn.ModuleList(nn.Linear(self.width, classes) for _ in range(int(groups.max()) + 1))

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification, alignment, consistency and agreement losses.

        Args:
            batch: source and target faces, with the teacher's answers.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``sets``, ``between``, ``within`` and ``agreement``, weighted.
        """
        target, options = batch.target, self.options
        assert target is not None
        assert batch.teacher is not None
        ramp = reversal_coefficient(progress)
        f_source, f_target = fused_features(batch.source), fused_features(target)
        u_source, u_target = directions(f_source), directions(f_target)
        labels = batch.labels.to(u_source)
        weak = batch.teacher.fused.softmax(1)
        pseudo = one_hot_confident(weak, options.threshold).to(u_target)
        of_target, seen = class_means(u_target, pseudo)
        target_classes = torch.diag((seen > 0).to(u_target))
        groups = self.groups_of(batch)
        answers, sets, clusters = [target.logits.fused], f_source.new_zeros(()), u_source.new_zeros(())
        for number, classifier in enumerate(self.classifiers):
            own = groups == number
            share = own.float().mean()
            logits = classifier(f_source)
            answers.append(classifier(f_target))
            if own.any():
                sets = sets + share * head_loss(
                    logits[own], batch.labels[own], self.sampled_counts, self.settings.classification
                )
            else:
                sets = sets + 0 * logits.sum()  # no face of this set in the batch
            means, mass = class_means(u_source, labels * own[:, None])
            classes = torch.diag((mass > 0).to(u_source))
            clusters = clusters + pair_loss(
                directions(means), directions(of_target), classes, target_classes, options.align
            )
        samples = pair_loss(u_source, u_target, labels, pseudo, options.align)
        consistency = cross_entropy(target.logits.fused, weak.to(target.logits.fused))
        apart = torch.stack([discrepancy(one, other) for one, other in combinations(answers, 2)]).mean()
        return {
            "cls": self.classify(batch),
            "sets": sets,
            "between": ramp * options.between * (samples + clusters / len(self.classifiers)),
            "within": ramp * options.within * consistency,
            "agreement": ramp * options.agreement * apart,
        }
