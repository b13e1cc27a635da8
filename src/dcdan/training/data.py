"""Source and target domains for training: rows of packs, soft source labels, and no target labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dcdan.core.errors import DataError
from dcdan.datasets.folds import group_holdout
from dcdan.expressions import common_classes
from dcdan.packs.pack import Pack

HELD_OUT = 10
"""One face in so many is held out."""
FEWEST_TARGET_FACES = 32
"""Target faces below which nothing is adapted: statistics and thresholds of fewer are noise."""


class StackedFaces:
    """The faces of several packs, read as one array; nothing is copied before it is read.

    Grey faces get three channels when another pack has colour.

    Args:
        parts: ``(N_i, S, S)`` or ``(N_i, S, S, 3)`` uint8 arrays of one face size.

    Example:
        >>> grey, colour = np.ones((2, 4, 4), np.uint8), np.zeros((3, 4, 4, 3), np.uint8)
        >>> faces = StackedFaces([grey, colour])
        >>> faces.shape, faces[np.array([4, 0])].mean((1, 2, 3)).tolist()
        ((5, 4, 4, 3), [0.0, 1.0])
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *map(len, self.parts)])
        coloured = next((part for part in self.parts if part.ndim == 4), self.parts[0])
        self.shape = (int(self.starts[-1]), *coloured.shape[1:])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Read rows.

        Args:
            rows: ``(n,) int64``.

        Returns:
            ``(n, S, S)`` or ``(n, S, S, 3)`` uint8, in the order of ``rows``.
        """
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        number = np.searchsorted(self.starts, rows, side="right") - 1
        for place, part in enumerate(self.parts):
            chosen = number == place
            found = part[rows[chosen] - self.starts[place]]
            out[chosen] = found[..., None] if found.ndim < out.ndim else found
        return out


@dataclass(frozen=True)
class Source:
    """The labelled source domain."""

    faces: np.ndarray | StackedFaces
    """``(N, S, S)`` or ``(N, S, S, 3)`` uint8."""
    classes: tuple[str, ...]
    train: np.ndarray
    """Training rows."""
    validation: np.ndarray
    """Validation rows."""
    hard: np.ndarray
    """``(N,)`` int64 index into ``classes``, -1 where the class is not in common."""
    labels: Tensor
    """``(N, K)`` float32; rows in use sum to 1."""
    left_out: int
    """Rows without a label, or of classes that the target does not have."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Classes that the target does not have -> faces of the source; they are left out."""
    held_out_by: str = "split"
    """How ``validation`` was chosen: ``split`` (the data set has one), ``subject``, ``movie`` or another kind of group
    that is held out whole, or ``face`` where no groups are known."""
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    """Kind -> ``(N,)`` int64, groups from 0: ``subject``, and ``set`` where the source joins several sets.
    Faces without a value are a group of their own."""
    sets: np.ndarray | None = None
    """``(N,)`` int64 number of the data set that each face comes from; None for a single one."""

    @property
    def counts(self) -> Tensor:
        """Training faces of each class ``(K,)``."""
        return torch.from_numpy(np.bincount(self.hard[self.train], minlength=len(self.classes)).astype(np.float32))


@dataclass(frozen=True)
class Target:
    """The unlabelled target domain.

    Attributes:
        faces: ``(N, S, S)`` or ``(N, S, S, 3)`` uint8.
        train: rows of the training faces.
    """

    faces: np.ndarray
    train: np.ndarray


def to_float(faces: np.ndarray, device: torch.device) -> Tensor:
    """Convert faces to a float batch on the device.

    Args:
        faces: ``(B, S, S)`` or ``(B, S, S, 3)`` uint8.
        device: the device.

    Returns:
        ``(B, 1, S, S)`` or ``(B, 3, S, S)`` float32 in [0, 1].
    """
    batch = torch.from_numpy(faces).to(device, non_blocking=True)
    batch = batch[:, None] if batch.ndim == 3 else batch.permute(0, 3, 1, 2)
    return batch.float().div_(255)


def in_colour(faces: Tensor) -> Tensor:
    """Expand grey faces to three channels.

    Args:
        faces: ``(B, 1, S, S)`` or ``(B, 3, S, S)``.

    Returns:
        ``(B, 3, S, S)``, a view of the same memory.
    """
    return faces.expand(-1, 3, -1, -1) if faces.shape[1] == 1 else faces


