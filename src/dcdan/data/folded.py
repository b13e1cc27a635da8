"""Small sets that were released without a split: read whole, or split by subject into folds of one's choice."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from dcdan.data.folds import fold_rule, subject_folds
from dcdan.data.reader import Reader, ReaderOptions, Sample


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
