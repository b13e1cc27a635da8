"""Batches as rows of a pack: their order, sampling weights, and a reading thread.

The seed and ``i`` alone determine batch ``i``, so that a run resumes at any step without replaying earlier ones.

Faces are sampled uniformly, balanced by class, or so that the class proportions of both domains match. Otherwise batch
statistics and a discriminator mistake a difference in class balance for one in appearance (implicit alignment, Jiang et
al., ICML 2020; target shift, Zhang et al., ICML 2013).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from queue import Empty, Full, Queue
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcdan.methods.base import Sampling
from dcdan.methods.classification import Balance
from dcdan.training.data import Source, StackedFaces


class Order:
    """The batches of an endless sequence of passes over rows, each shuffled or sampled with weights.

    Args:
        indices: ``(N,) int64`` rows of a pack.
        size: batch size.
        seed: seed of the run.
        weights: ``(N,) float64`` sampling weights that sum to 1; None shuffles.
        salt: number that distinguishes sequences with the same seed.

    Raises:
        ValueError: when ``indices`` is empty.

    Example:
        >>> order = Order(np.arange(5), size=2, seed=0)
        >>> sorted(np.concatenate([order.batch(0), order.batch(1), order.batch(2)])[:5].tolist())
        [0, 1, 2, 3, 4]
    """

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
        """Return the rows of one pass, shuffled or sampled.

        Args:
            number: the pass, from 0.

        Returns:
            ``(N,) int64`` rows.
        """
        if number != self._epoch:
            rng = np.random.default_rng([*self.seed, number])
            if self.weights is None:
                self._shuffled = rng.permutation(self.indices)
            else:
                self._shuffled = rng.choice(self.indices, len(self.indices), p=self.weights)
            self._epoch = number
        return self._shuffled

    def batch(self, step: int) -> np.ndarray:
        """Return the rows of one batch; it may continue into the next pass, so that every batch is full.

        Args:
            step: the batch, from 0.

        Returns:
            ``(size,) int64`` rows.
        """
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
    """Return sampling weights that give every class the same probability.

    Args:
        labels: ``(N,) int64`` class indices.

    Returns:
        ``(N,) float64`` that sums to 1.

    Example:
        >>> balanced_weights(np.array([0, 0, 1])).tolist()
        [0.25, 0.25, 0.5]
    """
    counts = np.bincount(labels)
    weights = 1.0 / counts[labels]
    return np.asarray(weights / weights.sum())


def balanced_sets(sets: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return sampling weights that give every data set the same probability.

    Args:
        sets: ``(N,) int64`` number of the data set of each face.
        weights: ``(N,) float64`` weights within the sets; None for uniform ones.

    Returns:
        ``(N,) float64`` that sums to 1.

    Example:
        >>> balanced_sets(np.array([0, 0, 0, 1]), None).round(3).tolist()
        [0.167, 0.167, 0.167, 0.5]
    """
    given = np.ones(len(sets)) if weights is None else weights
    totals = np.bincount(sets, weights=given)
    return np.asarray(given / totals[sets] / np.count_nonzero(totals))


def aligned_weights(probabilities: np.ndarray, prior: np.ndarray, most: float = 5.0) -> np.ndarray:
    """Return sampling weights that give predicted classes the proportions of a prior (Jiang et al., ICML 2020).

    Without labels, classes that are rarer in one domain than in the other are sampled more often.

    Args:
        probabilities: ``(N, K) float64`` class probabilities under a model.
        prior: ``(K,) float64`` class counts or proportions to match.
        most: largest weight over the mean weight.

    Returns:
        ``(N,) float64`` that sums to 1.
    """
    seen = np.maximum(probabilities.mean(0), 1e-4)
    weights = probabilities @ (prior / prior.sum() / seen)
    weights = np.minimum(weights, most * weights.mean())
    return np.asarray(weights / weights.sum(), np.float64)


