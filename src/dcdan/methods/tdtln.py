"""TDTLN: Transductive Deep Transfer Learning Network (Yan et al., IEEE Access 2019). Uses target images.

Labels are a linear function of the features; the labels of the target are unknowns that are solved for in turn with it.
On moving averages of both domains' second moments, with X the features (and a 1), Y the labels:

    W    = (E X'X + r I)^-1 E X'Y           ridge regression over source labels and the present target labels
    Y_t  = projection of X_t W on the probability simplex
    L    = L_cls + w ( mean |x_s W - y_s|^2 + mean |x_t W - y_t|^2 )     W and the labels without gradient

Our reading of its abstract: transductive transfer by a regression in a common subspace with unknown target labels. The
subspace is the space of the fused head's features of unit length. The authors solve for all target faces at once; here
each batch solves for its own, ``turns`` times, and the averages carry what earlier batches have found.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.methods.feature_alignment import directions, fused_features


class TDTLNSettings(MethodSettings):
    """Settings of TDTLN."""

    weight: float = Field(default=0.5, ge=0)
    """Weight of the regression losses, after the ramp."""
    ridge: float = Field(default=0.01, gt=0)
    """The ridge r."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of the old second moments."""
    turns: int = Field(default=3, ge=1, le=100)
    """How often W and the target labels are solved for in turn, in each step."""


def on_simplex(values: Tensor) -> Tensor:
    """Return the nearest points of the probability simplex (Duchi et al., ICML 2008).

    Args:
        values: ``(B, K)``.

    Returns:
        ``(B, K)``, at least 0, rows sum to 1.

    Example:
        >>> on_simplex(torch.tensor([[2.0, 0.0], [0.5, 0.5]])).tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    ordered = values.sort(1, descending=True).values
    excess = ordered.cumsum(1) - 1
    places = torch.arange(1, values.shape[1] + 1, device=values.device)
    count = (ordered - excess / places > 0).sum(1, keepdim=True)
    return (values - excess.gather(1, count - 1) / count).clamp_min(0)


def moments(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the second moments that a regression of labels on features is computed from.

    Args:
        features: ``(B, width)``.
        labels: ``(B, K)``.

    Returns:
        ``E X'X`` ``(width, width)`` and ``E X'Y`` ``(width, K)``.
    """
    return features.T @ features / len(features), features.T @ labels / len(features)


def solved(gram: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """Return ``(gram + ridge I)^-1 cross``.

    Args:
        gram: ``(width, width)``, positive semi-definite.
        cross: ``(width, K)``.
        ridge: the ridge, above 0.

    Returns:
        ``(width, K)``.
    """
    found: Tensor = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device), cross)
    return found


def squared_error(features: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
    """Return ``mean |x W - y|^2``.

    Args:
        features: ``(B, width)``.
        weights: ``(width, K)``.
        labels: ``(B, K)``.

    Returns:
        A scalar.
    """
    return (features @ weights - labels).square().sum(1).mean()


@register
class TDTLN(Method):
    """Regression of labels on features of both domains, in turn with the unknown labels of the target."""

    name: ClassVar[str] = "tdtln"
    title: ClassVar[str] = "TDTLN"
    paper: ClassVar[str] = "Yan et al., Cross-Domain FER Based on Transductive Deep Transfer Learning, Access 7, 2019"
    reading: ClassVar[str] = "our reading of its abstract"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = TDTLNSettings

    gram: Tensor
    cross: Tensor
    steps: Tensor

    def __init__(self, settings: TDTLNSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.register_buffer("gram", torch.zeros(width + 1, width + 1))
        self.register_buffer("cross", torch.zeros(width + 1, len(class_counts)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def solve(self, source: Tensor, labels: Tensor, target: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Solve for the regression and the labels of the target faces in turn.

        Args:
            source: ``(B, width + 1)`` features with a 1.
            labels: ``(B, K)``.
            target: ``(B', width + 1)``.
            first: ``(B', K)`` labels to begin with.

        Returns:
            Weights ``(width + 1, K)``, and the labels ``(B', K)`` of the target faces.
        """
        features, found = torch.cat([source, target]), first
        keep = self.options.momentum if self.steps else 0.0
        for _ in range(self.options.turns):
            gram, cross = moments(features, torch.cat([labels, found]))
            gram = keep * self.gram.to(gram) + (1 - keep) * gram
            cross = keep * self.cross.to(cross) + (1 - keep) * cross
            weights = solved(gram, cross, self.options.ridge)
            found = on_simplex(target @ weights)
        self.gram.copy_(gram)
        self.cross.copy_(cross)
        self.steps += 1
        return weights, found

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification loss and the regression losses of both domains.

        Args:
            batch: source and target faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls`` and ``regression``, weighted.
        """
        assert batch.target is not None
        with torch.autocast(batch.labels.device.type, enabled=False):
            source, target = (
                pad(directions(fused_features(outputs)), (0, 1), value=1.0) for outputs in (batch.source, batch.target)
            )
            labels = batch.labels.to(source)
            weights, found = self.solve(source, labels, target, batch.target.logits.fused.softmax(1).to(source))
            error = squared_error(source, weights, labels) + squared_error(target, weights, found)
        ramp = reversal_coefficient(progress)
        return {"cls": self.classify(batch), "regression": ramp * self.options.weight * error}
