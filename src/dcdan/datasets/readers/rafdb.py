"""RAF-DB: faces of the internet with basic or compound expressions (Li, Deng & Du, CVPR 2017).

Layouts that are read:
    original: `basic/EmoLabel/list_patition_label.txt` (spelt so), `basic/Image/{aligned,original}`, and
    `basic/Annotation/{manual,boundingbox}` where present; `compound/` likewise with `subset=compound`.
    Kaggle copy: `DATASET/{train,test}/{1..7}/*_aligned.jpg`; `train_labels.csv` and `test_labels.csv` are compared with
    the folders where present.

Codes:
    1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral. The eleven compound codes are in
    `COMPOUND`: *sadly angry* has the label anger, half of the votes for sadness and anger each, and its name as the
    group `compound`. Attributes: gender male, female, unsure; race Caucasian, African-American, Asian; age 0-3, 4-19,
    20-39, 40-69, 70+.

Splits and counts:
    As released, by the names: train 12,271, test 3,068; counts of the classes in `OFFICIAL`. Compound: 3,954.

Licence:
    Non-commercial research only, not to be redistributed.

Unverified:
    The attribute files are described nowhere in full. They are read as published code reads them: five points and three
    codes, by their numbers alone. No subject is known.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import Field

from dcdan.core.errors import DataError
from dcdan.core.limits import read_text
from dcdan.datasets.layout import below, folders_in, names_in, some_names, wrong_layout
from dcdan.datasets.reader import Reader, ReaderOptions, Sample, lines_of, readable
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS
from dcdan.images.discover import is_picture_name

Point = tuple[float, float]
_T = TypeVar("_T")

_POINTS = 5
_WORDS: Mapping[str, tuple[str, ...]] = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}


class Attributes(NamedTuple):
    """The attributes of one picture.

    Attributes:
        landmarks: five points in pixels, as in `Sample`.
        groups: gender, race and age in words, where they are known.
    """

    landmarks: tuple[Point, ...]
    groups: dict[str, str]


def read_attributes(text: str) -> Attributes:
    r"""Parse `*_manu_attri.txt`: five lines of x and y, then a code each for gender, race and age.

    Args:
        text: the content of the file.

    Returns:
        The attributes; a code without a word is left out.

    Raises:
        ValueError: these are not 13 finite numbers.

    Example:
        >>> read_attributes("1 1\n3 1\n2 2\n1 3\n3 3\n1\n0\n2").groups
        {'gender': 'female', 'race': 'Caucasian', 'age': '20-39'}
    """
    numbers = _numbers(text, 2 * _POINTS + len(_WORDS))
    points = [(numbers[2 * i], numbers[2 * i + 1]) for i in range(_POINTS)]
    groups = {}
    for (name, words), code in zip(_WORDS.items(), numbers[2 * _POINTS :], strict=True):
        if code in range(len(words)):
            groups[name] = words[int(code)]
    return Attributes(left_first(points), groups)


def read_box(text: str) -> tuple[float, float, float, float]:
    """Parse `*_boundingbox.txt`.

    Args:
        text: the content of the file.

    Returns:
        x0, y0, x1, y1 in pixels.

    Raises:
        ValueError: it is not a box.
    """
    x0, y0, x1, y1 = _numbers(text, 4)
    if x0 >= x1 or y0 >= y1:
        raise ValueError("the box has no area")
    return x0, y0, x1, y1


def left_first(points: list[Point]) -> tuple[Point, ...]:
    """Order eye, eye, nose, mouth corner, mouth corner so that the left one in the picture comes first.

    The side of the line between the eyes on which the mouth is decides what is left, which also holds in a tilted or
    inverted face.

    Args:
        points: five points x, y.

    Returns:
        The ordered points.

    Example:
        >>> left_first([(3, 1), (1, 1), (2, 2), (1, 3), (3, 3)])
        ((1, 1), (3, 1), (2, 2), (1, 3), (3, 3))
    """
    first, second, nose, *mouth = points
    across = (second[0] - first[0], second[1] - first[1])
    down = (mouth[0][0] + mouth[1][0] - 2 * first[0], mouth[0][1] + mouth[1][1] - 2 * first[1])
    if across[0] * down[1] - across[1] * down[0] < 0:
        first, second, across = second, first, (-across[0], -across[1])
    wide = (mouth[1][0] - mouth[0][0], mouth[1][1] - mouth[0][1])
    if across[0] * wide[0] + across[1] * wide[1] < 0:
        mouth = mouth[::-1]
    return first, second, nose, *mouth


class Annotations:
    """The annotations of a subset; each of its two folders, and any file in them, may be missing.

    Attributes:
        damaged: the number of files that exist and cannot be read.
    """

    def __init__(self, home: Path) -> None:
        self._manual = below(home, "Annotation/manual")
        self._boxes = below(home, "Annotation/boundingbox")
        self.damaged = 0

    def attributes(self, stem: str) -> Attributes | None:
        """Read the landmarks and groups of a picture.

        Args:
            stem: its name without ending.

        Returns:
            The attributes, or None.
        """
        return self._read(self._manual, f"{stem}_manu_attri.txt", read_attributes)

    def box(self, stem: str) -> tuple[float, float, float, float] | None:
        """Read the box of a picture.

        Args:
            stem: its name without ending.

        Returns:
            x0, y0, x1, y1 in pixels, or None.
        """
        return self._read(self._boxes, f"{stem}_boundingbox.txt", read_box)

    def _read(self, folder: Path | None, name: str, reading: Callable[[str], _T]) -> _T | None:
        """Read a file, or count it as damaged."""
        if folder is None:
            return None
        try:
            return reading(read_text(folder / name).removeprefix("\ufeff"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            self.damaged += 1
            return None


def _numbers(text: str, count: int) -> list[float]:
    """Parse a fixed count of finite numbers."""
    numbers = [float(word) for word in text.split()]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{len(numbers)} numbers instead of {count}, or one is not finite")
    return numbers


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
    """A row of a label file."""

    name: str
    split: str
    code: int


def read_row(cells: list[str], codes: int) -> _Row:
    """Parse a row of a label file.

    Args:
        cells: name and code.
        codes: the highest code.

    Returns:
        Name, split and code.

    Raises:
        ValueError: the row is damaged.
    """
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
    """Options of the reader."""

    split: Literal["train", "test"] | None = None
    subset: Literal["basic", "compound"] = Field("basic", description="basic or compound expressions")
    images: Literal["aligned", "original"] = Field("aligned", description="crops of 100 x 100, or the photographs")


@register
class RAFDB(Reader):
    """The reader of RAF-DB; see the module for layouts, codes, splits and licence.

    Example:
        `dcdan pack 'rafdb:/data/RAF-DB?images=original' --out packs/rafdb-photographs`
    """

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
            # The label tables may lie beside DATASET, and the root must contain all that is read.
            self.root = kaggle.parent if _tables(kaggle.parent) else kaggle

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        if _subset(folder, "basic") is not None or _subset(folder, "compound") is not None:
            return "original"
        kaggle = _kaggle(folder)
        first = None if kaggle is None else below(kaggle, "train/1")
        return "Kaggle" if first is not None and any(map(_NAME.fullmatch, some_names(first))) else None

    def official(self) -> dict[str, dict[str, int]]:
        """Return the published counts; see :meth:`Reader.official`.

        Returns:
            split -> class -> images.
        """
        if self.options.subset == "compound":
            return {}
        wanted = self.options.split
        return {name: dict(zip(BASIC, n, strict=True)) for name, n in OFFICIAL.items() if wanted in (None, name)}

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        return self._kaggle_samples() if self.layout == "Kaggle" else self._original_samples()

    def _original_samples(self) -> Iterator[Sample]:
        """Yield the samples of the original release."""
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
        """Yield the good rows of the label file; damaged rows are reported with their line."""
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
        """Return the label, the votes and the groups of a code."""
        if self.options.subset == "basic":
            return self.classes.index(BASIC[code - 1]), None, {}
        name, adverb, noun = COMPOUND[code - 1]
        votes = tuple(0.5 if expression in (adverb, noun) else 0.0 for expression in self.classes)
        return self.classes.index(noun), votes, {"compound": name}

    def _picture_folder(self) -> str:
        """Return the folder of pictures, relative to the root."""
        kind = self.options.images
        pictures = below(self.folder, f"Image/{kind}")
        if pictures is None:
            other = "original" if self.cropped else "aligned"
            hint = f"unpack {kind}.zip there, or add the option images={other}"
            raise DataError(f"RAF-DB needs Image/{kind} in '{self.folder}': {hint}.")
        # The archive contains a folder of its own name, and may be unpacked in another of that name.
        nested = pictures / kind
        return (nested if nested.is_dir() else pictures).relative_to(self.folder).as_posix()

    def _kaggle_samples(self) -> Iterator[Sample]:
        """Yield the pictures of the folders 1 to 7, and the rows of the tables without a picture."""
        tables = _tables(self.folder)
        for split in ("train", "test"):
            place = below(self._kaggle, split)
            stated = self._stated(tables[split]) if split in tables else {}
            seen: set[str] = set()
            for folder in folders_in(place, self.skip) if place is not None else []:
                names = [name for name in names_in(folder, self.skip) if is_picture_name(name)]
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
        """Return the sample of a picture of the Kaggle copy."""
        return Sample(picture.relative_to(self.folder).as_posix(), self.classes.index(BASIC[code - 1]), split=split)

    def _stated(self, table: Path) -> dict[str, int]:
        """Return name -> code of the table `image,label`; damaged rows are reported with their line."""
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
    """Return the folder of a subset: the given one or one in it, but no folder with the name of the other subset."""
    if below(given, _LIST) is not None:
        other = "compound" if subset == "basic" else "basic"
        return None if given.name.lower() == other else given
    place = below(given, subset)
    return place if place is not None and below(place, _LIST) is not None else None


def _kaggle(given: Path) -> Path | None:
    """Return the folder that holds train/1 to train/7 of the Kaggle copy: the given one, or DATASET in it."""
    for place in (given, below(given, "DATASET")):
        train = None if place is None else below(place, "train")
        if place is not None and train is not None and {*"1234567"} <= set(names_in(train)):
            return place
    return None


def _tables(folder: Path) -> dict[str, Path]:
    """Return split -> label table of the Kaggle copy."""
    found = {split: below(folder, f"{split}_labels.csv") for split in ("train", "test")}
    return {split: table for split, table in found.items() if table is not None}
