"""AffectNet: faces of the internet with an expression, valence and arousal (Mollahosseini, Hasani and Mahoor, 2017).

Three forms are about: the older release with its lists, the newer one with `.npy` files for each picture, and a
re-labelled Kaggle derivative. The official test set was never released; everyone tests on the validation set, so that
is the split `test` here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dcdan.data.affectnet_annotation import (
    CODES,
    COLUMNS,
    LEFT_OUT,
    Annotation,
    columns_in,
    from_files,
    from_row,
)
from dcdan.data.expression_folders import labelled_pictures
from dcdan.data.layout import below, names_in, wrong_layout
from dcdan.data.reader import Reader, ReaderOptions, Sample, lines_of, register
from dcdan.errors import DataError
from dcdan.expressions import EXPRESSIONS
from dcdan.faces.find import is_picture_name

TRAIN = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)
TEST = (500, 500, 500, 500, 500, 500, 500, 500)
TEST_NEWER = (*TEST[:-1], 499)
_DERIVATIVE = (
    "this Kaggle copy of AffectNet was re-labelled and shrunk to 96 x 96: its labels are not the official ones, and "
    "figures on it do not compare with those on AffectNet"
)


class AffectNetOptions(ReaderOptions):
    """`contempt`: whether contempt is a class (AffectNet-8) or left out (AffectNet-7)."""

    split: Literal["train", "test"] | None = None
    contempt: bool = True


@register
class AffectNet(Reader):
    """`Manually_Annotated_Images` and its lists, `{train_set,val_set}/{images,annotations}`, or the Kaggle copy."""

    name = "affectnet"
    title = "AffectNet"
    extent = "287,651 face crops to train and 3,999 or 4,000 to test, eight expressions, valence and arousal"
    obtain = (
        "On request from the authors (mohammadmahoor.com/affectnet); give the folder that holds "
        "train_set/ and val_set/, or Manually_Annotated_Images/ and Manually_Annotated_file_lists/."
    )
    licence = "research only, by signed agreement, not to be redistributed"
    Options = AffectNetOptions
    classes = EXPRESSIONS
    cropped = True
    split_rule = "as released; the validation set is the split test, since the test set was never released"
    options: AffectNetOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        self.classes = EXPRESSIONS if self.options.contempt else EXPRESSIONS[:-1]
        given = self.folder
        found = _find(given)
        if found is None:
            wanted = (
                "Manually_Annotated_Images and its lists, train_set and val_set, or the Kaggle copy's Train and Test"
            )
            raise wrong_layout(self.title, wanted, given)
        self.layout, self.root, parts = found
        # With a split chosen the other one, which may be long to read, is left alone.
        chosen = {split: place for split, place in parts.items() if self.options.split in (None, split)}
        self._parts = chosen or parts
        if self.layout == "Kaggle derivative":
            self.warnings.append(_DERIVATIVE)

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        found = _find(folder)
        if found is None or (found[0] == "Kaggle derivative" and below(found[1], "labels.csv") is None):
            return None
        return found[0]

    def official(self) -> dict[str, dict[str, int]]:
        if self.layout == "Kaggle derivative":
            return {}
        numbers = {"train": TRAIN, "test": TEST if self.layout == "older release" else TEST_NEWER}
        wanted = self.options.split
        return {
            split: {name: count for name, count in zip(CODES, counts, strict=True) if name in self.classes}
            for split, counts in numbers.items()
            if wanted in (None, split)
        }

    def samples(self) -> Iterator[Sample]:
        for split, place in self._parts.items():
            if self.layout == "Kaggle derivative":
                yield from self._from_folders(split, place)
                continue
            rows = self._from_list(place) if self.layout == "older release" else self._from_files(place)
            for row in rows:
                label = self._label(row.code)
                if label is not None:
                    yield Sample(row.path, label, split=split, box=row.box, landmarks=row.landmarks, values=row.values)

    def _label(self, code: int) -> int | None:
        """Return the index of a code's class; None once a sample that has none is counted."""
        name = (*CODES, *LEFT_OUT)[code]
        if name in self.classes:
            return self.classes.index(name)
        self.skip(name)
        return None

    def _from_list(self, table: Path) -> Iterator[Annotation]:
        """Yield the good rows of a list of the older release, which may lack its header."""
        pictures = _pictures(self.folder)
        assert pictures is not None
        prefix = pictures.relative_to(self.folder).as_posix()
        columns = {name: place for place, name in enumerate(COLUMNS)}
        count = len(COLUMNS)
        for line, text in enumerate(lines_of(table), 1):
            cells = [cell.strip().strip('"') for cell in text.split(",")]
            header = columns_in(cells) if line == 1 else None
            if header is not None:
                columns, count = header, len(cells)
                if "expression" not in columns:
                    raise DataError(f"'{table}' should have a column expression; it has {', '.join(cells)}.")
            elif text.strip():
                try:
                    if len(cells) != count:
                        raise ValueError(f"{len(cells)} columns instead of {count}")
                    row = from_row(cells, columns)
                except ValueError as reason:
                    self.damaged(table, line, reason)
                    continue
                yield row._replace(path=f"{prefix}/{row.path}")

    def _from_files(self, place: Path) -> Iterator[Annotation]:
        """Yield what the files of `train_set` or `val_set` say, in the order of the pictures' numbers."""
        images, annotations = below(place, "images"), below(place, "annotations")
        assert images is not None
        assert annotations is not None
        stems = {name.removesuffix("_exp.npy") for name in names_in(annotations) if name.endswith("_exp.npy")}
        odd: dict[str, str] = {}
        with os.scandir(images) as entries:
            for name in (entry.name for entry in entries if is_picture_name(entry.name)):
                stem, _, suffix = name.rpartition(".")
                if stem not in stems:
                    self.skip("picture without annotation")
                elif suffix != "jpg":
                    odd[stem] = name
        prefix = images.relative_to(self.folder).as_posix()
        order = sorted(stems, key=lambda stem: (len(stem), stem))
        del stems
        for stem in order:
            try:
                row = from_files(annotations, stem, f"{prefix}/{odd.get(stem, f'{stem}.jpg')}")
            except (OSError, ValueError) as reason:
                self.damaged(annotations / f"{stem}_exp.npy", None, reason)
                continue
            yield row

    def _from_folders(self, split: str, place: Path) -> Iterator[Sample]:
        for path, name in labelled_pictures(place, self):
            yield Sample(path.relative_to(self.folder).as_posix(), self.classes.index(name), split=split)


