"""The protocol of readers: a data set is a reader that lists labelled or unlabelled samples and loads their pictures.

A new data set is one new file in `dcdan.datasets.readers` with one `@register` class in it; docs/datasets.md has an
example. Nothing else in the package names it.
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
    """One picture of a data set, with its annotations.

    Attributes:
        path: path relative to the reader's root, with forward slashes, or any name by which the reader can load it.
        label: index into the reader's `classes`, -1 where there is none.
        votes: non-negative weights over `classes` that sum to 1, or None.
        split: "train", "validation", "test", or "" where the data set has no split.
        subject: the person, "" where unknown. Hold-outs and folds do not divide the faces of a subject.
        groups: name -> value for reports by group, such as `{"age": "20-39"}`. Hold-outs do not divide the groups in
            `dcdan.datasets.folds.GROUPS_OF_RELATED_FACES`, such as the film, either.
        box: x0, y0, x1, y1 in pixels of the picture.
        landmarks: five points x, y in pixels: left eye, right eye, nose, left and right mouth corner, where left means
            left in the picture.
        values: other numbers of the data set, such as valence and arousal. They are hidden in a target, as labels are.
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
    """Options of every reader, written `?split=train&limit=1000` in a spec. A reader adds fields in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str | None = Field(None, description="keep only this split")
    limit: int | None = Field(None, ge=1, description="keep this many samples, chosen at random by the seed")
    seed: int = Field(0, description="seed of the samples that a limit keeps and of a shift's random numbers")
    shift: ShiftKind | None = Field(None, description="apply this known shift to the aligned faces")
    severity: int = Field(3, ge=1, le=5, description="severity of the shift, 1 to 5")

    @model_validator(mode="after")
    def _severity_of_something(self) -> ReaderOptions:
        """Check that a severity is given with a shift."""
        if self.shift is None and "severity" in self.model_fields_set:
            raise ValueError(
                f"severity is the strength of a shift, so add shift={', '.join(SHIFT_KINDS[:-1])} or {SHIFT_KINDS[-1]}"
            )
        return self

    @property
    def known_shift(self) -> Shift | None:
        """The shift of the options, None for none."""
        return None if self.shift is None else Shift(kind=self.shift, severity=self.severity, seed=self.seed)


class Reader(ABC):
    """A data set on disk, or a synthetic one, read in the layout in which it was released.

    A subclass sets the class attributes and implements `samples`. Its constructor finds the layout and raises DataError
    for another one, in a sentence that names what it expects and what it found. A reader of a published set
    implements `recognise` and `official` too.

    Attributes:
        name: the name in specs.
        title: the name in texts.
        licence: what may be done with the data.
        extent: how much there is, in a few words.
        obtain: how to get the data, in one sentence.
        Options: the model of the reader's options.
        needs_path: whether a spec must name a path.
        follows_links: whether a picture may be a link to a file outside the folder.
        cropped: whether the pictures are face crops already.
        channels: 1 where every picture is grey, so that faces are stored as `(N, S, S)`; else 3.
        max_faces: faces stored of each picture, None for all of them.
        split_rule: how `Sample.split` was found, recorded in pack.json.
        classes: the names that labels index.
        layout: the name of the layout that was found.
        skipped: reason -> samples left out; filled while `samples` runs.
        notes: the first hundred damaged rows, each with its line and the reason.
        warnings: what a user must know of the data, whichever samples are selected.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]
    extent: ClassVar[str] = ""
    obtain: ClassVar[str] = ""
    Options: ClassVar[type[ReaderOptions]] = ReaderOptions
    needs_path: ClassVar[bool] = True
    follows_links: ClassVar[bool] = False

    cropped: bool = False
    channels: int = 3
    max_faces: int | None = 1
    split_rule: str = "as released"
    classes: tuple[str, ...] = ()
    layout: str = ""

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        """Open the data set at a path; subclasses find its layout and set `root` to the folder of the samples."""
        self.root = root
        self.options = options
        self.skipped: dict[str, int] = {}
        self.notes: list[str] = []
        self.warnings: list[str] = []

    @classmethod
    def recognise(cls, folder: Path) -> str | None:  # noqa: ARG003
        """Detect the data set in a folder by a few names in it.

        No two readers may recognise the same folder, and no folder of a user's own pictures may be recognised.

        Args:
            folder: a folder that may hold anything.

        Returns:
            The name of the layout where the folder is certainly this data set, else None.
        """
        return None

    @classmethod
    def at_url(cls, url: str, options: ReaderOptions) -> Reader:  # noqa: ARG003
        """Open the reader of data at a URL.

        Args:
            url: a URL that fsspec supports.
            options: the options.

        Returns:
            The reader.

        Raises:
            UsageError: the reader reads local files only.
        """
        raise UsageError(
            f"The reader '{cls.name}' reads local files and not '{url}': copy the data, or read it as a folder:URL."
        )

    def official(self) -> Mapping[str, Mapping[str, int]]:
        """Return the published numbers of images for the options given.

        Returns:
            split -> class -> images. A total whose classes are not published has the class "". A set without splits has
            the split "". {} where nothing is published for these options.
        """
        return {}

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Yield every sample, in the same order each time.

        The options `split` and `limit` are applied by `selected`. Samples that are left out are counted by `skip`, and
        a damaged row is reported by `damaged`.

        Returns:
            The samples.
        """

    def load(self, sample: Sample) -> np.ndarray:
        """Load the picture of a sample.

        Args:
            sample: a sample of this reader.

        Returns:
            `(H, W, 3) uint8` RGB.

        Raises:
            UndecodableImage: it cannot be decoded, or is a link that leads out of the folder.
            OSError: it cannot be read.
        """
        from dcdan.images.decode import UndecodableImage, decode
        from dcdan.images.status import Status

        path = self.folder / sample.path
        if not self.follows_links and not within(self.folder, path):
            raise UndecodableImage(Status.OUTSIDE, "it is a link that leads out of the folder of the data set")
        return decode(path)

    @property
    def folder(self) -> Path:
        """The folder that the paths of the samples start from.

        Raises:
            DataError: the reader has no path.
        """
        if self.root is None:
            raise DataError(f"The reader '{self.name}' needs a path: write {self.name}:PATH.")
        return self.root

    def skip(self, reason: str, count: int = 1) -> None:
        """Count samples that are left out.

        Args:
            reason: the reason, such as "row without image".
            count: number of samples.
        """
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + count

    def damaged(self, file: Path, line: int | None, reason: object) -> None:
        """Count a damaged row; the first hundred are described in `notes`.

        Args:
            file: the label file.
            line: the line of the row, from 1; None where the file belongs to one picture.
            reason: what is wrong, as a clause.
        """
        self.skip("damaged rows")
        if len(self.notes) < _NOTES:
            place = file.name if line is None else f"line {line} of {file.name}"
            self.notes.append(f"{place} was left out: {reason}")

    def selected(self) -> Iterator[Sample]:
        """Yield the samples that the options `split` and `limit` select.

        Returns:
            The samples.

        Raises:
            DataError: the data set has no such split.
        """
        self.skipped.clear()
        self.notes.clear()
        split, limit = self.options.split, self.options.limit
        chosen = self.samples() if split is None else self._of_split(split)
        return chosen if limit is None else take(chosen, limit, self.options.seed)

    def _of_split(self, split: str) -> Iterator[Sample]:
        """Yield the samples of a split."""
        seen: set[str] = set()
        for sample in self.samples():
            seen.add(sample.split)
            if sample.split == split:
                yield sample
        if split not in seen:
            known = ", ".join(sorted(seen - {""})) or "none"
            raise DataError(f"{self.title} in '{self.root}' has no split '{split}'; its splits are: {known}.")


def readable(rows: Iterable[_T], table: Path) -> Iterator[_T]:
    """Yield the lines of a table or the rows of a CSV reader.

    Args:
        rows: lines or rows.
        table: the file, for the message.

    Yields:
        The same.

    Raises:
        DataError: the text is not readable.
    """
    try:
        yield from rows
    except (csv.Error, ValueError) as error:
        raise DataError(f"'{table}' is no readable CSV table ({error}): get the file again.") from None


def lines_of(table: Path) -> Iterator[str]:
    """Yield the lines of a label file.

    Args:
        table: the file.

    Returns:
        The lines.

    Raises:
        DataError: the file is not readable text.
    """
    return readable(text_lines(table), table)


def take(samples: Iterator[Sample], limit: int, seed: int) -> Iterator[Sample]:
    """Select samples at random, without replacement, by a hash of seed and position.

    Args:
        samples: all samples; only `limit` of them are in memory at a time.
        limit: how many to select.
        seed: another seed selects others.

    Yields:
        The selected samples in their order, all of them where there are fewer than `limit`.
    """
    keyed = ((_key(index, seed), index, sample) for index, sample in enumerate(samples))
    kept = heapq.nsmallest(limit, keyed, key=lambda entry: entry[:2])
    for _, _, sample in sorted(kept, key=lambda entry: entry[1]):
        yield sample


def draw(indices: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Select some of the indices at random, by the hash of `take`.

    Args:
        indices: `(n,)` indices.
        limit: how many to select.
        seed: seed of the choice.

    Returns:
        `(min(limit, n),) int64`, ascending.
    """
    kept = heapq.nsmallest(limit, indices.tolist(), key=lambda index: (_key(index, seed), index))
    return np.array(sorted(kept), np.int64)


def _key(index: int, seed: int) -> bytes:
    """Return the hash of an index by which samples are chosen."""
    return hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
