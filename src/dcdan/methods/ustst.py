"""USTST: Unsupervised Self-Training Similarity Transfer (Guo et al., MTAP 2024). Uses target images.

    s_t = softmax(cos(f_t, mu_k) / T)              similarity of a target face to the class means mu of the source
    m = (s_t + teacher's weak view) / 2            pseudo-label arg max m, ambiguity 1 - (m_(1) - m_(2))
    L = L_cls + w_p mean over unambiguous faces of CE(p_strong, arg max m) + w_s mean (S_weak - S_strong)^2

S = P P' holds how likely each pair of faces of a batch has one class under the answers P of a view.

Our reading of its abstract: self-training by pseudo-labels from similarities, filtered by the ambiguity of the
expression, and similarity that is transferred between views. mu are moving averages of features of unit length. The
thresholds and weights are ours.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.methods.feature_alignment import MovingMeans, directions, fused_features


class USTSTSettings(MethodSettings):
    """Settings of USTST."""

    temperature: float = Field(default=0.1, gt=0)
    """Temperature T of the similarities."""
    most_ambiguous: float = Field(default=0.5, ge=0, le=1)
    """Ambiguity above which a face gets no pseudo-label."""
    pseudo: float = Field(default=0.5, ge=0)
    """Weight w_p of the pseudo-labels, after the ramp."""
    similarity: float = Field(default=1.0, ge=0)
    """Weight w_s of the agreement of the similarity matrices, after the ramp."""


def ambiguity(probabilities: Tensor) -> Tensor:
    """Return ``1 - (highest - second highest probability)`` of each face.

    Args:
        probabilities: ``(B, K)``, K >= 2.

    Returns:
        ``(B,)`` in [0, 1].

    Example:
        >>> ambiguity(torch.tensor([[0.75, 0.25, 0.0]])).tolist()
        [0.5]
    """
    best = probabilities.topk(2, dim=1).values
    return 1 - (best[:, 0] - best[:, 1])


def pseudo_label_loss(logits: Tensor, guess: Tensor, most_ambiguous: float) -> Tensor:
    """Return the cross-entropy to the likeliest classes, over all faces, of which ambiguous ones count 0.

    Args:
        logits: ``(B, K)``.
        guess: ``(B, K)`` probabilities that the pseudo-labels are taken from.
        most_ambiguous: ambiguity above which a face does not count.

    Returns:
        A scalar.
    """
    counts = ambiguity(guess) <= most_ambiguous
    return (cross_entropy(logits, guess.argmax(1), reduction="none") * counts).mean()


def similarity_loss(weak: Tensor, strong: Tensor) -> Tensor:
    """Return the mean squared difference of the similarity matrices of two views.

    Args:
        weak: ``(B, K)`` probabilities, whose matrix is the aim.
        strong: ``(B, K)`` probabilities.

    Returns:
        A scalar.
    """
    aim, found = ((p[:, None] * p[None]).sum(2) for p in (weak.detach(), strong))
    return (aim - found).square().mean()


@register
class USTST(Method):
    """Pseudo-labels from the similarity to class means, and similarities that agree between views."""

    name: ClassVar[str] = "ustst"
    title: ClassVar[str] = "USTST"
    paper: ClassVar[str] = "Guo et al., USTST: unsupervised self-training similarity transfer, MTAP 83(14), 2024"
    reading: ClassVar[str] = "our reading of its abstract"
    sees_target: ClassVar[bool] = True
    uses_teacher: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = USTSTSettings

    def __init__(self, settings: USTSTSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.prototypes = MovingMeans(len(class_counts), width)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification, the pseudo-label and the similarity loss.

        Args:
            batch: source and target faces, with the teacher's answers.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``pseudo`` and ``similarity``, weighted.
        """
        target, options = batch.target, self.options
        assert target is not None
        assert batch.teacher is not None
        ramp = reversal_coefficient(progress)
        own = directions(fused_features(batch.source)).detach()
        means = directions(self.prototypes(own, batch.labels.to(own)))
        seen = directions(fused_features(target)).detach()
        close = ((seen[:, None] * means[None]).sum(2) / options.temperature).masked_fill(
            ~self.prototypes.known, -torch.inf
        )
        weak = batch.teacher.fused.softmax(1)
        guess = (close.softmax(1) + weak) / 2
        logits = target.logits.fused
        return {
            "cls": self.classify(batch),
            "pseudo": ramp * options.pseudo * pseudo_label_loss(logits, guess, options.most_ambiguous),
            "similarity": ramp * options.similarity * similarity_loss(weak, logits.softmax(1)),
        }
