"""Splits by rule for sets released without one: by hash, by subject, and frames of sequences.

Splits by rule, for sets that were released without one: always the same, and never a person on both sides.

Small sets that were released without a split: read whole, or split by subject into folds of one's choice.

Sets of short films from a neutral face to the height of an expression: which frames are taken, and as what.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, model_validator

from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.expressions import EXPRESSIONS


def hashed_percent(name: str) -> int:
    """Return a number in 0..99 that depends on nothing but the name: SHA-256 modulo 100."""
    return int(hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest(), 16) % 100


def subject_folds(subjects: Iterable[str], folds: int) -> dict[str, int]:
    """Deal subjects into ``folds`` groups 0..folds-1 of nearly equal number, in the order of their SHA-256.

    As many folds as subjects leave one subject out at a time.
    """
    ordered = sorted(set(subjects), key=lambda name: (hashlib.sha256(name.encode()).hexdigest(), name))
    return {name: index % folds for index, name in enumerate(ordered)}


def fold_rule(folds: int, fold: int) -> str:
    """Return the rule's name, as a pack keeps it."""
    return f"subject-disjoint fold {fold} of {folds} is test (subjects dealt in the order of their SHA-256)"


class FoldOptions(ReaderOptions):
    """`folds` and `fold` choose a split by subject; without them there is none."""

    split: Literal["train", "test"] | None = Field(None, description="keep only this split; needs folds")
    folds: int | None = Field(None, ge=2, le=10, description="deal the subjects into so many folds")
    fold: int = Field(0, ge=0, description="the fold that is test, from 0; the others are train")

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.folds is None:
            for name in ("fold", "split"):
                if name in self.model_fields_set and getattr(self, name) is not None:
                    raise ValueError(f"the set has no split of its own, so '{name}' needs 'folds', such as folds=5")
        elif self.fold >= self.folds:
            raise ValueError(f"fold={self.fold} is not one of {self.folds} folds, which are counted from 0")
        return self


class FoldedReader(Reader):
    """A set without a split; subclasses implement `unsplit` and `published`, and every sample has its subject."""

    Options = FoldOptions
    options: FoldOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        folds = self.options.folds
        self.split_rule = "none: all are kept together" if folds is None else fold_rule(folds, self.options.fold)

    @abstractmethod
    def unsplit(self) -> Iterator[Sample]:
        """Yield every sample, without a split, in the same order each time."""

    @abstractmethod
    def published(self) -> Mapping[str, int]:
        """Return class -> images of the whole set for the options given; {} when nothing is published for them."""

    def samples(self) -> Iterator[Sample]:
        folds = self.options.folds
        if folds is None:
            yield from self.unsplit()
            return
        samples = list(self.unsplit())
        dealt = subject_folds((sample.subject for sample in samples), folds)
        for sample in samples:
            yield replace(sample, split="test" if dealt[sample.subject] == self.options.fold else "train")

    def official(self) -> Mapping[str, Mapping[str, int]]:
        """Return the published numbers of the whole set under the split '', with folds or without."""
        published = self.published()
        return {"": published} if published else {}


_T = TypeVar("_T")


class SequenceOptions(FoldOptions):
    """`frames`: how many last frames show the expression; `neutral`: whether the first frame is taken as neutral."""

    frames: int = Field(3, ge=1, le=10, description="the last so many frames show the expression")
    neutral: bool = Field(True, description="take the first frame as neutral")


def chosen_frames(frames: Sequence[_T], last: int, neutral: bool) -> Iterator[tuple[_T, bool]]:
    """Yield the first frame, if `neutral`, and the `last` frames, each with whether it is the neutral one.

    A sequence that is too short for both keeps its last frames only.
    """
    if neutral and len(frames) > last:
        yield frames[0], True
    yield from ((frame, False) for frame in frames[-last:])


def without_neutral(names: Iterable[str] = EXPRESSIONS) -> tuple[str, ...]:
    """Return the names but neutral, in their order."""
    return tuple(name for name in names if name != "neutral")
