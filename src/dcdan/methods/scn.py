"""SCN: Self-Cure Network (Wang et al., CVPR 2020). Trains on source faces only; uses no target images.

Each face has an importance a = sigmoid(w f) with three uses; f are the features and W the classifier:

    weighted cross-entropy     mean of -log softmax(a W f) at the label
    rank regularisation        max(0, margin - (mean a of the top group - mean a of the rest))
    relabelling, late          a face of the rest takes its likeliest class when p_max - p_given > .2

The top group is the .7 of the batch with the highest importance. A new label is used for the rest of the training, from
the next occurrence of the face as in the authors' code, and may change again.

Differences from the authors' code: the margin of the ranks is .07 (theirs .15). "From epoch 10" of 40 is a quarter of
the stage. Only faces of the lower group are relabelled, as in the paper but not in the code. Labels may be votes: the
given label is their arg-max, and a relabelled face loses its votes. Importance is part of the exported model, because
the trained probabilities are those of a W f.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot, relu

from dcdan.methods.base import Batch, MethodSettings, SourceMethod, register
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings, PlainNetwork


class SCNSettings(MethodSettings):
    """Settings of SCN."""

    top_share: float = Field(default=0.7, gt=0, lt=1)
    """Share of a batch whose importance must be the higher."""
    rank_margin: float = Field(default=0.07, ge=0, le=1)
    """By how much, in the mean."""
    rank_weight: float = Field(default=1.0, ge=0)
    """Weight of the rank regularisation against the cross-entropy."""
    relabel_margin: float = Field(default=0.2, ge=0, le=1)
    """By how much the likeliest class must beat the given one."""
    relabel_from: float = Field(default=0.25, ge=0, le=1)
    """Share of the stage after which faces are relabelled; 1 never does."""


class SelfCureNetwork(PlainNetwork):
    """The plain network with logits ``a W f``; its auxiliary output ``importance`` is a, ``(B,)`` in [0, 1]."""

    def __init__(self, settings: NetworkSettings, classes: int, size: int) -> None:
        super().__init__(settings, classes, size)
        self.importance = nn.Linear(settings.width, 1)

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:  # noqa: ARG002
        """Compute the outputs for a batch of faces.

        Args:
            faces: ``(B, 3 or 1, S, S) float32`` in [0, 1].
            landmarks: not used.

        Returns:
            The outputs.
        """
        features = self.pooled_features(self.normalised(faces))
        importance = self.importance(features).sigmoid()
        return self.single_head_outputs(features, importance * self.head(features), importance=importance.squeeze(1))


def in_top(importance: Tensor, share: float) -> Tensor:
    """Return which faces are in the top group; neither group is empty.

    Args:
        importance: ``(B,)``.
        share: fraction of the batch in the top group.

    Returns:
        ``(B,) bool``.

    Example:
        >>> in_top(torch.tensor([0.1, 0.9, 0.5]), 0.7).tolist()
        [False, True, True]
    """
    size = min(max(int(share * len(importance)), 1), len(importance) - 1)
    top = torch.zeros_like(importance, dtype=torch.bool)
    return top.index_fill_(0, importance.topk(size).indices, True)


def rank_loss(importance: Tensor, top: Tensor, margin: float) -> Tensor:
    """Return ``max(0, margin - (mean of the top group - mean of the rest))``.

    Args:
        importance: ``(B,)``.
        top: ``(B,) bool``, the top group.
        margin: the margin.

    Returns:
        A scalar.
    """
    return relu(margin - (importance[top].mean() - importance[~top].mean()))


def relabelled(probabilities: Tensor, given: Tensor, open_to_it: Tensor, margin: float) -> Tensor:
    """Return the likeliest class where it beats the given one by a margin, else the given one.

    Args:
        probabilities: ``(B, K)``.
        given: ``(B,) int64`` current labels.
        open_to_it: ``(B,) bool``, which faces may be relabelled.
        margin: the margin.

    Returns:
        ``(B,) int64``.
    """
    best, label = probabilities.max(1)
    beaten = best - probabilities.gather(1, given[:, None]).squeeze(1) > margin
    return torch.where(beaten & open_to_it, label, given)


@register
class SCN(SourceMethod):
    """Cross-entropy weighted by the importance of each face; labels of the least important are corrected."""

    name: ClassVar[str] = "scn"
    title: ClassVar[str] = "SCN"
    paper: ClassVar[str] = (
        "Wang et al., Suppressing Uncertainties for Large-Scale Facial Expression Recognition, CVPR 2020"
    )
    Settings: ClassVar[type[MethodSettings]] = SCNSettings
    network_class: ClassVar[type[Network]] = SelfCureNetwork

    given: Tensor

    def __init__(self, settings: SCNSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.register_buffer("given", torch.empty(0, dtype=torch.int64))

    def prepare(self, network: Network, faces: int) -> None:  # noqa: ARG002
        """Allocate a new label for every face; -1 is none.

        Args:
            network: not used.
            faces: number of faces in the source pack.
        """
        self.given = torch.full((faces,), -1)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted cross-entropy and the rank regularisation, and relabel faces for later steps.

        Args:
            batch: source faces, with their rows.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls`` and ``rank``, weighted.
        """
        assert batch.rows is not None
        kept = self.given[batch.rows]
        new = one_hot(kept.clamp_min(0), batch.labels.shape[1]).to(batch.labels)
        labels = torch.where((kept >= 0)[:, None], new, batch.labels)
        importance = batch.source.auxiliary["importance"].float()
        top = in_top(importance.detach(), self.options.top_share)
        if self.options.relabel_from <= progress:
            now = labels.argmax(1)
            found = relabelled(batch.source.logits.fused.detach().softmax(1), now, ~top, self.options.relabel_margin)
            self.given[batch.rows] = torch.where(found == now, kept, found)
        return {
            "cls": self.classify(replace(batch, labels=labels)),
            "rank": self.options.rank_weight * rank_loss(importance, top, self.options.rank_margin),
        }

    def report(self) -> dict[str, float | list[float]]:
        """Return the number of faces whose label has been changed.

        Returns:
            ``relabelled``.
        """
        return {"relabelled": float((self.given >= 0).sum())}
