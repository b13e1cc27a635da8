"""Label-free signals: what can be said of a model on faces without labels, and when it has collapsed."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dcdan.errors import TrainingError

COLLAPSE = 0.95


class Signals(NamedTuple):
    """Signals of class probabilities on target faces."""

    entropy: float
    """Mean entropy of a face's prediction, in nats: lower is surer."""
    diversity: float
    """Entropy of the mean prediction, in nats: lower is closer to collapse."""
    information: float
    """Their difference, the mutual information of face and class: higher is better (Shi and Sha, ICML 2012)."""
    confidence: float
    """Mean of the highest probability."""
    largest_share: float
    """Share of faces that go to the commonest class."""


def signals(probabilities: Tensor) -> Signals:
    """Return the signals of rows ``(N, K)`` that sum to 1."""
    p = probabilities.double().clamp_min(1e-12)
    entropy = float(-(p * p.log()).sum(1).mean())
    mean = p.mean(0)
    diversity = float(-(mean * mean.log()).sum())
    best, label = p.max(1)
    share = torch.bincount(label, minlength=p.shape[1]).max() / len(p)
    return Signals(entropy, diversity, diversity - entropy, float(best.mean()), float(share))


def refuse_collapse(found: Signals, epoch: int) -> None:
    """Raise TrainingError when one class takes nearly all target faces."""
    if found.largest_share > COLLAPSE:
        raise TrainingError(
            f"The model collapsed in epoch {epoch} of the adaptation: one class takes {found.largest_share:.0%} of the "
            "target faces; lower adaptation.lr or options.lambda_pseudo, or raise options.threshold_floor."
        )


def refuse_non_finite(losses: dict[str, float], stage: str, step: int) -> None:
    """Raise TrainingError when a loss is not a number or infinite, and name it."""
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            f"The loss '{bad[0]}' is no longer a number at step {step} of the {stage} stage; lower {stage}.lr "
            "or set precision=fp32."
        )
