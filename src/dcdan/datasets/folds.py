"""Splits that do not separate faces of one person: folds by subject, hashed splits, and the hold-out of a training set.

Frames of one person, film or sequence resemble each other. Where they are in both parts of a split, the accuracy and
calibration measured on one part are too good. Every rule here depends on names and a seed only, so that it gives the
same split on every machine.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from dcdan.datasets.reader import Reader, ReaderOptions, Sample


def hashed_percent(name: str) -> int:
    """Return the SHA-256 of a name modulo 100.

    Args:
        name: the name.

    Returns:
        A number from 0 to 99 that depends on the name only.

    Example:
        >>> hashed_percent("a")
        99
    """
    return int(hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest(), 16) % 100


def subject_folds(subjects: Iterable[str], folds: int) -> dict[str, int]:
    """Assign subjects to folds of nearly equal size, in the order of their SHA-256.

    Args:
        subjects: names, in any order, with or without repetitions.
        folds: the number of folds. As many folds as subjects leave one subject out at a time.

    Returns:
        subject -> fold, from 0.

    Example:
        >>> subject_folds(["KA", "KL", "KM", "KR"], 2)
        {'KA': 0, 'KL': 1, 'KM': 0, 'KR': 1}
    """
    ordered = sorted(set(subjects), key=lambda name: (hashlib.sha256(name.encode()).hexdigest(), name))
    return {name: index % folds for index, name in enumerate(ordered)}


def fold_rule(folds: int, fold: int) -> str:
    """Return the description of a split by folds for pack.json.

    Args:
        folds: the number of folds.
        fold: the fold that is test.

    Returns:
        The description.
    """
    return f"subject-disjoint fold {fold} of {folds} is test (subjects dealt in the order of their SHA-256)"


GROUPS_OF_RELATED_FACES = ("film", "movie", "video", "sequence", "scene")
"""Names of groups whose faces resemble each other, in the order in which `holdout_groups` uses them."""


@dataclass(frozen=True)
class HoldoutGroups:
    """The groups that a hold-out must not divide.

    Attributes:
        kind: the kind of group: "subject", one of `GROUPS_OF_RELATED_FACES`, or "picture" where nothing else is known.
        names: `(N,)` str, the group of each face. Faces with equal names belong together.
    """

    kind: str
    names: npt.NDArray[np.str_]


def holdout_groups(
    subjects: Sequence[str] | np.ndarray,
    groups: Mapping[str, Sequence[str] | np.ndarray],
    paths: Sequence[str] | np.ndarray,
) -> HoldoutGroups:
    """Return the group of each face that a hold-out must not divide.

    A face belongs to its subject. Where that is unknown, it belongs to its film, video, sequence or scene, and where
    that is unknown too, to its picture, because one picture may have several faces.

    Args:
        subjects: `(N,)` the person, "" where unknown.
        groups: group name -> `(N,)` value, "" where a face has none, as in `Pack.groups`.
        paths: `(N,)` the picture of each face.

    Returns:
        The kind of the coarsest grouping that at least one face has, and a name for each face.

    Example:
        >>> found = holdout_groups(["KA", "", ""], {"movie": ["", "Amelie", ""]}, ["1.png", "2.png", "3.png"])
        >>> found.kind, found.names.tolist()
        ('subject', ['subject KA', 'movie Amelie', 'picture 3.png'])
    """
    columns = [("subject", list(subjects))]
    columns += [(name, list(groups[name])) for name in GROUPS_OF_RELATED_FACES if name in groups]
    columns.append(("picture", list(paths)))
    names = [""] * len(paths)
    kinds = []
    for kind, values in columns:
        if any(values):
            kinds.append(kind)
        names = [name or (f"{kind} {value}" if value else "") for name, value in zip(names, values, strict=True)]
    return HoldoutGroups(kinds[0] if kinds else "picture", np.array(names, dtype=str))


def group_holdout(
    groups: Sequence[str] | np.ndarray, labels: Sequence[int] | np.ndarray, share: float = 0.1, seed: int = 0
) -> npt.NDArray[np.bool_]:
    """Choose whole groups for a hold-out that has about `share` of the faces of every class.

    The groups are visited in the order of a hash of seed and name. A group is held out when that brings the shares of
    the classes closer to `share`, and when faces of each of its classes remain outside. Where this chooses no group,
    the smallest group that leaves every class something is held out.

    Args:
        groups: `(N,)` the group of each face, such as its subject. A face of the group "" is a group of its own.
        labels: `(N,)` the class of each face, -1 where it has none.
        share: the share to hold out, above 0 and below 1.
        seed: another seed visits the groups in another order.

    Returns:
        `(N,)` bool, True where a face is held out. All False where every choice would contain all faces of a class.

    Raises:
        ValueError: `share` is out of range, or the lengths differ.

    Example:
        >>> group_holdout(["ann", "ann", "bob", "bob", "eve", "eve"], [0, 1, 0, 1, 0, 1], share=1 / 3).tolist()
        [True, True, False, False, False, False]
    """
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} is not between 0 and 1")
    names, classes = [str(name) for name in groups], [int(label) for label in labels]
    if len(names) != len(classes):
        raise ValueError(f"{len(names)} groups and {len(classes)} labels")
    members: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        # No name of a file or a person has a zero byte.
        members.setdefault(name or f"\0{row}", []).append(row)
    counts = {name: Counter(classes[row] for row in rows) for name, rows in members.items()}
    total = Counter(classes)
    chosen_counts: Counter[int] = Counter()
    chosen: set[str] = set()
    for name in sorted(members, key=lambda name: (_digest(f"{seed}:{name}"), name)):
        own = counts[name]
        if _leaves_some(own, chosen_counts, total) and _gain(own, chosen_counts, total, share) > 0:
            chosen.add(name)
            chosen_counts.update(own)
    if not chosen:
        possible = [name for name in members if _leaves_some(counts[name], chosen_counts, total)]
        smallest = min(possible, key=lambda name: (len(members[name]), _digest(f"{seed}:{name}")), default=None)
        chosen = {smallest} if smallest is not None else set()
    mask = np.zeros(len(names), bool)
    mask[[row for name in chosen for row in members[name]]] = True
    return mask


def _digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _leaves_some(own: Mapping[int, int], chosen_counts: Mapping[int, int], total: Mapping[int, int]) -> bool:
    """Return whether every class of a group has faces that are neither in it nor held out."""
    return all(chosen_counts[label] + number < total[label] for label, number in own.items())


def _gain(own: Mapping[int, int], chosen_counts: Mapping[int, int], total: Mapping[int, int], share: float) -> float:
    """Return by how much the shares held out of the classes come closer to `share`, summed over classes."""
    return sum(
        abs(chosen_counts[label] / total[label] - share) - abs((chosen_counts[label] + number) / total[label] - share)
        for label, number in own.items()
    )


class FoldOptions(ReaderOptions):
    """Options of a set without a split of its own: `folds` and `fold` make one by subject."""

    split: Literal["train", "test"] | None = Field(None, description="keep only this split; needs folds")
    folds: int | None = Field(None, ge=2, le=10, description="deal the subjects into so many folds")
    fold: int = Field(0, ge=0, description="the fold that is test, from 0; the others are train")

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        """Check that split and fold are given with folds."""
        if self.folds is None:
            for name in ("fold", "split"):
                if name in self.model_fields_set and getattr(self, name) is not None:
                    raise ValueError(f"the set has no split of its own, so '{name}' needs 'folds', such as folds=5")
        elif self.fold >= self.folds:
            raise ValueError(f"fold={self.fold} is not one of {self.folds} folds, which are counted from 0")
        return self


class FoldedReader(Reader):
    """The base of readers of sets without a split. Subclasses implement `unsplit` and `published`.

    Every sample must have its subject, because folds are made by subject.
    """

    Options = FoldOptions
    options: FoldOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        folds = self.options.folds
        self.split_rule = "none: all are kept together" if folds is None else fold_rule(folds, self.options.fold)

    @abstractmethod
    def unsplit(self) -> Iterator[Sample]:
        """Yield every sample, without a split, in the same order each time.

        Returns:
            The samples.
        """

    @abstractmethod
    def published(self) -> Mapping[str, int]:
        """Return the published counts of the whole set.

        Returns:
            class -> images for the options given; {} where nothing is published for them.
        """

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        folds = self.options.folds
        if folds is None:
            yield from self.unsplit()
            return
        samples = list(self.unsplit())
        dealt = subject_folds((sample.subject for sample in samples), folds)
        for sample in samples:
            yield replace(sample, split="test" if dealt[sample.subject] == self.options.fold else "train")

    def official(self) -> Mapping[str, Mapping[str, int]]:
        """Return the published counts of the whole set under the split "", with or without folds.

        Returns:
            split -> class -> images.
        """
        published = self.published()
        return {"": published} if published else {}
