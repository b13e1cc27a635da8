"""Which faces a stage draws: evenly, the classes alike, or so that both domains show the classes in like shares.

Where the balance of classes differs between the domains, statistics of batches and a discriminator take the difference
for one of looks (implicit alignment, Jiang et al., ICML 2020; target shift, Zhang et al., ICML 2013).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dcdan.data.batches import aligned_weights, balanced_weights
from dcdan.methods.base import Sampling
from dcdan.methods.classification import Balance
from dcdan.training.domains import Source


class DrawWeights(NamedTuple):
    """Weights of the training rows of each domain, ``(N,)`` each, that sum to 1; None for an even draw."""

    source: np.ndarray | None
    target: np.ndarray | None


def draw_weights(how: Sampling, balance: Balance, source: Source, seen: Callable[[], np.ndarray]) -> DrawWeights:
    """Return the weights that a method's ``sampling`` and its remedy for uneven classes ask for.

    ``seen()`` gives the class probabilities ``(N, K)`` of the target's training faces; it is asked only where needed.
    The balanced sampler, which says the source's shares itself, goes before ``source-as-target``.
    """
    of_source = of_target = None
    if balance == "balanced-sampler":
        of_source = balanced_weights(source.hard[source.train])
    elif how == "source-as-target":
        of_source = aligned_weights(source.labels[source.train].double().numpy(), seen().mean(0))
    if how == "target-as-source":
        of_target = aligned_weights(seen(), source.counts.double().numpy())
    return DrawWeights(of_source, of_target)