def _find(given: Path) -> tuple[str, Path, dict[str, Path]] | None:
    """Return layout, root and split -> list or folder of the AffectNet in a folder, or one folder further in."""
    inner = (below(given, name) for name in ("AffectNet", "archive (3)"))
    for place in (given, *(folder for folder in inner if folder is not None)):
        for layout, parts in (
            ("older release", _lists(place)),
            ("newer release", _sets(place)),
            ("Kaggle derivative", _derivative(place)),
        ):
            if parts:
                return layout, place, parts
    return None


def _pictures(place: Path) -> Path | None:
    whole = below(place, "Manually_Annotated_Images")
    return whole if whole is not None else below(place, "Manually_Annotated/Manually_Annotated_Images")


def _lists(place: Path) -> dict[str, Path]:
    """Return split -> list of the older release; {} where there are no lists or no pictures."""
    if _pictures(place) is None:
        return {}
    ways = ("Manually_Annotated_file_lists", "Manually_Annotated/Manually_Annotated_file_lists")
    folders = [place, *(folder for folder in (below(place, way) for way in ways) if folder is not None)]
    found: dict[str, Path] = {}
    for split, name in (("train", "training.csv"), ("test", "validation.csv")):
        tables = (below(folder, name) for folder in folders)
        table = next((table for table in tables if table is not None), None)
        if table is not None:
            found[split] = table
    return found


def _sets(place: Path) -> dict[str, Path]:
    """Return split -> folder of the newer release, of those that hold images and annotations."""
    folders = {"train": below(place, "train_set"), "test": below(place, "val_set")}
    return {
        split: folder
        for split, folder in folders.items()
        if folder is not None and below(folder, "images") is not None and below(folder, "annotations") is not None
    }


def _derivative(place: Path) -> dict[str, Path]:
    """Return split -> folder of the Kaggle derivative: Train and Test, with the folders anger and contempt in one."""
    folders = {split: below(place, split) for split in ("train", "test")}
    parts = {split: folder for split, folder in folders.items() if folder is not None}
    inner = {name.lower() for folder in parts.values() for name in names_in(folder)}
    return parts if len(parts) == 2 and {"anger", "contempt"} <= inner else {}
