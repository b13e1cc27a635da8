"""The table of FER2013, whose pictures are text: one row a face, 48 x 48 grey values each.

The released file is `fer2013.csv` with the columns `emotion,pixels,Usage`. Copies of it differ: `icml_face_data.csv`
has ` Usage` before ` pixels` with blanks in its header, others write the emotion as a word, or leave out `Usage`.
The columns are found by their names, whatever their case, order and blanks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dcdan.core.errors import DataError
from dcdan.datasets.layout import below
from dcdan.images.decode import UndecodableImage
from dcdan.images.status import Status

SIDE = 48
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
FILES = ("fer2013.csv", "icml_face_data.csv")
_LONGEST_HEADER = 2000
_LONGEST_ROW = 1 << 20

Columns = dict[str, int]
"""Column name in lower case -> its place in a row."""


@dataclass(frozen=True, slots=True)
class PixelRow:
    """A row of the table without its pixels.

    Attributes:
        index: the number of the row, from 0, blank lines not counted.
        line: its line in the file, from 1; the header is line 1.
        emotion: the text of the column `emotion`.
        usage: the text of the column `Usage`, "" where the table has none.
        fault: why the row cannot be read, "" for a good row.
    """

    index: int
    line: int
    emotion: str
    usage: str
    fault: str = ""


class PixelTable:
    """The rows of a table of pixels: eight bytes per row are stored, and pixels are read on request.

    A pickled copy in another process has the rows, or finds them again.
    """

    def __init__(self, file: Path) -> None:
        """Open a table.

        Args:
            file: the CSV file.

        Raises:
            DataError: the header lacks a column that is needed; the sentence names the columns that are there.
        """
        self.file = file
        self._offsets: np.ndarray | None = None
        header = _header(file)
        self.columns = columns_of(header)
        missing = [name for name in ("emotion", "pixels") if name not in self.columns]
        if missing:
            found = ", ".join(f"'{cell}'" for cell in header.split(",")[:6]) if header.strip() else "none"
            raise DataError(
                f"'{file}' is no table of FER2013: it needs the columns emotion, pixels and Usage, in any order, and "
                f"lacks {' and '.join(missing)}; its columns are {found[:200]}."
            )

    @property
    def has_usage(self) -> bool:
        """Whether the table has the column `Usage`, which names the split of each row."""
        return "usage" in self.columns

    def rows(self) -> Iterator[PixelRow]:
        """Yield every row, including damaged ones.

        Yields:
            The rows, without pixels.

        Raises:
            DataError: a line is longer than a row of pixels can be.
        """
        offsets: list[int] = []
        count = 1 + max(self.columns.values())
        emotion, usage = self.columns["emotion"], self.columns.get("usage")
        with self.file.open("rb") as file:
            begin = len(file.readline(_LONGEST_HEADER))
            for line, text in enumerate(iter(lambda: file.readline(_LONGEST_ROW), b""), start=2):
                if len(text) == _LONGEST_ROW:
                    raise DataError(f"'{self.file}' is no table of faces: line {line} has more than {len(text)} bytes.")
                if text.strip():
                    cells = _cells(text)
                    fault = "" if len(cells) >= count else f"it has {len(cells)} columns instead of {count}"
                    word = cells[emotion] if emotion < len(cells) else ""
                    split = cells[usage] if usage is not None and usage < len(cells) else ""
                    yield PixelRow(len(offsets), line, word, split, fault)
                    offsets.append(begin)
                begin += len(text)
        self._offsets = np.array(offsets, np.int64)

    def name(self, index: int) -> str:
        """Return the name of a row's sample.

        Args:
            index: number of the row, from 0.

        Returns:
            Such as `fer2013.csv#0000012`.
        """
        return f"{self.file.name}#{index:07d}"

    def load(self, name: str) -> np.ndarray:
        """Return the face of a row.

        Args:
            name: as `PixelTable.name` gives it.

        Returns:
            `(48, 48, 3) uint8`, three equal channels.

        Raises:
            UndecodableImage: there is no such row, or its pixels are not 48 x 48 whole numbers from 0 to 255.
        """
        if self._offsets is None:
            for _ in self.rows():
                pass
        assert self._offsets is not None
        index = int(name.rpartition("#")[2])
        if index >= len(self._offsets):
            raise UndecodableImage(Status.MISSING, f"{self.file.name} has no row {index}")
        with self.file.open("rb") as file:
            file.seek(int(self._offsets[index]))
            cells = _cells(file.readline(_LONGEST_ROW))
        place = self.columns["pixels"]
        return _face(cells[place] if place < len(cells) else "")


def pixel_file(folder: Path, inner: tuple[str, ...] = ()) -> Path | None:
    """Return the table of FER2013 in a folder or in one of its named inner folders, or None.

    Args:
        folder: the folder.
        inner: names of inner folders, tried after the folder itself.

    Returns:
        The first of `FILES` whose header has the columns `emotion` and `pixels`.
    """
    return next(
        (file for file in _named(folder, inner) if {"emotion", "pixels"} <= columns_of(_header(file)).keys()), None
    )


def unusable_pixel_file(folder: Path, inner: tuple[str, ...] = ()) -> Path | None:
    """Return a file with the name of the FER2013 table and other columns.

    Args:
        folder: the folder.
        inner: names of inner folders, tried after the folder itself.

    Returns:
        The file, or None.
    """
    return next(iter(_named(folder, inner)), None)


def columns_of(header: str) -> Columns:
    """Return the places of the columns of a header.

    Args:
        header: the first line.

    Returns:
        column in lower case -> index.

    Example:
        >>> columns_of("emotion, Usage, pixels")
        {'emotion': 0, 'usage': 1, 'pixels': 2}
    """
    names = [cell.strip(' "').lower() for cell in header.split(",")]
    return {name: names.index(name) for name in names if name}


def split_of(usage: str) -> str | None:
    """Return the split of a `Usage`, in any letter case.

    Args:
        usage: the cell.

    Returns:
        The split, or None.

    Example:
        >>> split_of("PublicTest"), split_of("elsewhere")
        ('validation', None)
    """
    return {name.lower(): split for name, split in SPLITS.items()}.get(usage.lower())


def _named(folder: Path, inner: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files with a name of the table."""
    for way in ("", *(f"{name}/" for name in inner)):
        for name in FILES:
            file = below(folder, way + name)
            if file is not None and file.is_file():
                yield file


def _header(file: Path) -> str:
    """Read the first line of a file."""
    try:
        with file.open("rb") as opened:
            return opened.readline(_LONGEST_HEADER).decode("utf-8-sig", errors="replace").strip()
    except OSError:
        return ""


def _cells(line: bytes) -> list[str]:
    # No cell of the table may hold a comma: pixels are separated by blanks.
    """Divide a line into cells."""
    return [cell.strip(' "\r\n') for cell in line.decode("utf-8-sig", errors="replace").split(",")]


def _face(text: str) -> np.ndarray:
    """Parse the pixels of a row."""
    words = text.split()
    if len(words) != SIDE * SIDE:
        raise UndecodableImage(Status.UNREADABLE, f"{len(words)} pixels instead of {SIDE} x {SIDE}")
    try:
        values = np.array([int(word) for word in words])
    except (ValueError, OverflowError):
        raise UndecodableImage(Status.UNREADABLE, "a pixel is no whole number") from None
    if values.dtype.kind != "i" or values.min() < 0 or values.max() > 255:
        raise UndecodableImage(Status.UNREADABLE, "a pixel is not in 0..255")
    return np.repeat(values.astype(np.uint8).reshape(SIDE, SIDE, 1), 3, axis=2)
