"""Source and target as training sees them: rows of packs, soft labels of the source, no labels of the target."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Source:
    """A labelled domain."""

    faces: np.ndarray
    """``(N, S, S)`` or ``(N, S, S, 3)`` uint8."""
    classes: tuple[str, ...]
    train: np.ndarray
    """Rows to learn from."""
    validation: np.ndarray
    """Rows held out to judge by."""
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
    that is held out whole, or ``face`` where nothing is known of who is shown."""

    @property
    def counts(self) -> Tensor:
        """Training faces of each class ``(K,)``."""
        return torch.from_numpy(np.bincount(self.hard[self.train], minlength=len(self.classes)).astype(np.float32))


@dataclass(frozen=True)
class Target:
    """A domain whose labels nobody reads."""

    faces: np.ndarray
    train: np.ndarray


def to_float(faces: np.ndarray, device: torch.device) -> Tensor:
    """Return uint8 faces ``(B, S, S[, 3])`` as ``(B, 1 or 3, S, S)`` float32 in [0, 1] on the device."""
    batch = torch.from_numpy(faces).to(device, non_blocking=True)
    batch = batch[:, None] if batch.ndim == 3 else batch.permute(0, 3, 1, 2)
    return batch.float().div_(255)


def in_colour(faces: Tensor) -> Tensor:
    """Repeat grey faces ``(B, 1, S, S)`` to three channels; colour ones are returned as they are."""
    return faces.expand(-1, 3, -1, -1) if faces.shape[1] == 1 else faces


def held_out(rows: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into training and about a tenth for validation, by a seed; for sources without a validation split.

    Of every class (``labels`` ``(len(rows),)``) the second, twelfth, ... face in a random order is held out, so that no
    class loses its only face. Where every class has one, the same faces serve for both.
    """
    mixed = np.random.default_rng([seed, HELD_OUT]).permutation(len(rows))
    mixed = mixed[np.argsort(labels[mixed], kind="stable")]
    first = np.searchsorted(labels[mixed], labels[mixed])
    held = (np.arange(len(rows)) - first) % HELD_OUT == 1
    if not held.any():
        return rows, rows
    return np.sort(rows[mixed[~held]]), np.sort(rows[mixed[held]])


def part(pack: Pack, split: str) -> np.ndarray:
    """Return the rows of a split; where the user chose one by the pack's spec, that one is the training split."""
    if pack.split is None:
        return pack.select(split)
    return pack.select() if split == "train" else np.empty(0, np.int64)


def source_of(pack: Pack, target_classes: tuple[str, ...], soft_votes: bool) -> Source:
    """Read a labelled pack, keeping the classes that the target has too (all of them when it names none)."""
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
    return Source(
        pack.faces, classes, train, validation, hard, torch.from_numpy(labels), left_out, dropped, held_out_by
    )


def hold_out(pack: Pack, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Hold about a tenth of the source's faces out, never a person, film or sequence on both sides.

    Args:
        pack: the source.
        rows: ``(N,)`` its training rows.
        labels: ``(N,)`` their classes.

    Returns:
        Rows to train on, rows held out, and what was held out whole: the kind of group, or ``face`` where the pack does
        not know who is shown, or where no group can be held out without a class losing its last face.
    """
    groups = pack.holdout_groups
    if groups.kind != "picture":
        held = group_holdout(groups.names[rows], labels, share=1 / HELD_OUT)
        if held.any():
            return rows[~held], rows[held], groups.kind
    return *held_out(rows, labels), "face"


def mismatch(source: Source, target_classes: tuple[str, ...]) -> str:
    """Return a sentence on the classes that only one of the domains has, "" where they have the same.

    Args:
        source: the source.
        target_classes: the classes that the target names; empty where it names none.

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
    """Read a target pack opened without labels: its training split, or all of it where there is none."""
    rows = part(pack, "train")
    return Target(pack.faces, rows if len(rows) else pack.select())


def check_target(target: Target, spec: str, method: str) -> None:
    """Raise DataError when a target has too few faces to adapt to.

    Args:
        target: the target.
        spec: its spec, for the sentence.
        method: the method's title, for the sentence.
    """
    if len(target.train) < FEWEST_TARGET_FACES:
        raise DataError(
            f"The target '{spec}' has {len(target.train)} faces, too few to adapt to: {method} needs at least "
            f"{FEWEST_TARGET_FACES}; add faces, or use a model as it is (dcdan predict)."
        )
