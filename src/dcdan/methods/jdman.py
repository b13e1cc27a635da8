"""JDMAN: Joint Discriminative and Mutual Adaptation Networks (Li et al., ACM MM 2021). Uses target images.

    discriminative    centre loss on the source; class means of source and pseudo-labelled target drawn together
    mutual            a conditional discriminator (CDAN) and the maximum mean discrepancy at once

    L = L_cls + w_c mean |f - c_y|^2 + w_m mean_k |c_k - t_k|^2 + w_d MMD^2(f_s, f_t) + CDAN

Our reading of its abstract: the formulas of the weights and the authors' two trunks are not used. Features are the sum
of global and local ones, of unit length in the centre, mean and MMD losses. c and t are moving averages. Pseudo-labels
are the teacher's where it is at least ``threshold`` sure.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from dcdan.methods.adversarial import adversarial_loss, reversal_coefficient
from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.methods.feature_alignment import MovingMeans, directions, fused_features, mmd, one_hot_confident
from dcdan.models.discriminator import Discriminator


class JDMANSettings(MethodSettings):
    """Settings of JDMAN."""

    centre: float = Field(default=0.1, ge=0)
    """Weight w_c of the centre loss."""
    means: float = Field(default=0.5, ge=0)
    """Weight w_m of the distance between class means, after the ramp."""
    discrepancy: float = Field(default=0.5, ge=0)
    """Weight w_d of the maximum mean discrepancy, after the ramp."""
    adversarial: float = Field(default=0.1, ge=0)
    """Weight of what the features raise of the discriminator's loss, after the ramp."""
    threshold: float = Field(default=0.8, ge=0, lt=1)
    """Least confidence of a pseudo-label."""


def centre_loss(features: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """Return the mean of ``sum_k y_k |f - c_k|^2``.

    Args:
        features: ``(B, width)``.
        labels: ``(B, K)``, rows sum to 1.
        centres: ``(K, width)``.

    Returns:
        A scalar.
    """
    distances = (features[:, None] - centres[None]).square().sum(2)
    return (labels.to(distances) * distances).sum(1).mean()


def mean_distance(first: Tensor, second: Tensor, known: Tensor) -> Tensor:
    """Return the mean squared distance of class means, over the classes that both domains have shown.

    Args:
        first: ``(K, width)``.
        second: ``(K, width)``.
        known: ``(K,) bool``.

    Returns:
        A scalar; 0 where no class is known.
    """
    each = (first - second).square().sum(1)
    return (each * known).sum() / known.sum().clamp_min(1)


@register
class JDMAN(Method):
    """Centres of classes drawn together within and across domains, with an adversary and MMD."""

    name: ClassVar[str] = "jdman"
    title: ClassVar[str] = "JDMAN"
    paper: ClassVar[str] = "Li et al., JDMAN: Joint Discriminative and Mutual Adaptation Networks, ACM MM 2021"
    reading: ClassVar[str] = "our reading of its abstract"
    sees_target: ClassVar[bool] = True
    uses_teacher: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = JDMANSettings

    def __init__(self, settings: JDMANSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        classes = len(class_counts)
        self.of_source = MovingMeans(classes, width)
        self.of_target = MovingMeans(classes, width)
        self.discriminator = Discriminator(width * classes)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification, the discriminative and the mutual losses.

        Args:
            batch: source and target faces, with the teacher's answers.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``centre``, ``means``, ``mmd`` and ``adv``, weighted.
        """
        source, target, options = batch.source, batch.target, self.options
        assert target is not None
        assert batch.teacher is not None
        ramp = reversal_coefficient(progress)
        f_source, f_target = fused_features(source), fused_features(target)
        u_source, u_target = directions(f_source), directions(f_target)
        pseudo = one_hot_confident(batch.teacher.fused.softmax(1), options.threshold).to(u_target)
        centres = self.of_source(u_source, batch.labels.to(u_source))
        means = self.of_target(u_target, pseudo)
        known = self.of_source.known & self.of_target.known
        adversarial = adversarial_loss(
            self.discriminator,
            f_source,
            f_target,
            source.logits.fused,
            target.logits.fused,
            ramp * options.adversarial,
            "cdan-e",
        )
        return {
            "cls": self.classify(batch),
            "centre": options.centre * centre_loss(u_source, batch.labels, centres),
            "means": ramp * options.means * mean_distance(centres, means, known),
            "mmd": ramp * options.discrepancy * mmd(u_source, u_target),
            "adv": adversarial,
        }
