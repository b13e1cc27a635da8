"""Label-free signals of a model on unlabelled faces, and checks that stop a diverged training."""

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
    """A diverged model, which further steps cannot repair."""


class Signals(NamedTuple):
    """Statistics of class probabilities on target faces."""

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
    """Return the signals of class probabilities.

    Args:
        probabilities: ``(N, K)``; each row sums to 1.

    Returns:
        The signals.

    Example:
        >>> signals(torch.tensor([[1.0, 0.0], [1.0, 0.0]])).largest_share
        1.0
    """
    p = probabilities.double().clamp_min(1e-12)
    entropy = float(-(p * p.log()).sum(1).mean())
    mean = p.mean(0)
    diversity = float(-(mean * mean.log()).sum())
    best, label = p.max(1)
    share = torch.bincount(label, minlength=p.shape[1]).max() / len(p)
    return Signals(entropy, diversity, diversity - entropy, float(best.mean()), float(share))


def check_prediction_collapse(found: Signals, epoch: int) -> None:
    """Check that predictions have not collapsed to one class.

    Args:
        found: signals of the target.
        epoch: the epoch, for the message.

    Raises:
        DivergedError: when one class takes nearly all target faces.
    """
    if found.largest_share > COLLAPSE:
        raise DivergedError(
            f"The model collapsed in epoch {epoch} of the adaptation: one class takes {found.largest_share:.0%} of the "
            "target faces. Lower adaptation.lr or options.lambda_pseudo, or raise options.threshold_floor; where the "
            "target does show a single expression, use a model that is not adapted."
        )


def discriminators(method: nn.Module) -> dict[str, Discriminator]:
    """Return the discriminators of a method.

    Args:
        method: the method.

    Returns:
        Discriminators by log name, such as ``discriminator_global``; ``discriminator_global_2`` is that of the second
        source set.
    """
    found = {}
    for name, part in method.named_modules():
        if isinstance(part, Discriminator):
            short = name.removeprefix("of_").removeprefix("discriminators.").removeprefix("discriminator")
            if short.startswith("more_"):  # those of the second source set and the ones after it
                branch, number = short.removeprefix("more_").split(".")
                short = f"{branch}_{int(number) + 2}"
            found[f"discriminator_{short}" if short else "discriminator"] = part
    return found


def discriminator_parameters(method: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a method's discriminators.

    Args:
        method: the method.

    Returns:
        The parameters.
    """
    return [parameter for part in discriminators(method).values() for parameter in part.parameters()]


def discriminator_accuracies(method: nn.Module) -> dict[str, float]:
    """Return the accuracy of each discriminator since the last call, and reset the counts.

    Args:
        method: the method.

    Returns:
        Accuracy in [0, 1] by log name; a discriminator that has classified no face is left out.
    """
    found = {}
    for name, part in discriminators(method).items():
        accuracy = part.accuracy()
        part.restart()
        if not math.isnan(accuracy):
            found[name] = accuracy
    return found


def check_discriminator_alive(method: nn.Module, epoch: int) -> None:
    """Check that the outputs of each discriminator still vary.

    Args:
        method: the method.
        epoch: the epoch, for the message.

    Raises:
        DivergedError: when a discriminator gives the same output for every face, and so no useful gradient.
    """
    for name, part in method.named_modules():
        if isinstance(part, Discriminator) and float(part.spread) < DEAD:
            raise DivergedError(
                f"The discriminator '{name}' died in epoch {epoch} of the adaptation: its output is the same for every "
                "face; lower adaptation.lr or adaptation.weight_decay, or leave it out by its weight in options."
            )


def check_finite(values: dict[str, float], stage: str, step: int, bf16: bool = False) -> None:
    """Check that losses and gradient norms are finite.

    Args:
        values: number by name.
        stage: the stage, for the message.
        step: the step, for the message.
        bf16: whether the training runs in bf16, for the advice.

    Raises:
        DivergedError: naming the first that is not.
    """
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        what = "gradient" if bad[0] == "gradient" else f"loss '{bad[0]}'"
        cure = f"set precision=fp32, or lower {stage}.lr" if bf16 else f"lower {stage}.lr"
        raise DivergedError(f"The {what} is no longer a number at step {step} of the {stage} stage; {cure}.")
