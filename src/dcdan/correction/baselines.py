"""Published corrections that need no training, for comparison: T3A and LAME."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from dcdan.core.errors import DataError
from dcdan.correction.arrays import Floats, Integers, checked_log, log_softmax


class BaselineSettings(BaseModel):
    """Settings of the baselines.

    Attributes:
        supports: T3A keeps so many features of lowest entropy for each class; 0 keeps all.
        neighbours: of each face in LAME's graph.
        iterations: most iterations of LAME.
        tolerance: LAME ends when its energy changes by a smaller share.
        batch: faces answered together; both methods are defined on batches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    supports: int = Field(default=100, ge=0)
    neighbours: int = Field(default=5, ge=1)
    iterations: int = Field(default=100, ge=1)
    tolerance: float = Field(default=1e-8, gt=0)
    batch: int = Field(default=64, ge=1)


def t3a(features: ArrayLike, weights: ArrayLike, bias: ArrayLike, settings: BaselineSettings | None = None) -> Floats:
    """Replace a linear classifier by class centroids of the target's own most certain features (T3A).

    Iwasawa & Matsuo, "Test-time classifier adjustment module for model-agnostic domain generalization", NeurIPS 2021,
    equations 3 to 6: each feature joins the support set of the class that the linear classifier names, with the
    entropy of that answer; of each class the ``supports`` of lowest entropy are kept; the classifier becomes the mean
    of the normalised supports. The sets start from the classifier's own weights.

    Args:
        features: (N, D), in the order in which they come.
        weights: (K, D) of the linear classifier.
        bias: (K,) of it.
        settings: supports, batch.

    Returns:
        (N, K) float64 log-probabilities.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> t3a([[1.0, 0.0], [0.0, 1.0]], np.eye(2), np.zeros(2)).argmax(1).tolist()
        [0, 1]
    """
    chosen = settings or BaselineSettings()
    f, w, b = (np.asarray(each, np.float64) for each in (features, weights, bias))
    if f.ndim != 2 or w.ndim != 2 or f.shape[1] != w.shape[1] or b.shape != (len(w),):
        raise DataError(f"Features {f.shape}, weights {w.shape} and bias {b.shape} do not fit together.")
    if not all(np.isfinite(each).all() for each in (f, w, b)):
        raise DataError("Features and a classifier must be finite numbers.")
    classes = len(w)
    vectors, entropy, member = w, *_answers(w @ w.T + b)
    out = []
    for start in range(0, len(f), chosen.batch):
        batch = f[start : start + chosen.batch]
        uncertain, named = _answers(batch @ w.T + b)
        vectors, entropy = np.concatenate([vectors, batch]), np.concatenate([entropy, uncertain])
        member = np.concatenate([member, named])
        if chosen.supports:
            kept = _lowest(entropy, member, classes, chosen.supports)
            vectors, entropy, member = vectors[kept], entropy[kept], member[kept]
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        centroids = np.eye(classes)[:, member] @ unit
        centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
        out.append(log_softmax(batch @ centroids.T))
    return np.concatenate(out) if out else np.zeros((0, classes))


def lame(log_probabilities: ArrayLike, features: ArrayLike, settings: BaselineSettings | None = None) -> Floats:
    """Smooth answers over a graph of nearest neighbours without moving the model (LAME).

    Boudiaf et al., "Parameter-free online test-time adaptation", CVPR 2022, equations 4 to 6: repeated
    ``y_i = softmax(log q_i + sum_j w_ij y_j)``, where w is 1 between a face and its nearest neighbours by cosine
    similarity (not itself), within each batch.

    Args:
        log_probabilities: (N, K).
        features: (N, D).
        settings: neighbours, iterations, batch.

    Returns:
        (N, K) float64 log-probabilities.

    Raises:
        DataError: when shapes or values are wrong.

    Example:
        >>> z = np.log([[0.9, 0.1], [0.9, 0.1], [0.45, 0.55]])
        >>> lame(z, [[1.0, 0.0], [1.0, 0.0], [1.0, 0.1]]).argmax(1).tolist()
        [0, 0, 0]
    """
    chosen = settings or BaselineSettings()
    z, f = checked_log(log_probabilities), np.asarray(features, np.float64)
    if f.ndim != 2 or len(f) != len(z) or not np.isfinite(f).all():
        raise DataError(f"Features must be finite numbers, one row for each of {len(z)} faces.")
    f = f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    whole = len(z) - len(z) % chosen.batch
    parts = [z[:0]]
    # Whole batches side by side, so many at a time that their matrices of similarities take 32 MB.
    together = chosen.batch * max(1, 4_000_000 // chosen.batch**2)
    for start in range(0, whole, together):
        rows = slice(start, min(start + together, whole))
        shape = (-1, chosen.batch)
        parts.append(_lame(z[rows].reshape(*shape, z.shape[1]), f[rows].reshape(*shape, f.shape[1]), chosen))
    if whole < len(z):
        parts.append(_lame(z[None, whole:], f[None, whole:], chosen))
    return np.concatenate(parts)


def _lame(z: Floats, f: Floats, settings: BaselineSettings) -> Floats:
    """Answer batches: log-probabilities (B, N, K) and unit features (B, N, D) to (B N, K)."""
    batches, size, classes = z.shape
    count = min(settings.neighbours, size - 1)
    answer = z.copy()
    if count > 0:
        distance = -(f @ f.transpose(0, 2, 1))
        distance[:, np.arange(size), np.arange(size)] = np.inf
        near = np.argpartition(distance, count - 1, axis=2)[:, :, :count]
        before = np.full(batches, np.inf)
        left = np.arange(batches)
        for step in range(settings.iterations):
            base, pulled = z[left], near[left]
            p = np.exp(answer[left])
            pull = p[np.arange(len(left))[:, None], pulled[:, :, 0]]
            for other in range(1, count):
                pull = pull + p[np.arange(len(left))[:, None], pulled[:, :, other]]
            new = log_softmax(base + pull)
            answer[left] = new
            energy = (np.exp(new) * (new - base - pull)).sum((1, 2))
            done = (np.abs(energy - before[left]) <= settings.tolerance * np.abs(before[left])) & (step > 1)
            before[left] = energy
            left = left[~done]
            if len(left) == 0:
                break
    return answer.reshape(-1, classes)


def _answers(logits: Floats) -> tuple[Floats, Integers]:
    """Return entropy (N,) and predicted class (N,) of logits."""
    z = log_softmax(logits)
    return np.asarray(-(np.exp(z) * z).sum(1)), z.argmax(1).astype(np.int64)


def _lowest(entropy: Floats, member: Integers, classes: int, count: int) -> Integers:
    """Return the rows of the ``count`` lowest entropies of each class, older ones first among equals, ascending."""
    order = np.lexsort((np.arange(len(member)), entropy, member))
    sizes = np.bincount(member, minlength=classes)
    place = np.arange(len(member)) - (np.cumsum(sizes) - sizes)[member[order]]
    return np.sort(order[place < count]).astype(np.int64)
