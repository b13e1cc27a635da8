"""Pictures of data sets: a sheet of faces by class, the class distribution, and several sets side by side."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dcdan.audit.counts import SplitCounts, counted
from dcdan.audit.inspection import InspectionListing, listing, samples_at
from dcdan.core.atomic_io import atomic_text, write_bytes
from dcdan.core.errors import OutputError
from dcdan.core.sanitize import no_formula
from dcdan.datasets.listing import nothing_selected
from dcdan.datasets.reader import Reader, Sample, draw
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.expressions import ordered
from dcdan.images.decode import UndecodableImage
from dcdan.packs.prepare import inside_box
from dcdan.plots.class_distribution import counts_png, shares_png
from dcdan.plots.contact_sheet import PAPER, Mark, SheetCell, SheetRow, sheet_png

_COLUMNS = 10
_SIDE = 96
# A set without labels has one row where others have one for each class.
_UNLABELLED_ROWS = 5


@dataclass(frozen=True)
class _Shown:
    """A data set whose samples were listed.

    Attributes:
        name: its name in file names.
        counts: images by split and class.
    """

    name: str
    reader: Reader
    listed: InspectionListing
    counts: SplitCounts

    @property
    def title(self) -> str:
        return self.reader.title if self.name == self.reader.name else f"{self.reader.title}, {self.name}"

    @property
    def labelled(self) -> bool:
        return bool((self.listed.labels >= 0).any())

    def by_class(self) -> dict[str, int]:
        names = self.reader.classes
        return {name: int((self.listed.labels == label).sum()) for label, name in enumerate(names)}


def show(
    specs: Sequence[str], out: Path | str, *, per_class: int = 10, seed: int = 0, force: bool = False
) -> list[Path]:
    """Write contact sheets and class distributions of data sets, from the released files, without detecting faces.

    It writes for each spec a contact sheet and, if it has labels, its class distribution; for several labelled specs
    the class proportions side by side (the paper's Figure 3); and the numbers as ``counts.csv``.

    Args:
        specs: ``reader:path?option=value``, or folders.
        out: the folder for the pictures; it may exist when it is empty, or with ``force``.
        per_class: faces of each class on a sheet; samples with a box are cropped.
        seed: seed of the random choice of faces.
        force: replace existing files.

    Returns:
        The paths of the files.

    Raises:
        UsageError, DataError, OutputError: each with one sentence.
    """
    out = Path(out)
    _refuse_full(out, force)
    shown = [_listed(open_reader(parse_spec(spec)), name) for spec, name in zip(specs, _names(specs), strict=True)]
    paths = []
    for one in shown:
        paths.append(out / f"{one.name}-faces.png")
        write_bytes(paths[-1], faces_png(one.reader, one.listed, per_class, seed))
        if one.labelled:
            paths.append(out / f"{one.name}-classes.png")
            write_bytes(paths[-1], counts_png(one.counts, title=one.title))
    labelled = {one.name: one.by_class() for one in shown if one.labelled}
    if len(labelled) > 1:
        known = [name for images in labelled.values() for name in images]
        classes = (*ordered(known), *dict.fromkeys(name for name in known if name not in ordered(known)))
        paths.append(out / "distribution.png")
        write_bytes(paths[-1], shares_png(labelled, classes))
    paths.append(out / "counts.csv")
    _write_counts(paths[-1], shown)
    return paths


def faces_png(reader: Reader, listed: InspectionListing, per_class: int, seed: int) -> bytes:
    """Draw a contact sheet: a row of faces for each class, with the split below each face.

    Args:
        reader: loads the pictures.
        listed: the splits and labels of what the reader selects.
        per_class: faces in a row.
        seed: seed of the random choice of faces.

    Returns:
        The bytes of a PNG file.
    """
    drawn: list[tuple[str, np.ndarray]] = []
    for label, name in [*enumerate(reader.classes), (-1, "without label" if reader.classes else "")]:
        places = np.flatnonzero(listed.labels == label)
        count = per_class if reader.classes else per_class * _UNLABELLED_ROWS
        if len(places):
            heading = f"{name} · {len(places):,}" if name else f"{len(places):,} pictures"
            drawn.append((heading, draw(places, count, seed)))
    samples = samples_at(reader, np.concatenate([places for _, places in drawn]))
    rows = [
        SheetRow(heading, tuple(_cell(reader, samples[place]) for place in places.tolist()))
        for heading, places in drawn
    ]
    return sheet_png(rows, columns=min(_COLUMNS, max(len(row.cells) for row in rows)), side=_SIDE)


def _cell(reader: Reader, sample: Sample) -> SheetCell:
    """Return the cell of a sample, or a grey one with its status."""
    split = (Mark(sample.split),) if sample.split else ()
    try:
        return SheetCell(_square(inside_box(reader.load(sample), sample.box)[0]), split)
    except UndecodableImage as error:
        return SheetCell(np.full((_SIDE, _SIDE, 3), 225, np.uint8), (Mark(str(error.status), right=False),))


def _square(picture: np.ndarray) -> np.ndarray:
    """Return a picture `(H, W, 3) uint8` centred in a square of the paper's colour."""
    height, width = picture.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), PAPER, np.uint8)
    square[top : top + height, left : left + width] = picture
    return square


def _listed(reader: Reader, name: str) -> _Shown:
    """List a data set that must not be empty."""
    listed = listing(reader)
    if not len(listed):
        raise nothing_selected(reader, "show")
    classes = (*reader.classes, "")
    pairs = zip(listed.split_codes.tolist(), listed.labels.tolist(), strict=True)
    named = ((listed.splits[code], classes[label]) for code, label in pairs)
    return _Shown(name, reader, listed, counted(named, reader.classes))


def _names(specs: Sequence[str]) -> list[str]:
    """Return a short name for each spec, with a number where one comes again."""
    names: list[str] = []
    for spec in specs:
        parsed = parse_spec(spec)
        own = parsed.path if parsed.reader in (None, "synthetic", "class_folders", "folder", "manifest") else ""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(own).stem if own else parsed.reader or "").strip("-.") or "data"
        taken = sum(re.fullmatch(rf"{re.escape(stem)}(-\d+)?", name) is not None for name in names)
        names.append(f"{stem}-{taken + 1}" if taken else stem)
    return names


def _refuse_full(out: Path, force: bool) -> None:
    """Check that the output folder may be written."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"'{out}' is a file: give a folder for the pictures.")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise OutputError(f"'{out}' is not empty: choose another --out, or replace its pictures with --force.")


def _write_counts(path: Path, shown: Sequence[_Shown]) -> None:
    """Write the numbers of images as CSV."""
    with atomic_text(path, newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("set", "split", "class", "images"))
        for one in shown:
            for split, images in one.counts.items():
                table.writerows((no_formula(one.name), split, name, number) for name, number in images.items())
