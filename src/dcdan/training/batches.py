"""Batches as indices into a pack: their order, the weights they are sampled by, and reading ahead.

Batches as indices into a pack: an order that is a function of seed and step, and a thread that reads ahead.

Because batch ``i`` follows from the seed and ``i`` alone, a run resumes at any step without replaying those before it.

Which faces a stage draws: evenly, the classes alike, or so that both domains show the classes in like shares.

Where the balance of classes differs between the domains, statistics of batches and a discriminator take the difference
for one of looks (implicit alignment, Jiang et al., ICML 2020; target shift, Zhang et al., ICML 2013).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from queue import Empty, Full, Queue
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcdan.methods.base import Sampling
from dcdan.methods.classification import Balance
from dcdan.training.data import Source


class Order:
    """Batch ``i`` of an endless sequence of shuffled passes over ``indices``; with ``weights``, of weighted draws."""

    def __init__(
        self, indices: np.ndarray, size: int, seed: int, weights: np.ndarray | None = None, salt: int = 0
    ) -> None:
        """``indices`` ``(N,)`` int64 rows of a pack; ``size`` of a batch; ``weights`` ``(N,)`` sum to 1."""
        if not len(indices):
            raise ValueError("There is nothing to draw batches from.")
        self.indices, self.size, self.weights = indices, size, weights
        self.seed = (seed, salt)
        self._epoch = -1
        self._shuffled = indices

    def epoch(self, number: int) -> np.ndarray:
        """Return the rows of pass ``number``, shuffled or drawn."""
        if number != self._epoch:
            rng = np.random.default_rng([*self.seed, number])
            if self.weights is None:
                self._shuffled = rng.permutation(self.indices)
            else:
                self._shuffled = rng.choice(self.indices, len(self.indices), p=self.weights)
            self._epoch = number
        return self._shuffled

    def batch(self, step: int) -> np.ndarray:
        """Return the ``size`` rows of batch ``step``; a batch may reach into the next pass, so none is short."""
        start = step * self.size
        parts = []
        wanted = self.size
        while wanted:
            number, offset = divmod(start, len(self.indices))
            part = self.epoch(number)[offset : offset + wanted]
            parts.append(part)
            start, wanted = start + len(part), wanted - len(part)
        return np.concatenate(parts)


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Return draw weights ``(N,)`` that give every class of ``labels`` ``(N,)`` the same share."""
    counts = np.bincount(labels)
    weights = 1.0 / counts[labels]
    return np.asarray(weights / weights.sum())


def aligned_weights(probabilities: np.ndarray, prior: np.ndarray, most: float = 5.0) -> np.ndarray:
    """Return draw weights ``(N,)`` by which faces of assumed classes have the shares that ``prior`` ``(K,)`` names.

    ``probabilities`` ``(N, K)`` are a model's. Without labels, classes that are rarer in a target than in the source
    are drawn more often, so that a difference of balance is not taken for one of looks (Jiang et al., ICML 2020,
    implicit alignment). No face weighs more than ``most`` times the mean.
    """
    seen = np.maximum(probabilities.mean(0), 1e-4)
    weights = probabilities @ (prior / prior.sum() / seen)
    weights = np.minimum(weights, most * weights.mean())
    return np.asarray(weights / weights.sum(), np.float64)


def gather(faces: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Read rows of a memory-mapped array in ascending order of place, and return them in the order asked for."""
    order = np.argsort(rows)
    out = np.empty((len(rows), *faces.shape[1:]), faces.dtype)
    out[order] = faces[rows[order]]
    return out


class ReadAhead:
    """Iterate over ``(step, rows per order, faces per order)``, read by a thread ``depth`` steps ahead."""

    def __init__(self, faces: list[np.ndarray], orders: list[Order], start: int, stop: int, depth: int = 3) -> None:
        self.faces, self.orders, self.start, self.stop = faces, orders, start, stop
        self.queue: Queue[tuple[int, list[np.ndarray], list[np.ndarray]] | BaseException] = Queue(depth)
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self.fill, daemon=True, name="read-ahead")

    def fill(self) -> None:
        """Read batches until the end, or until the reader is closed."""
        try:
            for step in range(self.start, self.stop):
                rows = [order.batch(step) for order in self.orders]
                item = (step, rows, [gather(*pair) for pair in zip(self.faces, rows, strict=True)])
                if not self.put(item):
                    return
        except BaseException as error:
            self.put(error)

    def put(self, item: tuple[int, list[np.ndarray], list[np.ndarray]] | BaseException) -> bool:
        """Hand over an item; return False when nobody will take it."""
        while not self.closed.is_set():
            try:
                self.queue.put(item, timeout=0.2)
            except Full:
                continue
            return True
        return False

    def __iter__(self) -> Generator[tuple[int, list[np.ndarray], list[np.ndarray]], None, None]:
        """Start the thread and yield what it reads."""
        self.thread.start()
        try:
            for _ in range(self.start, self.stop):
                item = self.take()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.closed.set()
            self.thread.join()

    def take(self) -> tuple[int, list[np.ndarray], list[np.ndarray]] | BaseException:
        """Wait for the next item; a thread that died without a word is an error, not an endless wait."""
        while True:
            try:
                return self.queue.get(timeout=5.0)
            except Empty:
                if not self.thread.is_alive() and self.queue.empty():
                    return RuntimeError("The reading thread ended early.")


def drawn_counts(source: Source, weights: np.ndarray | None) -> Tensor:
    """Return the class counts of the source's training faces as they are drawn.

    Args:
        source: the source.
        weights: draw weights ``(len(source.train),)`` that sum to 1; None for an even draw.

    Returns:
        ``(K,)`` float32. Their sum is the number of training faces.
    """
    if weights is None:
        return source.counts
    shares = np.bincount(source.hard[source.train], weights=weights, minlength=len(source.classes))
    return torch.from_numpy((shares * len(source.train)).astype(np.float32))


class SamplingWeights(NamedTuple):
    """Weights of the training rows of each domain, ``(N,)`` each, that sum to 1; None for an even draw."""

    source: np.ndarray | None
    target: np.ndarray | None


def sampling_weights(
    how: Sampling, balance: Balance, source: Source, seen: Callable[[], np.ndarray]
) -> SamplingWeights:
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
    return SamplingWeights(of_source, of_target)
