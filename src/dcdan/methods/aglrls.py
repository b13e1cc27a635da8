"""AGLRLS: adaptive global-local representation learning and selection (Gao et al., TMM 2024). Uses target images.

As in the authors' code, there are seven classifiers with three heads: on the global feature, on each of five regions
(one shared head), and on both fused. Their weights are w = 7, 1, 1, 1, 1, 1, 7 (sum 19), and each head has a
discriminator:

    L = sum_i w_i CE_i(source) + sum_i w_i E_target [p_i(weak) >= T_i] CE_i(strong, argmax p_i(weak))
        + .5 sum_i CDAN-E_i
    T_i,c = .95 ((b_i,c + 1) / 2)^2,   b_i,c = n_i,c / max(n_i,1 .. n_i,K, faces not counted yet)

n_i,c counts the target faces of the epoch that classifier i assigns to class c with at least .95. Counts and thresholds
restart in each epoch, at .2375, so that noise is admitted again and again. This fault of the method is reproduced.

Differences from the authors' code: - The loss is divided by 19, so that the learning rate means the same as for other
methods. The discriminators train at   full weight, and .5 / 19 is part of the reversal coefficient. - Target faces are
not identified: a face that occurs twice within an epoch counts twice. The number of faces of an epoch   is computed
from the faces counted so far and the fraction of the epoch that is done. - Predictions on weak views come from the
teacher (with ``teacher = 0``, the student, as in the code). The teacher has one   prediction on local features, so that
the five regions share the label, count and threshold of the local head. - The fused feature is the sum of both
branches, as in this network; theirs concatenates six vectors. - The reversal coefficient counts optimiser steps; their
code counts forward passes. - Mirrored faces have mirrored regions, because the network cuts its windows after the flip;
their code does not. The final choice between the heads is the network's, with the thresholds of the fused head.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dcdan.methods.adversarial import adversarial_loss, reversal_coefficient
from dcdan.methods.base import Batch, MethodSettings, register
from dcdan.methods.classification import head_loss
from dcdan.methods.holistic_local import PartsMethod, parts_of
from dcdan.models.discriminator import Discriminator
from dcdan.models.network import NetworkOutputs

FUSED, GLOBAL, LOCAL = range(3)
HEADS = (GLOBAL, LOCAL, LOCAL, LOCAL, LOCAL, LOCAL, FUSED)
"""The head and the discriminator of each of the seven classifiers."""
WEIGHTS = (7, 1, 1, 1, 1, 1, 7)


class AGLRLSSettings(MethodSettings):
    """Settings of AGLRLS."""

    pseudo: float = Field(default=1.0, ge=0)
    """Weight of the pseudo-label loss."""
    adversarial: float = Field(default=0.5, ge=0)
    """Weight of the seven adversarial losses on the features, each the mean over both domains."""
    threshold: float = Field(default=0.95, gt=0, lt=1)
    """Probability from which a face is counted; also the threshold of the class with the highest count."""


class EpochThresholds(nn.Module):
    """Thresholds of each head and class that restart in each epoch.

    Args:
        classes: number of classes K.
        threshold: the highest threshold.
    """

    counts: Tensor
    ratios: Tensor
    seen: Tensor
    epoch: Tensor

    def __init__(self, classes: int, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.register_buffer("counts", torch.zeros(3, classes))
        self.register_buffer("ratios", torch.zeros(3, classes))
        self.register_buffer("seen", torch.tensor(0.0))
        self.register_buffer("epoch", torch.tensor(-1))

    def values(self) -> Tensor:
        """Return the thresholds of the fused, global and local head.

        Returns:
            ``(3, K) float32``.
        """
        return self.threshold * ((self.ratios + 1) / 2).square()

    @torch.no_grad()
    def begin(self, passed: float) -> None:
        """Set the thresholds of a step from the counts of its epoch.

        Args:
            passed: epochs done, with their fraction.
        """
        epoch = int(passed)
        share = passed - epoch
        # Products instead of branches, so that a GPU is not waited for.
        same = self.epoch == epoch
        self.epoch.fill_(epoch)
        self.counts.mul_(same)
        self.seen.mul_(same)
        uncounted = (self.seen / max(share, 1e-9) - self.counts.sum(1)).clamp_min(1)
        self.ratios.copy_(self.counts / torch.maximum(self.counts.amax(1), uncounted)[:, None])

    @torch.no_grad()
    def count(self, probabilities: Tensor) -> None:
        """Count the confident predictions of a batch.

        Args:
            probabilities: ``(3, B, K)`` of the fused, global and local head.
        """
        best, label = probabilities.max(2)
        certain = (best >= self.threshold).to(self.counts.dtype)
        self.counts.scatter_add_(1, label, certain)
        self.seen.add_(probabilities.shape[1])


def consistency(student: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    """Return the cross-entropy over the faces that count, divided by all B faces.

    Args:
        student: ``(B, K)`` logits.
        labels: ``(B,) int64`` pseudo-labels.
        counted: ``(B,) bool``, which faces count.

    Returns:
        A scalar.
    """
    return (cross_entropy(student, labels, reduction="none") * counted).mean()


def seven_classifiers(outputs: NetworkOutputs) -> list[tuple[Tensor, Tensor]]:
    """Return the features and logits of the seven classifiers.

    Args:
        outputs: outputs of the network on B faces.

    Returns:
        Features ``(B, width)`` and logits ``(B, K)``, in the order of ``HEADS``.
    """
    assert outputs.heads is not None
    parts, heads = parts_of(outputs), outputs.heads
    regions = [(part, heads.of_local(part)) for part in parts[:, 1:].unbind(1)]
    fused = outputs.of_global + outputs.of_local
    return [(parts[:, 0], outputs.logits.of_global), *regions, (fused, outputs.logits.fused)]


@register
class AGLRLS(PartsMethod):
    """Global, local and fused adversarial alignment, with pseudo-labels under thresholds of the epoch."""

    name: ClassVar[str] = "aglrls"
    title: ClassVar[str] = "AGLRLS"
    paper: ClassVar[str] = "Gao et al., IEEE Transactions on Multimedia 2024, arXiv 2401.11085"
    sees_target: ClassVar[bool] = True
    uses_teacher: ClassVar[bool] = True
    revision: ClassVar[int] = 3
    Settings: ClassVar[type[MethodSettings]] = AGLRLSSettings

    def __init__(self, settings: AGLRLSSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        classes = len(class_counts)
        self.discriminators = nn.ModuleList([Discriminator(width * classes) for _ in range(3)])
        self.dynamic = EpochThresholds(classes, settings.threshold)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification, adversarial and pseudo-label losses of the seven classifiers.

        Args:
            batch: source and target faces, with the teacher's logits.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``adv`` and ``pl``, weighted.
        """
        assert batch.target is not None
        assert batch.teacher is not None
        options, counts, whole = self.options, self.sampled_counts, sum(WEIGHTS)
        coefficient = options.adversarial / whole * reversal_coefficient(progress)
        self.dynamic.begin(progress * self.epochs)
        weak = torch.stack(tuple(batch.teacher)).softmax(2)
        best, labels = weak.max(2)
        counted = best >= self.dynamic.values().gather(1, labels)
        cls, pseudo, adversarial = [], [], []
        for weight, head, source, target in zip(
            WEIGHTS, HEADS, seven_classifiers(batch.source), seven_classifiers(batch.target), strict=True
        ):
            cls.append(weight * head_loss(source[1], batch.labels, counts, options.classification))
            pseudo.append(weight * consistency(target[1], labels[head], counted[head]))
            discriminator = self.discriminators[head]
            assert isinstance(discriminator, Discriminator)
            adversarial.append(
                adversarial_loss(discriminator, source[0], target[0], source[1], target[1], coefficient, "cdan-e")
            )
        self.dynamic.count(weak)
        return {
            "cls": torch.stack(cls).sum() / whole,
            "adv": torch.stack(adversarial).sum(),
            "pl": options.pseudo * torch.stack(pseudo).sum() / whole,
        }

    def thresholds(self) -> Tensor:
        """Return the thresholds of the final choice, those of the fused head.

        Returns:
            ``(K,) float32``.
        """
        return self.dynamic.values()[FUSED]

    def report(self) -> dict[str, float | list[float]]:
        """Return the lowest and the highest threshold.

        Returns:
            ``threshold_min`` and ``threshold_max``.
        """
        values = self.dynamic.values()
        return {"threshold_min": float(values.min()), "threshold_max": float(values.max())}
