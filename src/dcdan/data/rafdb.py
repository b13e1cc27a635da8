"""RAF-DB: faces of the internet with basic or compound expressions (Li, Deng and Du, CVPR 2017).

A compound expression, such as *sadly angry*, is read as its noun (anger) with half of the votes for each of the two
basic expressions; its own name is kept in the group `compound`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from dcdan.data.layout import below, folders_in, names_in, some_names, wrong_layout
from dcdan.data.raf_annotation import Annotations
from dcdan.data.reader import Reader, ReaderOptions, Sample, lines_of, readable, register
from dcdan.errors import DataError
from dcdan.expressions import EXPRESSIONS
from dcdan.faces.find import is_picture_name

BASIC = EXPRESSIONS[:7]
COMPOUND = (
    ("happily surprised", "happiness", "surprise"),
    ("happily disgusted", "happiness", "disgust"),
    ("sadly fearful", "sadness", "fear"),
    ("sadly angry", "sadness", "anger"),
    ("sadly surprised", "sadness", "surprise"),
    ("sadly disgusted", "sadness", "disgust"),
    ("fearfully angry", "fear", "anger"),
    ("fearfully surprised", "fear", "surprise"),
    ("angrily surprised", "anger", "surprise"),
    ("angrily disgusted", "anger", "disgust"),
    ("disgustedly surprised", "disgust", "surprise"),
)
OFFICIAL = {"train": (1290, 281, 717, 4772, 1982, 705, 2524), "test": (329, 74, 160, 1185, 478, 162, 680)}
_LIST = "EmoLabel/list_patition_label.txt"
_NAME = re.compile(r"(train|test)_[\w-]+\.\w+", re.ASCII)


class _Row(NamedTuple):
    name: str
    split: str
    code: int


def read_row(cells: list[str], codes: int) -> _Row:
    """Return what a row (name, code from 1 to `codes`) of a label file says; raise ValueError when it is damaged."""
    if len(cells) != 2:
        raise ValueError(f"{len(cells)} fields instead of 2")
    match = _NAME.fullmatch(cells[0].strip())
    if match is None:
        raise ValueError(f"'{cells[0]}' is no name such as train_00001.jpg")
    code = int(cells[1])
    if not 1 <= code <= codes:
        raise ValueError(f"label {code} is none of 1 to {codes}")
    return _Row(match[0], match[1], code)


class RAFDBOptions(ReaderOptions):
    """`subset`: basic or compound expressions; `images`: aligned crops of 100 x 100, or the photographs."""

    split: Literal["train", "test"] | None = None
    subset: Literal["basic", "compound"] = "basic"
    images: Literal["aligned", "original"] = "aligned"


@register
class RAFDB(Reader):
    """`basic/{EmoLabel,Image,Annotation}` as released, or the Kaggle copy, `DATASET/{train,test}/{1..7}`."""

    name = "rafdb"
    title = "RAF-DB"
    extent = "15,339 faces with seven basic expressions (12,271 train, 3,068 test), and 3,954 with eleven compound ones"
    obtain = (
        "Ask the authors for the password (whdeng.cn/RAF/model1.html) and give the folder that holds basic/; or take "
        "the Kaggle copy shuvoalok/raf-db-dataset and give the folder that holds DATASET/."
    )
    licence = "non-commercial research only, not to be redistributed"
    Options = RAFDBOptions
    split_rule = "as released: the names begin with train or test"
    options: RAFDBOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        subset = self.options.subset
        self.classes = BASIC if subset == "basic" else BASIC[:6]
        self.cropped = self.options.images == "aligned"
        given = self.folder
        home, kaggle = _subset(given, subset), _kaggle(given)
        if home is not None:
            self.layout, self.root = "original", home
            self._pictures = self._picture_folder()
        elif kaggle is None:
            other = "compound" if subset == "basic" else "basic"
            if _subset(given, other) is not None:
                raise DataError(f"'{given}' holds the {other} subset of RAF-DB alone: add the option subset={other}.")
            raise wrong_layout(self.title, f"{subset}/{_LIST} or DATASET/train/1", given)
        elif subset == "compound" or not self.cropped:
            what = "no compound expressions" if subset == "compound" else "aligned faces alone"
            raise DataError(f"The Kaggle copy of RAF-DB in '{given}' has {what}: get the original release.")
        else:
            self.layout, self._kaggle = "Kaggle", kaggle
            # The label tables may lie beside the folder DATASET; all that is read should be below the root.
            self.root = kaggle.parent if _tables(kaggle.parent) else kaggle

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        if _subset(folder, "basic") is not None or _subset(folder, "compound") is not None:
            return "original"
        kaggle = _kaggle(folder)
        first = None if kaggle is None else below(kaggle, "train/1")
        return "Kaggle" if first is not None and any(map(_NAME.fullmatch, some_names(first))) else None

    def official(self) -> dict[str, dict[str, int]]:
        if self.options.subset == "compound":
            return {}
        wanted = self.options.split
        return {name: dict(zip(BASIC, n, strict=True)) for name, n in OFFICIAL.items() if wanted in (None, name)}

    def samples(self) -> Iterator[Sample]:
        return self._kaggle_samples() if self.layout == "Kaggle" else self._original_samples()

    def _original_samples(self) -> Iterator[Sample]:
        annotations = Annotations(self.folder)
        table = below(self.folder, _LIST)
        assert table is not None
        seen: set[str] = set()
        for row in self._listed(table):
            if row.name in seen:
                self.skip("repeated row")
                continue
            seen.add(row.name)
            stem, _, suffix = row.name.rpartition(".")
            label, votes, groups = self._meaning(row.code)
            attributes = annotations.attributes(stem)
            groups |= attributes.groups if attributes else {}
            name = f"{stem}_aligned.{suffix}" if self.cropped else row.name
            path = f"{self._pictures}/{name}"
            if self.cropped:
                yield Sample(path, label, votes, row.split, groups=groups)
            else:
                points = attributes.landmarks if attributes else None
                yield Sample(path, label, votes, row.split, "", groups, annotations.box(stem), points)
        if annotations.damaged:
            self.notes.append(f"{annotations.damaged} annotation files could not be read; their pictures do without")

    def _listed(self, table: Path) -> Iterator[_Row]:
        """Yield the good rows of the label file; damaged rows are counted by line."""
        codes = len(BASIC) if self.options.subset == "basic" else len(COMPOUND)
        for line, text in enumerate(lines_of(table), 1):
            if not text.strip():
                continue
            try:
                row = read_row(text.split(), codes)
            except ValueError as reason:
                self.damaged(table, line, reason)
                continue
            yield row

    def _meaning(self, code: int) -> tuple[int, tuple[float, ...] | None, dict[str, str]]:
        """Return the label, the votes and the groups that a code stands for."""
        if self.options.subset == "basic":
            return self.classes.index(BASIC[code - 1]), None, {}
        name, adverb, noun = COMPOUND[code - 1]
        votes = tuple(0.5 if expression in (adverb, noun) else 0.0 for expression in self.classes)
        return self.classes.index(noun), votes, {"compound": name}

    def _picture_folder(self) -> str:
        kind = self.options.images
        pictures = below(self.folder, f"Image/{kind}")
        if pictures is None:
            other = "original" if self.cropped else "aligned"
            hint = f"unpack {kind}.zip there, or add the option images={other}"
            raise DataError(f"RAF-DB looked for Image/{kind} in '{self.folder}': {hint}.")
        # An archive that holds its own folder, unpacked in one of that name.
        nested = pictures / kind
        return (nested if nested.is_dir() else pictures).relative_to(self.folder).as_posix()

    def _kaggle_samples(self) -> Iterator[Sample]:
        """Yield the pictures of the folders 1 to 7, and the rows of the tables that have no picture."""
        tables = _tables(self.folder)
        for split in ("train", "test"):
            place = below(self._kaggle, split)
            stated = self._stated(tables[split]) if split in tables else {}
            seen: set[str] = set()
            for folder in folders_in(place) if place is not None else []:
                names = [name for name in names_in(folder) if is_picture_name(name)]
                seen.update(names)
                if not re.fullmatch("[1-7]", folder.name):
                    self.skip(f"folder '{folder.name}' is no expression", len(names))
                    continue
                code = int(folder.name)
                for name in names:
                    if stated.get(name, code) == code:
                        yield self._from_folder(folder / name, code, split)
                    else:
                        self.skip("folder and table give two labels")
            for name, code in stated.items():
                if name not in seen:
                    yield self._from_folder((place or self._kaggle / split) / str(code) / name, code, split)

    def _from_folder(self, picture: Path, code: int, split: str) -> Sample:
        return Sample(picture.relative_to(self.folder).as_posix(), self.classes.index(BASIC[code - 1]), split=split)

    def _stated(self, table: Path) -> dict[str, int]:
        """Return name -> code of the table `image,label`; damaged rows are counted by line."""
        codes: dict[str, int] = {}
        lines = csv.reader(lines_of(table))
        rows = readable(lines, table)
        header = [cell.strip().lower() for cell in next(rows, [])]
        if header != ["image", "label"]:
            raise DataError(f"'{table}' should have the columns image and label; it has {', '.join(header)}.")
        for cells in rows:
            if not cells:
                continue
            try:
                row = read_row(cells, len(BASIC))
            except ValueError as reason:
                self.damaged(table, lines.line_num, reason)
                continue
            codes[row.name] = row.code
        return codes


def _subset(given: Path, subset: str) -> Path | None:
    """Return the folder of a subset: the one given, or one in it; a folder of another subset's name is none."""
    if below(given, _LIST) is not None:
        other = "compound" if subset == "basic" else "basic"
        return None if given.name.lower() == other else given
    place = below(given, subset)
    return place if place is not None and below(place, _LIST) is not None else None


def _kaggle(given: Path) -> Path | None:
    """Return the folder of the Kaggle copy that holds train/1 to train/7: the one given, or DATASET in it."""
    for place in (given, below(given, "DATASET")):
        train = None if place is None else below(place, "train")
        if place is not None and train is not None and {*"1234567"} <= set(names_in(train)):
            return place
    return None


def _tables(folder: Path) -> dict[str, Path]:
    """Return split -> label table of the Kaggle copy."""
    found = {split: below(folder, f"{split}_labels.csv") for split in ("train", "test")}
    return {split: table for split, table in found.items() if table is not None}
