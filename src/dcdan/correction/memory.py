"""The source memory: what a model keeps of its labelled source faces, in place of their pictures (method, section 7).

For each class up to 64 centres of the joint features of the B branches (global, local), each the mean of at least five
source faces, so that no single face can be recovered; with soft labels, weights, means, variances, class shares, mean
log-probabilities and the confidence curve on held-out faces. At most 1.5 MB in ``memory.safetensors``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from dcdan.core.errors import DataError, MissingExtraError, ModelError
from dcdan.correction.arrays import Floats, Integers, checked_labels, checked_log

MEMORY = "memory.safetensors"
MAX_BYTES = 1_500_000
FEWEST_FACES = 5
QUANTILES = 51
SCHEMA = 1

Halves = NDArray[np.float16]


class MemorySettings(BaseModel):
    """Settings of the source memory.

    Attributes:
        centres: most centres of a class.
        faces: fewest faces of a centre; never below five.
        iterations: most iterations of k-means.
        seed: of its starting points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    centres: int = Field(default=64, ge=1)
    faces: int = Field(default=FEWEST_FACES, ge=FEWEST_FACES)
    iterations: int = Field(default=25, ge=1)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class SourceMemory:
    """A source memory of K classes, B branches of D features, and C centres.

    Attributes:
        classes: names of the classes, in the order of the model's outputs.
        centres: (C, B, D) float16: mean features of the faces of a centre.
        soft_labels: (C, K) float16: mean of their labels, or of their votes.
        weights: (C,) float32: share of the source's faces, sum 1.
        counts: (C,) int32: number of faces, each at least five.
        means: (K, B, D) float16: mean features of a class; of all faces where a class has fewer than five.
        variances: (K, B, D) float32: variance of features within a class, likewise.
        shares: (K,) float32: class shares of the source by its labels.
        prior: (K,) float32: mean of the model's probabilities on held-out source faces.
        mean_log: (K,) float32: mean of the model's log-probabilities there.
        confidence: (51,) float32: quantiles 0, .02, ..., 1 of the confidence there.
        accuracy: (51,) float32: accuracy of the faces whose confidence is at least that quantile.
    """

    classes: tuple[str, ...]
    centres: Halves
    soft_labels: Halves
    weights: NDArray[np.float32]
    counts: NDArray[np.int32]
    means: Halves
    variances: NDArray[np.float32]
    shares: NDArray[np.float32]
    prior: NDArray[np.float32]
    mean_log: NDArray[np.float32]
    confidence: NDArray[np.float32]
    accuracy: NDArray[np.float32]

    @property
    def source_accuracy(self) -> float:
        """Accuracy on held-out source faces."""
        return float(self.accuracy[0])

    @property
    def source_confidence(self) -> float:
        """Mean confidence on held-out source faces, from its quantiles."""
        return float(np.mean((self.confidence[1:] + self.confidence[:-1]) / 2))

    @property
    def confidence_threshold(self) -> float:
        """Threshold of ATC by confidence: the share of held-out faces below it is the share of errors."""
        return float(np.interp(1 - self.source_accuracy, np.linspace(0, 1, QUANTILES), self.confidence))


class Clusters(NamedTuple):
    """Clusters of N points.

    Attributes:
        centres: (C, D) float64: means of the points of each.
        members: (N,) int64: cluster of each point.
    """

    centres: Floats
    members: Integers


