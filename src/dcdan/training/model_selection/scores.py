"""Model selection without target labels: six scores from the literature, and a guard against collapse.

Every score is oriented so that higher is better. None is right on every pair of data sets, so that `dcdan benchmark`
prints the epoch that each would select beside the last one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dcdan.training.model_selection.signals import COLLAPSE, signals

Score = Literal["source_validation", "entropy", "information", "bnm", "snd", "dev"]
SCORES: tuple[Score, ...] = get_args(Score)
SND_TEMPERATURE = 0.05


class EpochScores(NamedTuple):
    """The scores of one kept epoch."""

    epoch: int
    scores: dict[Score, float]
    """Higher is better; not a number where a score could not be had."""
    largest_share: float
    """Share of target faces that go to the commonest class."""

    @property
    def collapsed(self) -> bool:
        """Whether one class takes nearly all target faces; most scores rate such a model highly."""
        return self.largest_share > COLLAPSE


def entropy_score(p: Tensor) -> float:
    """Return minus the mean entropy of predictions (Morerio et al., ICLR 2018).

    Args:
        p: ``(N, K)`` class probabilities.

    Returns:
        Nats, at most 0.
    """
    return -signals(p).entropy


def information_score(p: Tensor) -> float:
    """Return the mutual information of face and class (Shi and Sha, ICML 2012).

    Args:
        p: ``(N, K)`` class probabilities.

    Returns:
        Nats, at least 0.

    Example:
        >>> round(information_score(torch.eye(2)), 4)
        0.6931
    """
    return signals(p).information


def bnm_score(p: Tensor) -> float:
    """Return the nuclear norm of predictions over its largest possible value (Cui et al., CVPR 2020).

    Args:
        p: ``(N, K)`` class probabilities.

    Returns:
        A number in (0, 1].

    Example:
        >>> round(bnm_score(torch.eye(2)), 4)
        1.0
    """
    n, k = p.shape
    return float(torch.linalg.matrix_norm(p.double(), "nuc") / math.sqrt(n * min(n, k)))


def snd_score(p: Tensor, temperature: float = SND_TEMPERATURE) -> float:
    """Return the soft neighbourhood density of predictions (Saito et al., ICCV 2021, Eq. 1-3).

    It is the mean entropy of each face's softmax over its similarities to the other faces.

    Args:
        p: ``(N, K)`` class probabilities.
        temperature: temperature of the softmax.

    Returns:
        Nats; higher where a face has many neighbours.
    """
    unit = normalize(p.double(), dim=1)
    similarity = unit @ unit.T / temperature
    similarity.fill_diagonal_(-math.inf)
    log_share = similarity.log_softmax(1)
    share = log_share.exp()
    return float(-(share * log_share.clamp_min(-1e4)).sum(1).mean())


def density_weights(train: Tensor, validation: Tensor, target: Tensor) -> Tensor:
    """Return the density ratio of target to source at each source validation face (You et al., ICML 2019, Eq. 5).

    A logistic regression between source training and target features gives the ratio.

    Args:
        train: ``(N, D)`` features of source training faces.
        validation: ``(V, D)`` features of source validation faces.
        target: ``(M, D)`` features of target faces.

    Returns:
        ``(V,) float64``.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    both = torch.cat([train, target]).double()
    mean, deviation = both.mean(0), both.std(0).clamp_min(1e-6)
    truth = torch.cat([torch.ones(len(train)), torch.zeros(len(target))])
    # Products this small take five times as long with two threads as with one, which wait for each other.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a score that compares epochs needs no last digits
        model = LogisticRegression(C=0.1, max_iter=200).fit(((both - mean) / deviation).numpy(), truth.numpy())
    of_source = torch.from_numpy(model.predict_proba(((validation.double() - mean) / deviation).numpy())[:, 1])
    return (len(train) / len(target)) * (1 - of_source) / of_source.clamp_min(1e-6)


def dev_risk(loss: Tensor, weights: Tensor) -> float:
    """Return the importance-weighted risk with its control variate (You et al., ICML 2019, Algorithm 1).

    Args:
        loss: ``(V,)`` losses of source validation faces.
        weights: ``(V,)`` their density ratios.

    Returns:
        The risk; lower is better.

    Example:
        >>> dev_risk(torch.tensor([1.0, 3.0]), torch.ones(2))
        2.0
    """
    loss, weights = loss.double(), weights.double()
    weighted = loss * weights
    covariance = ((weighted - weighted.mean()) * (weights - weights.mean())).sum() / (len(loss) - 1)
    variance = weights.var()
    eta = -covariance / variance if variance > 0 else torch.zeros(())
    return float(weighted.mean() + eta * weights.mean() - eta)


def select_epoch(epochs: Sequence[EpochScores], by: Score) -> EpochScores:
    """Select an epoch by a score.

    Args:
        epochs: scores of the epochs, by epoch.
        by: the score.

    Returns:
        The highest score among epochs that have not collapsed, the latest of equals; the last epoch when all have
        collapsed or lack the score.
    """
    sound = [c for c in epochs if not c.collapsed and math.isfinite(c.scores.get(by, math.nan))]
    if not sound:
        return epochs[-1]
    return max(sound, key=lambda c: (c.scores[by], c.epoch))
