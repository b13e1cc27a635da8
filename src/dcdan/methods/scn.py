"""SCN: Self-Cure Network (Wang et al., CVPR 2020). Source faces alone: it sees no target image.

Each face has an importance a = sigmoid(w f), which does three things, f the features and W the classifier:

    weighted cross-entropy     mean of -log softmax(a W f) at the label
    rank regularisation        max(0, margin - (mean a of the top share - mean a of the rest))
    relabelling, late          a face of the rest goes over to its likeliest class when p_max - p_given > .2

The top share is the .7 of the batch with the highest importance. A new label is kept for the rest of the training and
is itself open to change; it counts from the face's next turn on, as in the authors' code.

Different here: the margin of the ranks is .07 (.15 in the authors' code); "from epoch 10" of 40 is a quarter of the
stage; only faces of the lower group are relabelled, as the paper says and its code does not. Labels may be votes: the
given label is then their arg-max, and a relabelled face loses its votes. Importance is part of the exported model,
since the probabilities that are trained are those of a W f.
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
    """The plain network with logits ``a W f``; its auxiliary output ``importance`` is a ``(B,)`` in [0, 1]."""

    def __init__(self, settings: NetworkSettings, classes: int, size: int) -> None:
        super().__init__(settings, classes, size)
        self.importance = nn.Linear(settings.width, 1)

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:  # noqa: ARG002
        """Look at faces; landmarks change nothing here."""
        features = self.look(self.normalised(faces))
        importance = self.importance(features).sigmoid()
        return self.say(features, importance * self.head(features), importance=importance.squeeze(1))


def in_top(importance: Tensor, share: float) -> Tensor:
    """Return which ``(B,)`` bool of the faces are in the top group, ``share`` of them; neither group is empty."""
    size = min(max(int(share * len(importance)), 1), len(importance) - 1)
    top = torch.zeros_like(importance, dtype=torch.bool)
    return top.index_fill_(0, importance.topk(size).indices, True)


def rank_loss(importance: Tensor, top: Tensor, margin: float) -> Tensor:
    """Return ``max(0, margin - (mean of the top - mean of the rest))`` of importances ``(B,)``, a scalar."""
    return relu(margin - (importance[top].mean() - importance[~top].mean()))


def relabelled(probabilities: Tensor, given: Tensor, open_to_it: Tensor, margin: float) -> Tensor:
    """Return labels ``(B,)`` int64: the likeliest class where it beats the ``given`` one by ``margin``, else that.

    Of probabilities ``(B, K)``, for the faces ``open_to_it`` ``(B,)`` bool.
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

    given: Tensor

    def __init__(self, settings: SCNSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.register_buffer("given", torch.empty(0, dtype=torch.int64))

    @classmethod
    def build_network(cls, settings: NetworkSettings, classes: int, size: int) -> SelfCureNetwork:
        """Return the plain network with an importance for each face."""
        return SelfCureNetwork(settings, classes, size)

    def prepare(self, network: Network, faces: int) -> None:  # noqa: ARG002
        """Make room for a new label of every face; -1 is none."""
        self.given = torch.full((faces,), -1)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted cross-entropy and the rank regularisation; relabel for the turns to come."""
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
        """Return the number of faces whose label was ever changed."""
        return {"relabelled": float((self.given >= 0).sum())}