def stratified_holdout(rows: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into about nine tenths for training and one tenth for validation, stratified by class.

    Of each class the second, twelfth, ... face in a random order is held out, so that no class loses its only face.
    Where every class has a single face, the same rows serve for both.

    Args:
        rows: ``(N,) int64`` rows of a pack.
        labels: ``(N,) int64`` their classes.
        seed: seed of the order.

    Returns:
        Training rows and validation rows, ascending.

    Example:
        >>> train, validation = stratified_holdout(np.arange(20), np.zeros(20, np.int64))
        >>> len(train), len(validation)
        (18, 2)
    """
    mixed = np.random.default_rng([seed, HELD_OUT]).permutation(len(rows))
    mixed = mixed[np.argsort(labels[mixed], kind="stable")]
    first = np.searchsorted(labels[mixed], labels[mixed])
    mask = (np.arange(len(rows)) - first) % HELD_OUT == 1
    if not mask.any():
        return rows, rows
    return np.sort(rows[mixed[~mask]]), np.sort(rows[mixed[mask]])


def part(pack: Pack, split: str) -> np.ndarray:
    """Return the rows of a split.

    Args:
        pack: the pack; when its spec already selects a split, that split is the training split and others are empty.
        split: name of the split.

    Returns:
        ``(n,) int64`` rows.
    """
    if pack.split is None:
        return pack.select(split)
    return pack.select() if split == "train" else np.empty(0, np.int64)


def source_of(pack: Pack, target_classes: tuple[str, ...], soft_votes: bool) -> Source:
    """Build the source domain from a labelled pack, with the classes that both domains have.

    Args:
        pack: the source pack.
        target_classes: classes of the target; empty when it names none, which uses all classes of the source.
        soft_votes: whether the labels are vote distributions where the pack has votes.

    Returns:
        The source.

    Raises:
        DataError: when the pack has no labels, fewer than two classes are common, or a class has no training face.
    """
    if not pack.classes or not (pack.labels >= 0).any():
        raise DataError(
            f"The source '{pack.info.spec}' has no labels; give a labelled data set as --source "
            "(one sub-folder per expression, a manifest with a label column, or a reader such as ferplus:PATH)."
        )
    classes = common_classes(pack.classes, target_classes) if target_classes else pack.classes
    if len(classes) < 2:
        raise DataError(
            f"Source and target share too few classes: the source has {', '.join(pack.classes)}, "
            f"the target {', '.join(target_classes)}; at least two must be common."
        )
    place = np.array([classes.index(name) if name in classes else -1 for name in pack.classes] + [-1])
    hard = place[pack.labels]
    usable = hard >= 0
    labels = np.zeros((len(pack), len(classes)), np.float32)
    labels[usable, hard[usable]] = 1
    if soft_votes and pack.votes is not None:
        votes = pack.votes[:, [pack.classes.index(name) for name in classes]]
        total = votes.sum(1, keepdims=True)
        voted = usable & (total[:, 0] > 0)
        labels[voted] = votes[voted] / total[voted]
    train, validation = part(pack, "train"), part(pack, "validation")
    if not len(train):
        train = np.setdiff1d(pack.select(), validation)
    train, validation = train[usable[train]], validation[usable[validation]]
    held_out_by = "split"
    if not len(validation):
        train, validation, held_out_by = hold_out(pack, train, hard[train])
    empty = [name for index, name in enumerate(classes) if not (hard[train] == index).any()]
    if empty:
        raise DataError(
            f"The source '{pack.info.spec}' has no training face of {', '.join(empty)}; "
            "add some, or leave the class out of the data set."
        )
    dropped = {
        name: count
        for index, name in enumerate(pack.classes)
        if name not in classes and (count := int((pack.labels == index).sum()))
    }
    left_out = int((~usable).sum())
    soft = torch.from_numpy(labels)
    groups = source_groups(pack)
    return Source(pack.faces, classes, train, validation, hard, soft, left_out, dropped, held_out_by, groups)


def source_groups(pack: Pack) -> dict[str, np.ndarray]:
    """Return the persons and the sets of the faces of a pack as numbers.

    Args:
        pack: the pack. A manifest gives the set of each picture in the column ``group.set``.

    Returns:
        ``subject`` and ``set`` -> ``(N,) int64`` from 0; all 0 where the pack does not record them.
    """
    names = {"subject": pack.subjects, "set": pack.groups.get("set", np.full(len(pack), ""))}
    return {kind: np.unique(values, return_inverse=True)[1].astype(np.int64) for kind, values in names.items()}


def merged(sources: Sequence[Source]) -> Source:
    """Join several sources into one whose faces remember their data set.

    Args:
        sources: sources with the same classes, as :func:`source_of` builds them.

    Returns:
        The sources one after the other; a single source is returned as it is.
    """
    if len(sources) == 1:
        return sources[0]
    starts = np.cumsum([0, *(len(source.hard) for source in sources)])
    dropped: dict[str, int] = {}
    for source in sources:
        for name, count in source.dropped.items():
            dropped[name] = dropped.get(name, 0) + count
    return Source(
        StackedFaces([np.asarray(source.faces) for source in sources]),
        sources[0].classes,
        np.concatenate([source.train + start for source, start in zip(sources, starts, strict=False)]),
        np.concatenate([source.validation + start for source, start in zip(sources, starts, strict=False)]),
        np.concatenate([source.hard for source in sources]),
        torch.cat([source.labels for source in sources]),
        sum(source.left_out for source in sources),
        dropped,
        ", ".join(dict.fromkeys(source.held_out_by for source in sources)),
        {kind: joined_groups([source.groups[kind] for source in sources]) for kind in sources[0].groups},
        np.repeat(np.arange(len(sources)), [len(source.hard) for source in sources]),
    )


def joined_groups(groups: Sequence[np.ndarray]) -> np.ndarray:
    """Number the groups of several sets one after the other, so that no group spans two sets.

    Args:
        groups: ``(N_i,) int64`` from 0, of each set.

    Returns:
        ``(N,) int64`` from 0.

    Example:
        >>> joined_groups([np.array([0, 1]), np.array([0, 0])]).tolist()
        [0, 1, 2, 2]
    """
    starts = np.cumsum([0, *(int(each.max(initial=-1)) + 1 for each in groups)])
    return np.concatenate([each + start for each, start in zip(groups, starts, strict=False)])


def sources_of(packs: Sequence[Pack], target_classes: tuple[str, ...], soft_votes: bool) -> list[Source]:
    """Build one source domain for each labelled pack, with the classes that all packs and the target have.

    Args:
        packs: the source packs.
        target_classes: classes of the target; empty when it names none.
        soft_votes: whether the labels are vote distributions where a pack has votes.

    Returns:
        The sources, all with the same classes.

    Raises:
        DataError: as :func:`source_of`.
    """
    if len(packs) == 1:
        return [source_of(packs[0], target_classes, soft_votes)]
    common = target_classes or packs[0].classes
    for pack in packs:
        common = common_classes(common, pack.classes)
    if len(common) < 2:
        raise DataError(
            "The sources share too few classes: "
            + "; ".join(f"'{pack.info.spec}' has {', '.join(pack.classes) or 'no labels'}" for pack in packs)
            + "; at least two must be common to all of them and the target."
        )
    return [source_of(pack, common, soft_votes) for pack in packs]


def source_specs(data: Mapping[str, str]) -> list[str]:
    """Return the specs of the sources that a run records.

    Args:
        data: ``source``, ``source_2``, ... and other keys.

    Returns:
        The specs, in their order; empty ones are left out.

    Example:
        >>> source_specs({"source": "a", "source_2": "b", "target": "c"})
        ['a', 'b']
    """
    names = ["source", *(f"source_{number}" for number in range(2, len(data) + 1))]
    return [data[name] for name in names if data.get(name)]


def named_sources(specs: Sequence[str]) -> dict[str, str]:
    """Return the specs of sources under the names that a run records; the inverse of :func:`source_specs`.

    Args:
        specs: the specs.

    Returns:
        Spec by name.

    Example:
        >>> named_sources(["a", "b"])
        {'source': 'a', 'source_2': 'b'}
    """
    return {"source" if number == 1 else f"source_{number}": spec for number, spec in enumerate(specs, 1)}


def hold_out(pack: Pack, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Hold out about a tenth of the source faces, with no person, film or sequence in both parts.

    Args:
        pack: the source pack.
        rows: ``(N,) int64`` its training rows.
        labels: ``(N,) int64`` their classes.

    Returns:
        Training rows, held-out rows, and the kind of group that was held out whole. The kind is ``face`` where the pack
        records no groups, or where every group contains the last face of a class.
    """
    groups = pack.holdout_groups
    if groups.kind != "picture":
        mask = group_holdout(groups.names[rows], labels, share=1 / HELD_OUT)
        if mask.any():
            return rows[~mask], rows[mask], groups.kind
    return *stratified_holdout(rows, labels), "face"


def mismatch(source: Source, target_classes: tuple[str, ...]) -> str:
    """Return a sentence about the classes that only one domain has.

    Args:
        source: the source.
        target_classes: classes of the target; empty when it names none.

    Returns:
        The sentence, or "" where the classes are the same.

    Example:
        >>> empty = np.empty(0, np.int64)
        >>> source = Source(empty, ("fear",), empty, empty, empty, torch.empty(0), 9, {"contempt": 9})
        >>> mismatch(source, ("fear", "sadness"))
        'The target has no contempt (9 source faces left out); the source has no sadness, which no face will be called.'
    """
    parts = []
    if source.dropped:
        dropped = ", ".join(f"{name} ({count} source faces left out)" for name, count in source.dropped.items())
        parts.append(f"the target has no {dropped}")
    if foreign := [name for name in target_classes if name not in source.classes]:
        parts.append(f"the source has no {', '.join(foreign)}, which no face will be called")
    sentence = "; ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""


def target_of(pack: Pack) -> Target:
    """Build the target domain from a pack that was opened without labels.

    Args:
        pack: the target pack.

    Returns:
        Its training split, or all of its faces where there is none.
    """
    rows = part(pack, "train")
    return Target(pack.faces, rows if len(rows) else pack.select())


def check_target(target: Target, spec: str, method: str) -> None:
    """Check that a target has enough faces to adapt to.

    Args:
        target: the target.
        spec: its spec, for the message.
        method: the title of the method, for the message.

    Raises:
        DataError: below ``FEWEST_TARGET_FACES``.
    """
    if len(target.train) < FEWEST_TARGET_FACES:
        raise DataError(
            f"The target '{spec}' has {len(target.train)} faces, too few to adapt to: {method} needs at least "
            f"{FEWEST_TARGET_FACES}; add faces, or use a model as it is (dcdan predict)."
        )
