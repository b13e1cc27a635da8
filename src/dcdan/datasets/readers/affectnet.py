"""AffectNet: faces of the internet with expression, valence and arousal (Mollahosseini, Hasani & Mahoor, 2017).

Layouts that are read:
    Newer release: `{train_set,val_set}/images/N.jpg` and `annotations/N_{exp,val,aro,lnd}.npy`; one set alone will do.
    Older release: `Manually_Annotated_Images/` and `Manually_Annotated_file_lists/{training,validation}.csv`, also
    beside it or below `Manually_Annotated/`. A list may lack its header.
    Kaggle derivative (mstjebashazida/affectnet): `{Train,Test}/{anger,contempt,...}/`. Its labels are not AffectNet's,
    and its pictures are reduced to 96 x 96; every pack of it has a warning.

Codes:
    0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt; 8 none, 9 uncertain and
    10 no face are left out and counted. Valence and arousal are values from -1 to 1; -2 means none.

Splits and counts:
    Train 287,651. The validation set is the split test, 3,999 (older release 4,000), because the test set was never
    released and the validation set is used in its place. Counts of the classes are in `TRAIN` and `TEST`.

Licence:
    Research only, by signed agreement, not to be redistributed.

Unverified:
    Written from the authors' description and from published code, without the release. No subject is known.

The five landmarks are derived from 68: the centres of the eyes, the tip of the nose, the corners of the mouth.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from dcdan.core.errors import DataError
from dcdan.core.limits import refuse_device
from dcdan.datasets.layout import below, inside, labelled_pictures, names_in, wrong_layout
from dcdan.datasets.reader import Reader, ReaderOptions, Sample, lines_of
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS
from dcdan.images.discover import is_picture_name

MemoryOrder = Literal["C", "F"]

_LARGEST = 1 << 14
_MAGIC = 10


def read_numbers(path: Path) -> list[float]:
    """Read the numbers of a small `.npy` file, whether they were saved as numbers or as text.

    The release has hundreds of thousands of such files. Equal headers are parsed once, which is four times as fast as
    `numpy.load`. Nothing is unpickled, and a header cannot cause a large allocation.

    Args:
        path: the file.

    Returns:
        The numbers, in C order.

    Raises:
        FileNotFoundError, OSError: the file cannot be read.
        ValueError: it is not a small array of finite numbers.
    """
    refuse_device(path)
    with path.open("rb", buffering=0) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    start = _MAGIC + int.from_bytes(content[_MAGIC - 2 : _MAGIC], "little")
    dtype, shape, order = _header(content[:start])
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError("its length contradicts its header")
    values = np.frombuffer(content, dtype, offset=start) if len(content) > start else np.empty(0)
    try:
        numbers = list(map(float, values.reshape(shape, order=order).ravel().tolist()))
    except SystemError:  # raised by NumPy for bytes that are no characters
        raise ValueError("its text is no text") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a number is not finite")
    return numbers


def read_number(path: Path) -> float:
    """Read the single number of a small `.npy` file.

    Args:
        path: the file.

    Returns:
        The number.

    Raises:
        FileNotFoundError, OSError: the file cannot be read.
        ValueError: it is not one finite number.
    """
    numbers = read_numbers(path)
    if len(numbers) != 1:
        raise ValueError(f"{len(numbers)} numbers instead of one")
    return numbers[0]


@lru_cache(maxsize=256)
def _header(header: bytes) -> tuple[np.dtype[np.generic], tuple[int, ...], MemoryOrder]:
    """Parse the header of a `.npy` file."""
    stream = io.BytesIO(header)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("it is of a newer format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except Exception as error:  # A damaged header is evaluated as text and fails in many ways.
        raise ValueError(f"it is no .npy file ({error})") from None
    if dtype.kind not in "biufUS":
        raise ValueError(f"it holds {dtype.name}, not numbers")
    return dtype, shape, "F" if fortran else "C"


CODES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
LEFT_OUT = ("none", "uncertain", "no face")
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_POINTS = 68
_UNKNOWN = -2.0
_EMPTY = ("", "null", "nan", "none")

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class Annotation(NamedTuple):
    """The annotations of one picture.

    Attributes:
        path: path of the picture as in the list.
        code: 0 to 10. The other attributes are empty for codes above 7.
        box: x0, y0, x1, y1 in pixels.
        landmarks: five points, as in `Sample`.
        values: valence and arousal.
    """

    path: str
    code: int
    box: Box | None = None
    landmarks: tuple[Point, ...] | None = None
    values: Mapping[str, float] = {}


def five_points(flat: Sequence[float]) -> tuple[Point, ...] | None:
    """Return eye centres, nose tip and mouth corners, the left ones in the picture first.

    Args:
        flat: the 68 points of iBUG 300-W as x0, y0, x1, ...; counted from 0 the eyes are 36 to 41 and 42 to 47, the tip
            of the nose is 30, and the corners of the mouth are 48 and 54.

    Returns:
        Five points (x, y), or None where both eyes are one point.

    Raises:
        ValueError: there are not 68 points, or a coordinate is not finite.
    """
    if len(flat) != 2 * _POINTS or not all(map(math.isfinite, flat)):
        raise ValueError(f"{len(flat)} landmark coordinates instead of {2 * _POINTS}, or one is not finite")
    left, right = (_centre(flat, 36), _centre(flat, 42))
    if left == right:
        return None
    return left, right, *((flat[2 * point], flat[2 * point + 1]) for point in (30, 48, 54))


def _centre(flat: Sequence[float], first: int) -> Point:
    """Return the mean of the six points of an eye."""
    span = slice(2 * first, 2 * first + 12)
    return sum(flat[span][::2]) / 6, sum(flat[span][1::2]) / 6


def code_of(number: float) -> int:
    """Return the code of an expression.

    Args:
        number: the number in an annotation.

    Returns:
        0 to 10.

    Raises:
        ValueError: for any other number.
    """
    last = len(CODES) + len(LEFT_OUT) - 1
    if number not in range(last + 1):
        raise ValueError(f"expression {number:g} is none of 0 to {last}")
    return int(number)


def columns_in(cells: Sequence[str]) -> dict[str, int] | None:
    """Return the places of the columns in a header.

    Args:
        cells: the first row.

    Returns:
        column -> index, or None where the cells are data.
    """
    known = {name.lower(): name for name in COLUMNS}
    found = {known[cell.lower()]: place for place, cell in enumerate(cells) if cell.lower() in known}
    return found if COLUMNS[0] in found else None


def from_row(cells: Sequence[str], columns: Mapping[str, int]) -> Annotation:
    """Parse a row of a list of the older release.

    Only path and expression are required. A face without a box has negative sides, and -2 means no valence.

    Args:
        cells: the row.
        columns: column -> index.

    Returns:
        The annotation.

    Raises:
        ValueError: the row is damaged.
    """
    row = {name: cells[place] for name, place in columns.items()}
    path, code = inside(row[COLUMNS[0]]), code_of(float(row["expression"]))
    if code >= len(CODES):
        return Annotation(path, code)
    sides = [_number(row.get(name, "")) for name in COLUMNS[1:5]]
    x, y, width, height = (0.0 if side is None else side for side in sides)
    box = (x, y, x + width, y + height) if width > 0 and height > 0 else None
    marks = row.get("facial_landmarks", "").strip("; ")
    points = None if marks.lower() in _EMPTY else five_points([float(mark) for mark in marks.split(";")])
    values = {name: _number(row.get(name, "")) for name in ("valence", "arousal")}
    return Annotation(path, code, box, points, _known(values))


def from_files(folder: Path, stem: str, path: str) -> Annotation:
    """Read the files `stem_{exp,val,aro,lnd}.npy` of the newer release; only the first is required.

    Args:
        folder: the folder of annotations.
        stem: the number of the picture.
        path: the path of the picture.

    Returns:
        The annotation.

    Raises:
        OSError, ValueError: a file is damaged.
    """
    code = code_of(read_number(folder / f"{stem}_exp.npy"))
    if code >= len(CODES):
        return Annotation(path, code)
    values: dict[str, float | None] = {}
    for name, ending in (("valence", "val"), ("arousal", "aro")):
        try:
            values[name] = read_number(folder / f"{stem}_{ending}.npy")
        except FileNotFoundError:
            values[name] = None
    try:
        points = five_points(read_numbers(folder / f"{stem}_lnd.npy"))
    except FileNotFoundError:
        points = None
    return Annotation(path, code, None, points, _known(values))


def _number(cell: str) -> float | None:
    """Return the finite number in a cell, None when it is empty; raise ValueError for anything else."""
    if cell.lower() in _EMPTY:
        return None
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError(f"'{cell}' is not finite")
    return number


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    """Leave out the values that are unknown."""
    return {name: value for name, value in values.items() if value is not None and value != _UNKNOWN}


TRAIN = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)
TEST = (500, 500, 500, 500, 500, 500, 500, 500)
TEST_NEWER = (*TEST[:-1], 499)
_DERIVATIVE = (
    "this Kaggle copy of AffectNet was re-labelled and shrunk to 96 x 96: its labels are not the official ones, and "
    "figures on it do not compare with those on AffectNet"
)


class AffectNetOptions(ReaderOptions):
    """Options of the reader."""

    split: Literal["train", "test"] | None = None
    contempt: bool = Field(True, description="whether contempt is a class (AffectNet-8) or left out (AffectNet-7)")


@register
class AffectNet(Reader):
    """The reader of AffectNet; see the module for layouts, codes, splits and licence.

    Example:
        `dcdan pack affectnet:/data/AffectNet --out packs/affectnet`
    """

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
        # With the option split, the other split, which takes long, is not read.
        chosen = {split: place for split, place in parts.items() if self.options.split in (None, split)}
        self._parts = chosen or parts
        if self.layout == "Kaggle derivative":
            self.warnings.append(_DERIVATIVE)

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        found = _find(folder)
        if found is None or (found[0] == "Kaggle derivative" and below(found[1], "labels.csv") is None):
            return None
        return found[0]

    def official(self) -> dict[str, dict[str, int]]:
        """Return the published counts; see :meth:`Reader.official`.

        Returns:
            split -> class -> images.
        """
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
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
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
        """Return the index of a code's class, or None for a sample without one, which is counted."""
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
        """Yield the annotations of `train_set` or `val_set`, in the order of the pictures' numbers."""
        images, annotations = below(place, "images"), below(place, "annotations")
        assert images is not None
        assert annotations is not None
        stems = {
            name.removesuffix("_exp.npy") for name in names_in(annotations, self.skip) if name.endswith("_exp.npy")
        }
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
        """Yield the samples of the Kaggle derivative."""
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
    """Return the folder of pictures of the older release."""
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