def k_means(points: ArrayLike, clusters: int, settings: MemorySettings | None = None) -> Clusters:
    """Divide points into clusters of a least size by k-means (Lloyd, 1982; start: Arthur & Vassilvitskii, 2007).

    At the end the smallest cluster below the least size is dissolved and its points go to the nearest of the others,
    until none is below.

    Args:
        points: (N, D) finite.
        clusters: most clusters; never more than the points suffice for.
        settings: least size, iterations, seed.

    Returns:
        The clusters, each of at least ``settings.faces`` points; none where there are fewer points than that.

    Raises:
        DataError: when the points are no finite matrix.

    Example:
        >>> points = np.repeat([[0.0, 0.0], [9.0, 9.0]], 6, axis=0)
        >>> sorted(k_means(points, 2).centres[:, 0].tolist())
        [0.0, 9.0]
    """
    chosen = settings or MemorySettings()
    x = np.asarray(points, np.float32)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise DataError("Features must be a matrix of finite numbers.")
    count = min(clusters, len(x) // chosen.faces)
    if count == 0:
        return Clusters(np.zeros((0, x.shape[1])), np.full(len(x), -1, np.int64))
    norms = np.einsum("nd,nd->n", x, x)
    centres = _start(x, norms, count, np.random.default_rng(chosen.seed))
    members = np.full(len(x), -1, np.int64)
    for _ in range(chosen.iterations):
        nearest = _nearest(x, centres)
        if np.array_equal(nearest, members):
            break
        members = nearest
        sizes = np.bincount(members, minlength=len(centres))
        centres = np.where(sizes[:, None] > 0, _means(x, members, len(centres)), centres).astype(np.float32)
    sizes = np.bincount(members, minlength=len(centres))
    while sizes.min() < chosen.faces:
        smallest = int(sizes.argmin())
        centres = np.delete(centres, smallest, 0)
        moved = members == smallest
        members = members - (members > smallest)
        if moved.any():
            members[moved] = _nearest(x[moved], centres)
        sizes = np.bincount(members, minlength=len(centres))
    return Clusters(_means(x, members, len(centres)), members)


def build_memory(
    classes: Sequence[str],
    features: ArrayLike,
    labels: ArrayLike,
    held_out_log_probabilities: ArrayLike,
    held_out_labels: ArrayLike,
    votes: ArrayLike | None = None,
    settings: MemorySettings | None = None,
) -> SourceMemory:
    """Make the memory of a labelled source.

    Args:
        classes: names of the K classes.
        features: (N, B, D) features of the source's training faces, one row for each branch.
        labels: (N,) class indices.
        held_out_log_probabilities: (M, K) of the model on held-out source faces.
        held_out_labels: (M,) class indices.
        votes: (N, K) soft labels whose rows sum to 1, or None for the labels.
        settings: number and size of centres.

    Returns:
        The memory. A class of fewer than five faces has no centre, and the mean and variance of all faces.

    Raises:
        DataError: when shapes or values are wrong, there are fewer than five faces, or no held-out ones.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = np.log(np.full((50, 2), 0.5))
        >>> memory = build_memory(["a", "b"], rng.normal(size=(100, 2, 4)), np.arange(100) % 2, z, np.zeros(50, int))
        >>> memory.centres.shape[1:], int(memory.counts.min()) >= 5, int(memory.counts.sum())
        ((2, 4), True, 100)
    """
    chosen = settings or MemorySettings()
    x = np.asarray(features, np.float32)
    if x.ndim != 3 or not np.isfinite(x).all():
        raise DataError("Features must be finite numbers of the shape (faces, branches, values).")
    if len(x) < chosen.faces:
        raise DataError(f"A source memory needs {chosen.faces} faces or more, not {len(x)}.")
    count = len(classes)
    y = checked_labels(labels, len(x), count)
    soft = np.eye(count)[y] if votes is None else np.asarray(votes, np.float64)
    if soft.shape != (len(x), count) or not np.isfinite(soft).all():
        raise DataError(f"Votes must be numbers of the shape {(len(x), count)}.")
    flat = x.reshape(len(x), -1)
    centres, softs, counts = [], [], []
    means = np.tile(flat.mean(0, dtype=np.float64), (count, 1))
    variances = np.tile(flat.var(0, dtype=np.float64), (count, 1))
    for label in range(count):
        rows = np.flatnonzero(y == label)
        if len(rows) < chosen.faces:
            continue
        own = flat[rows]
        means[label], variances[label] = own.mean(0, dtype=np.float64), own.var(0, dtype=np.float64)
        found = k_means(own, chosen.centres, chosen)
        centres.append(found.centres)
        softs.append(_means(soft[rows], found.members, len(found.centres)))
        counts.append(np.bincount(found.members, minlength=len(found.centres)))
    if not centres:
        raise DataError(f"No class of the source has {chosen.faces} faces or more.")
    sizes = np.concatenate(counts)
    z = checked_log(held_out_log_probabilities)
    truth = checked_labels(held_out_labels, len(z), count)
    if z.shape[1] != count or len(z) == 0:
        raise DataError(f"A source memory needs answers of {count} classes to held-out faces.")
    confidence, accuracy = confidence_curve(z, truth)
    shape = x.shape[1:]
    memory = SourceMemory(
        classes=tuple(classes),
        centres=_halves(np.concatenate(centres).reshape(-1, *shape)),
        soft_labels=_halves(np.concatenate(softs)),
        weights=(sizes / sizes.sum()).astype(np.float32),
        counts=sizes.astype(np.int32),
        means=_halves(means.reshape(-1, *shape)),
        variances=variances.reshape(-1, *shape).astype(np.float32),
        shares=(np.bincount(y, minlength=count) / len(y)).astype(np.float32),
        prior=np.exp(z).mean(0).astype(np.float32),
        mean_log=z.mean(0).astype(np.float32),
        confidence=confidence.astype(np.float32),
        accuracy=accuracy.astype(np.float32),
    )
    _check(memory, "The source memory")
    return memory


def confidence_curve(log_probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Return quantiles of the confidence, and the accuracy of the faces at or above each.

    Args:
        log_probabilities: (M, K) on held-out source faces, M at least 1.
        labels: (M,) class indices.

    Returns:
        (51,) confidences at the quantiles 0, .02, ..., 1, and (51,) accuracies, the first of which is that of all.

    Raises:
        DataError: when shapes or values are wrong, or there are no faces.

    Example:
        >>> confidence, accuracy = confidence_curve(np.log([[0.9, 0.1], [0.6, 0.4]]), [0, 1])
        >>> float(accuracy[0]), float(accuracy[-1])
        (0.5, 1.0)
    """
    z = checked_log(log_probabilities)
    truth = checked_labels(labels, len(z), z.shape[1])
    if len(z) == 0:
        raise DataError("A confidence curve needs at least one face.")
    certain = np.exp(z.max(1))
    order = np.argsort(certain)
    right = (z.argmax(1) == truth)[order].astype(np.float64)
    above = np.cumsum(right[::-1])[::-1] / np.arange(len(z), 0, -1)
    levels = np.linspace(0, 1, QUANTILES)
    return np.quantile(certain, levels), above[np.minimum((levels * len(z)).astype(np.int64), len(z) - 1)]


def write_memory(memory: SourceMemory, path: Path) -> None:
    """Write a memory as ``memory.safetensors``, after the checks that reading makes.

    Args:
        memory: what to write.
        path: the file; replaced where it exists.

    Raises:
        ModelError: when the memory breaks a rule, for instance a centre of fewer than five faces or too many bytes.
        MissingExtraError: when safetensors is not installed.

    Example:
        >>> import tempfile
        >>> rng, z = np.random.default_rng(0), np.log(np.full((9, 2), 0.5))
        >>> memory = build_memory(["a", "b"], rng.normal(size=(20, 2, 4)), np.arange(20) % 2, z, np.zeros(9, int))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_memory(memory, Path(folder) / MEMORY)
        ...     read_memory(Path(folder) / MEMORY, ["a", "b"]).centres.shape == memory.centres.shape
        True
    """
    _check(memory, "The source memory")
    tensors = {name: np.ascontiguousarray(getattr(memory, name)) for name in _tensor_names()}
    content = _safetensors().save(tensors, {"schema": str(SCHEMA), "classes": json.dumps(memory.classes)})
    if len(content) > MAX_BYTES:
        raise ModelError(f"The source memory has {len(content)} bytes and may have {MAX_BYTES}: use fewer centres.")
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.replace(path)


def read_memory(path: Path, classes: Sequence[str] | None = None) -> SourceMemory:
    """Read a memory and check its size, names, shapes and values.

    Args:
        path: ``memory.safetensors``.
        classes: names that it must have, in this order; None for any.

    Returns:
        The memory.

    Raises:
        ModelError: when the file is missing, damaged, too large, of another schema or other classes, or breaks a rule.
        MissingExtraError: when safetensors is not installed.

    Example:
        See :func:`write_memory`.
    """
    library = _safetensors()
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"'{path}' has {size} bytes and a source memory at most {MAX_BYTES}: use another model.")
        content = path.read_bytes()
    except OSError:
        raise ModelError(f"'{path}' cannot be read: this model has no source memory.") from None
    try:
        tensors = library.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        named = json.loads(header["classes"])
        schema = header["schema"]
        memory = SourceMemory(classes=tuple(map(str, named)), **{name: tensors[name] for name in _tensor_names()})
    except Exception:  # safetensors raises a class of its own per kind of damage
        raise ModelError(f"'{path}' is no source memory, or is damaged: use another model.") from None
    if schema != str(SCHEMA):
        raise ModelError(f"'{path}' is a source memory of schema {schema}, and {SCHEMA} is read here.")
    _check(memory, f"'{path}'")
    if classes is not None and memory.classes != tuple(classes):
        raise ModelError(f"'{path}' is a source memory of other classes than the model's: use the model's own.")
    return memory


def _tensor_names() -> list[str]:
    return [field.name for field in fields(SourceMemory) if field.name != "classes"]


def _check(memory: SourceMemory, what: str) -> None:
    k, (c, b, d) = len(memory.classes), (*memory.centres.shape, 0, 0, 0)[:3]
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "centres": ((c, b, d), np.float16),
        "soft_labels": ((c, k), np.float16),
        "weights": ((c,), np.float32),
        "counts": ((c,), np.int32),
        "means": ((k, b, d), np.float16),
        "variances": ((k, b, d), np.float32),
        "shares": ((k,), np.float32),
        "prior": ((k,), np.float32),
        "mean_log": ((k,), np.float32),
        "confidence": ((QUANTILES,), np.float32),
        "accuracy": ((QUANTILES,), np.float32),
    }
    if min(k, c, b, d) < 1:
        raise ModelError(f"{what} holds no centre of a class.")
    for name, (shape, kind) in shapes.items():
        found = getattr(memory, name)
        if found.shape != shape or found.dtype != kind:
            raise ModelError(f"{what} is damaged: its {name} are {found.dtype} {found.shape}, not {shape}.")
        if not np.isfinite(found).all():
            raise ModelError(f"{what} is damaged: its {name} are not all finite numbers.")
    if int(memory.counts.min()) < FEWEST_FACES:
        raise ModelError(f"{what} has a centre of fewer than {FEWEST_FACES} faces, which may show a person.")
    for name in ("weights", "shares", "prior"):
        values = getattr(memory, name)
        if values.min() < 0 or abs(float(values.sum()) - 1) > 0.01:
            raise ModelError(f"{what} is damaged: its {name} do not add up to 1.")
    for name in ("confidence", "accuracy", "soft_labels"):
        values = getattr(memory, name)
        if values.min() < 0 or values.max() > 1.001:
            raise ModelError(f"{what} is damaged: its {name} lie outside 0 to 1.")
    if memory.variances.min() < 0:
        raise ModelError(f"{what} is damaged: a variance is negative.")


def _start(x: NDArray[np.float32], norms: Any, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return starting centres (count, D) by k-means++, one draw each."""
    first = int(rng.integers(len(x)))
    rows, distance = [first], np.full(len(x), np.inf)
    for _ in range(count - 1):
        last = x[rows[-1]]
        distance = np.minimum(distance, np.maximum(norms - 2 * (x @ last) + last @ last, 0))
        total = np.cumsum(distance, dtype=np.float64)
        if total[-1] <= 0:
            break
        rows.append(min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), len(x) - 1))
    return x[rows].copy()


def _nearest(x: NDArray[np.float32], centres: NDArray[np.float32]) -> Integers:
    squares = (centres * centres).sum(1) - 2 * (x @ centres.T)
    return np.asarray(squares.argmin(1), np.int64)


def _means(x: NDArray[Any], members: Integers, clusters: int) -> Floats:
    """Return the mean (clusters, D) of each cluster's rows; zeros for an empty one."""
    order = np.argsort(members, kind="stable")
    sizes = np.bincount(members, minlength=clusters)
    there = np.flatnonzero(sizes)
    out = np.zeros((clusters, x.shape[1]))
    if len(there):
        starts = (np.cumsum(sizes) - sizes)[there]
        out[there] = np.add.reduceat(x[order].astype(np.float64), starts) / sizes[there, None]
    return out


def _halves(values: Floats) -> Halves:
    with np.errstate(over="ignore"):
        found = values.astype(np.float16)
    if not np.isfinite(found).all():
        raise DataError("Features above 65,504 do not fit a source memory.")
    return found


def _safetensors() -> Any:
    try:
        import safetensors.numpy as library
    except ImportError:
        raise MissingExtraError("A source memory needs the package 'safetensors': pip install safetensors.") from None
    return library