def gather(faces: np.ndarray | StackedFaces, rows: np.ndarray) -> np.ndarray:
    """Read rows of a memory-mapped array in ascending order and return them in the given order.

    Args:
        faces: ``(N, ...)`` array, or the faces of several packs.
        rows: ``(n,) int64`` rows.

    Returns:
        ``(n, ...)`` copy, equal to ``faces[rows]``.
    """
    order = np.argsort(rows)
    out = np.empty((len(rows), *faces.shape[1:]), faces.dtype)
    out[order] = faces[rows[order]]
    return out


class ReadAhead:
    """An iterator over ``(step, rows per order, faces per order)``, read by a thread ``depth`` steps ahead.

    Args:
        faces: a face array per order.
        orders: the batches of each domain.
        start: first step.
        stop: step after the last.
        depth: batches that are read ahead.
    """

    def __init__(
        self,
        faces: Sequence[np.ndarray | StackedFaces],
        orders: list[Order],
        start: int,
        stop: int,
        depth: int = 3,
    ) -> None:
        self.faces, self.orders, self.start, self.stop = faces, orders, start, stop
        self.queue: Queue[tuple[int, list[np.ndarray], list[np.ndarray]] | BaseException] = Queue(depth)
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self.fill, daemon=True, name="read-ahead")

    def fill(self) -> None:
        """Read batches until the last step or until the iterator is closed."""
        try:
            for step in range(self.start, self.stop):
                rows = [order.batch(step) for order in self.orders]
                item = (step, rows, [gather(*pair) for pair in zip(self.faces, rows, strict=True)])
                if not self.put(item):
                    return
        except BaseException as error:
            self.put(error)

    def put(self, item: tuple[int, list[np.ndarray], list[np.ndarray]] | BaseException) -> bool:
        """Put an item into the queue.

        Args:
            item: a batch, or the exception that ended the thread.

        Returns:
            False when the iterator was closed meanwhile.
        """
        while not self.closed.is_set():
            try:
                self.queue.put(item, timeout=0.2)
            except Full:
                continue
            return True
        return False

    def __iter__(self) -> Generator[tuple[int, list[np.ndarray], list[np.ndarray]], None, None]:
        """Start the thread and yield its batches."""
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
        """Wait for the next item.

        Returns:
            A batch, or the exception that ended the thread; a thread that ends without one gives RuntimeError.
        """
        while True:
            try:
                return self.queue.get(timeout=5.0)
            except Empty:
                if not self.thread.is_alive() and self.queue.empty():
                    return RuntimeError("The reading thread ended early.")


def sampled_counts(source: Source, weights: np.ndarray | None) -> Tensor:
    """Return the class counts of the source's training faces under sampling weights.

    Args:
        source: the source.
        weights: ``(len(source.train),) float64`` that sums to 1; None for uniform sampling.

    Returns:
        ``(K,) float32`` that sums to the number of training faces.
    """
    if weights is None:
        return source.counts
    shares = np.bincount(source.hard[source.train], weights=weights, minlength=len(source.classes))
    return torch.from_numpy((shares * len(source.train)).astype(np.float32))


class SamplingWeights(NamedTuple):
    """Sampling weights of the training rows of each domain, ``(N,)`` that sum to 1; None for uniform sampling."""

    source: np.ndarray | None
    target: np.ndarray | None


def sampling_weights(
    how: Sampling, balance: Balance, source: Source, seen: Callable[[], np.ndarray]
) -> SamplingWeights:
    """Return the sampling weights of both domains.

    Of several source sets each is sampled equally often; the rest decides within a set. ``balanced-sampler`` takes
    precedence over ``source-as-target``, because it fixes the class proportions itself.

    Args:
        how: the setting ``sampling`` of the method.
        balance: the setting ``classification.balance`` of the method.
        source: the source.
        seen: returns class probabilities ``(N, K)`` of the target's training faces; called only where needed.

    Returns:
        The weights.
    """
    of_source = of_target = None
    if balance == "balanced-sampler":
        of_source = balanced_weights(source.hard[source.train])
    elif how == "source-as-target":
        of_source = aligned_weights(source.labels[source.train].double().numpy(), seen().mean(0))
    if source.sets is not None:
        of_source = balanced_sets(source.sets[source.train], of_source)
    if how == "target-as-source":
        of_target = aligned_weights(seen(), source.counts.double().numpy())
    return SamplingWeights(of_source, of_target)
