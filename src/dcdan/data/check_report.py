"""What a check of a data set found, as JSON and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dcdan.data.counts import TOTAL, CountLine, ordered_splits
from dcdan.data.doubles import Kind
from dcdan.durable import atomic_text
from dcdan.errors import no_formula

AGAINST = "against"


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be decoded, and why."""

    path: str
    split: str
    label: str
    status: str


@dataclass(frozen=True, slots=True)
class Double:
    """Two doubled images. `group` numbers the images that are doubles of each other, directly or through others."""

    kind: Kind
    distance: int
    group: int | None
    path: str
    split: str
    label: str
    other_path: str
    other_split: str
    other_label: str

    @property
    def conflicting(self) -> bool:
        """Whether both are labelled, and not alike."""
        return bool(self.label and self.other_label) and self.label != self.other_label

    @property
    def place(self) -> str:
        """Where the two are: ``within train``, ``train - test``, or ``against`` another data set."""
        if self.group is None:
            return AGAINST
        if self.split == self.other_split:
            return f"within {self.split}".strip()
        return " - ".join(split or "no split" for split in ordered_splits((self.split, self.other_split)))


@dataclass(frozen=True)
class CheckReport:
    """The findings about one data set; pictures were opened when `distance` is not None.

    Attributes:
        lines: images of each split and class, beside the published numbers when `published`.
        skipped: samples that the reader left out, by reason; `notes` names damaged rows, the first hundred.
        statuses: pictures by what became of them; `failures` names those that could not be decoded.
        plain: pictures without any contrast, which are no doubles of each other.
        doubles: pairs of doubled images; `cut_short` when there were more than anyone can use.
        doubled: split -> other split -> images of the first that have a double in the other (or again in the first).
        leaks: pairs of an image and its double in the set `against`; `leaked` counts the images.
    """

    spec: str
    reader: str
    title: str
    layout: str
    split_rule: str
    images: int
    lines: tuple[CountLine, ...]
    published: bool
    skipped: Mapping[str, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    statuses: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    plain: tuple[str, ...] = ()
    distance: int | None = None
    doubles: tuple[Double, ...] = ()
    doubled: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cut_short: bool = False
    against: str | None = None
    against_images: int = 0
    leaks: tuple[Double, ...] = ()
    leaked: int = 0

    def with_pictures(self, **found: Any) -> CheckReport:
        """Return the report with what the pictures showed."""
        return replace(self, **found)

    def with_other(self, *, cut_short: bool, **found: Any) -> CheckReport:
        """Return the report with what the comparison with another set showed."""
        return replace(self, cut_short=self.cut_short or cut_short, **found)

    @property
    def damaged_rows(self) -> int:
        """Rows of label files that could not be read."""
        return self.skipped.get("damaged rows", 0)

    @property
    def differing(self) -> list[CountLine]:
        """The lines whose number is not the published one."""
        return [line for line in self.lines if line.difference]

    def faults(self) -> list[str]:
        """Return in a few words each what is missing, damaged or not as published; doubled images are no fault."""
        places = [_place(line) for line in self.differing]
        found = (
            (len(self.failures), f"{len(self.failures)} pictures missing or unreadable"),
            (self.damaged_rows, f"{self.damaged_rows} damaged rows"),
            (len(places), f"counts other than published ({', '.join(places)})"),
        )
        return [text for number, text in found if number]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        plain = asdict(self)
        plain["counts"] = [{**asdict(line), "difference": line.difference} for line in self.lines]
        del plain["lines"]
        for name in ("doubles", "leaks"):
            pairs: tuple[Double, ...] = getattr(self, name)
            plain[name] = [_row(pair) | {"conflicting": pair.conflicting} for pair in pairs]
        return {**plain, "damaged_rows": self.damaged_rows, "faults": self.faults()}

    def write_doubles(self, path: Path) -> None:
        """Write the pairs of doubled images, and those with the other set, as CSV.

        Raises:
            OutputError: when the file cannot be written.
        """
        with atomic_text(path, newline="") as file:
            table = csv.DictWriter(file, ["place", *(column.name for column in fields(Double))], lineterminator="\n")
            table.writeheader()
            table.writerows(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        for pair in (*self.doubles, *self.leaks):
            yield {key: "" if value is None else no_formula(value) for key, value in _row(pair).items()}


def _row(pair: Double) -> dict[str, Any]:
    return {"place": pair.place, **asdict(pair), "kind": str(pair.kind)}


def _place(line: CountLine) -> str:
    split = line.split or "whole set"
    return split if line.name == TOTAL else f"{split} {line.name or 'without label'}"
