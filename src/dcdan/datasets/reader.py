"""What a data set is to dcdan: a reader that lists labelled or unlabelled samples and loads their pictures.

A new data set is one new file in this package with one `@register` class in it; nothing else has to know of it.
"""

from __future__ import annotations

import csv
import hashlib
import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcdan.core.errors import DataError, UsageError
from dcdan.core.limits import text_lines, within
from dcdan.corruptions.shifts import SHIFT_KINDS, Shift, ShiftKind

_NOTES = 100
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a data set and what the data set says of it.

    path: where it is, relative to the reader's root, with forward slashes (or any name the reader can load by).
    label: index into the reader's `classes`, -1 when there is none.
    votes: non-negative weights over `classes` that sum to 1, or None.
    split: "train", "validation", "test" or "" when the data set has no split.
    box: x0, y0, x1, y1 in pixels of the picture.
    landmarks: five points x, y in pixels: left eye, right eye, nose, left and right mouth corner (left in the picture).
    values: other numbers that the data set gives, such as valence and arousal; hidden in a target, as labels are.
    """

    path: str
    label: int = -1
    votes: tuple[float, ...] | None = None
    split: str = ""
    subject: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    values: Mapping[str, float] = field(default_factory=dict)


class ReaderOptions(BaseModel):
    """Options that every reader takes, written `?split=train&limit=1000` in a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str | None = Field(None, description="keep only this split")
    limit: int | None = Field(None, ge=1, description="keep this many samples, drawn by the seed")
    seed: int = Field(0, description="which samples a limit keeps, and the random numbers of a shift")
    shift: ShiftKind | None = Field(None, description="make the aligned faces worse in this way")
    severity: int = Field(3, ge=1, le=5, description="how much worse, 1 to 5")

    @model_validator(mode="after")
    def _severity_of_something(self) -> ReaderOptions:
        if self.shift is None and "severity" in self.model_fields_set:
            raise ValueError(
                f"severity says how strong a shift is, so add shift={', '.join(SHIFT_KINDS[:-1])} or {SHIFT_KINDS[-1]}"
            )
        return self

    @property
    def known_shift(self) -> Shift | None:
        """The shift that the options ask for."""
        return None if self.shift is None else Shift(kind=self.shift, severity=self.severity, seed=self.seed)


class Reader(ABC):
    """A data set on disk (or drawn), read as it was released.

    Subclasses set the class attributes and implement `samples`; they raise DataError, in one sentence that says what
    was looked for and what was found, when the folder is laid out otherwise. `skipped` is filled while `samples` runs.
    A reader of a published set implements `recognise` and `official` too.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]
    extent: ClassVar[str] = ""  # how much there is, in a few words
    obtain: ClassVar[str] = ""  # how to get it, in one sentence
    Options: ClassVar[type[ReaderOptions]] = ReaderOptions
    needs_path: ClassVar[bool] = True
    follows_links: ClassVar[bool] = False  # whether a picture may be a link to one outside the folder

    cropped: bool = False  # the pictures are face crops already
    channels: int = 3  # 1 when every picture is grey: faces are stored (N, S, S)
    max_faces: int | None = 1  # faces kept of each picture, None for all of them
    split_rule: str = "as released"  # how `split` was found, kept in pack.json
    classes: tuple[str, ...] = ()
    layout: str = ""  # which of the forms in which a set is about was found

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        self.root = root
        self.options = options
        self.skipped: dict[str, int] = {}
        self.notes: list[str] = []
        self.warnings: list[str] = []  # what a user must know of the data, whichever samples are chosen

    @classmethod
    def recognise(cls, folder: Path) -> str | None:  # noqa: ARG003
        """Return the layout's name when a folder is certainly this data set, found by looking at few names; else None.

        No two readers recognise the same folder.
        """
        return None

    @classmethod
    def at_url(cls, url: str, options: ReaderOptions) -> Reader:  # noqa: ARG003
        """Return the reader of the data at a URL; raise UsageError when it reads local files only."""
        raise UsageError(
            f"The reader '{cls.name}' reads local files and not '{url}': copy the data, or read it as a folder:URL."
        )

    def official(self) -> Mapping[str, Mapping[str, int]]:
        """Return the published numbers of images for the options given: split -> class -> images.

        Where the total alone is published it stands under the class ""; {} when nothing is published for these options.
        """
        return {}

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Yield every sample, in the same order each time; `split` and `limit` are applied by `selected`."""

    def load(self, sample: Sample) -> np.ndarray:
        """Return the picture (H, W, 3) uint8 RGB; raise UndecodableImage when it cannot be read."""
        from dcdan.images.decode import UndecodableImage, decode
        from dcdan.images.status import Status

        path = self.folder / sample.path
        if not self.follows_links and not within(self.folder, path):
            raise UndecodableImage(Status.OUTSIDE, "it is a link that leads out of the folder of the data set")
        return decode(path)

    @property
    def folder(self) -> Path:
        """The folder that the paths of the samples are relative to."""
        if self.root is None:
            raise DataError(f"The reader '{self.name}' needs a path: write {self.name}:PATH.")
        return self.root

    def skip(self, reason: str, count: int = 1) -> None:
        """Count samples that are left out, by reason."""
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + count

    def damaged(self, file: Path, line: int | None, reason: object) -> None:
        """Count a row of a label file (or, without a line, a file for one picture) and name the first hundred."""
        self.skip("damaged rows")
        if len(self.notes) < _NOTES:
            place = file.name if line is None else f"line {line} of {file.name}"
            self.notes.append(f"{place} was left out: {reason}")

    def selected(self) -> Iterator[Sample]:
        """Yield the samples that the options `split` and `limit` keep; raise DataError when there is no such split."""
        self.skipped.clear()
        self.notes.clear()
        split, limit = self.options.split, self.options.limit
        chosen = self.samples() if split is None else self._of_split(split)
        return chosen if limit is None else take(chosen, limit, self.options.seed)

    def _of_split(self, split: str) -> Iterator[Sample]:
        seen: set[str] = set()
        for sample in self.samples():
            seen.add(sample.split)
            if sample.split == split:
                yield sample
        if split not in seen:
            known = ", ".join(sorted(seen - {""})) or "none"
            raise DataError(f"{self.title} in '{self.root}' has no split '{split}'; its splits are: {known}.")


def readable(rows: Iterable[_T], table: Path) -> Iterator[_T]:
    """Yield the lines of a table or the rows of a CSV reader; raise DataError where the text is no table any more."""
    try:
        yield from rows
    except (csv.Error, ValueError) as error:
        raise DataError(f"'{table}' is no readable CSV table ({error}): get the file again.") from None


def lines_of(table: Path) -> Iterator[str]:
    """Yield the lines of a label file; raise DataError where it is no text any more."""
    return readable(text_lines(table), table)


def take(samples: Iterator[Sample], limit: int, seed: int) -> Iterator[Sample]:
    """Yield `limit` samples, in their order, drawn without replacement by a hash of seed and position.

    Needs memory for `limit` samples only.
    """
    keyed = ((_key(index, seed), index, sample) for index, sample in enumerate(samples))
    kept = heapq.nsmallest(limit, keyed, key=lambda entry: entry[:2])
    for _, _, sample in sorted(kept, key=lambda entry: entry[1]):
        yield sample


def draw(indices: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Return `limit` of the indices, ascending, drawn without replacement by the same hash as in `take`."""
    kept = heapq.nsmallest(limit, indices.tolist(), key=lambda index: (_key(index, seed), index))
    return np.array(sorted(kept), np.int64)


def _key(index: int, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
