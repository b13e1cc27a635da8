"""Label-free signals: what can be said of a model on faces without labels, and when a training has gone wrong."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dcdan.core.errors import TrainingError
from dcdan.models.discriminator import Discriminator

COLLAPSE = 0.95
DEAD = 1e-3


class DivergedError(TrainingError):
    """A model that further steps will not mend."""


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


def check_prediction_collapse(found: Signals, epoch: int) -> None:
    """Raise DivergedError when one class takes nearly all target faces."""
    if found.largest_share > COLLAPSE:
        raise DivergedError(
            f"The model collapsed in epoch {epoch} of the adaptation: one class takes {found.largest_share:.0%} of the "
            "target faces. Lower adaptation.lr or options.lambda_pseudo, or raise options.threshold_floor; where the "
            "target does show a single expression, use a model that is not adapted."
        )


def discriminators(method: nn.Module) -> dict[str, Discriminator]:
    """Return the discriminators of a method by the name of their branch, such as ``global``."""
    found = {}
    for name, part in method.named_modules():
        if isinstance(part, Discriminator):
            short = name.removeprefix("of_").removeprefix("discriminators.").removeprefix("discriminator")
            found[f"discriminator_{short}" if short else "discriminator"] = part
    return found


def discriminator_parameters(method: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a method's discriminators."""
    return [parameter for part in discriminators(method).values() for parameter in part.parameters()]


def discriminator_accuracies(method: nn.Module) -> dict[str, float]:
    """Return the accuracy of each discriminator since it was last asked for, and let it count anew.

    Returns:
        Name -> accuracy in 0..1; one that has seen no face is left out.
    """
    found = {}
    for name, part in discriminators(method).items():
        accuracy = part.accuracy()
        part.restart()
        if not math.isnan(accuracy):
            found[name] = accuracy
    return found


def check_discriminator_alive(method: nn.Module, epoch: int) -> None:
    """Raise DivergedError when a discriminator of the method says the same of every face, and so teaches nothing."""
    for name, part in method.named_modules():
        if isinstance(part, Discriminator) and float(part.spread) < DEAD:
            raise DivergedError(
                f"The discriminator '{name}' died in epoch {epoch} of the adaptation: it says the same of every face; "
                "lower adaptation.lr or adaptation.weight_decay, or leave it out by its weight in options."
            )


def check_finite(values: dict[str, float], stage: str, step: int, bf16: bool = False) -> None:
    """Raise DivergedError when a loss, or the norm of the gradient, is not a number or infinite, and name it."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        what = "gradient" if bad[0] == "gradient" else f"loss '{bad[0]}'"
        cure = f"set precision=fp32, or lower {stage}.lr" if bf16 else f"lower {stage}.lr"
        raise DivergedError(f"The {what} is no longer a number at step {step} of the {stage} stage; {cure}.")
