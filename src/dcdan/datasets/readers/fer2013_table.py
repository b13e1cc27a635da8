"""`fer2013.csv`, where FER2013's pictures are text: one row a face, found again by where its line begins."""

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
_HEADER = ("emotion", "pixels", "Usage")
_FILE = "fer2013.csv"
_LONGEST_HEADER = 200
_LONGEST_ROW = 1 << 20


@dataclass(frozen=True, slots=True)
class PixelRow:
    """A row without its pixels: its number from 0, its line from 1, and the text of its first and last field."""

    index: int
    line: int
    emotion: str
    usage: str


class PixelTable:
    """Rows of a `fer2013.csv`, in flat memory: eight bytes a row are kept, and its pixels are read when asked for.

    Blank lines are no rows. A copy in another process (it may be pickled) knows the rows or finds them again.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._offsets: np.ndarray | None = None

    def rows(self) -> Iterator[PixelRow]:
        """Yield every row, damaged or not; raise DataError when the file does not begin with the header."""
        offsets: list[int] = []
        with self.file.open("rb") as file:
            header = file.readline(_LONGEST_HEADER)
            if _fields(header) != _HEADER:
                found = header.decode(errors="replace").strip()
                raise DataError(f"'{self.file}' should begin with {','.join(_HEADER)}; it begins with '{found}'.")
            begin = file.tell()
            for line, text in enumerate(iter(lambda: file.readline(_LONGEST_ROW), b""), start=2):
                if len(text) == _LONGEST_ROW:
                    raise DataError(f"'{self.file}' is no table of faces: line {line} has more than {len(text)} bytes.")
                if text.strip():
                    first, _, last = _fields(text)
                    yield PixelRow(len(offsets), line, first, last)
                    offsets.append(begin)
                begin += len(text)
        self._offsets = np.array(offsets, np.int64)

    def name(self, index: int) -> str:
        """Return what the sample of a row is called: `fer2013.csv#0000012`."""
        return f"{self.file.name}#{index:07d}"

    def load(self, name: str) -> np.ndarray:
        """Return the face (48, 48, 3) uint8 of a row by its `name`; raise UndecodableImage where it has none."""
        if self._offsets is None:
            for _ in self.rows():
                pass
        assert self._offsets is not None
        index = int(name.rpartition("#")[2])
        if index >= len(self._offsets):
            raise UndecodableImage(Status.MISSING, f"{self.file.name} has no row {index}")
        with self.file.open("rb") as file:
            file.seek(int(self._offsets[index]))
            _, pixels, _ = _fields(file.readline(_LONGEST_ROW))
        return _face(pixels)


def pixel_file(folder: Path, inner: tuple[str, ...] = ()) -> Path | None:
    """Return the `fer2013.csv` with the right header in a folder or its named inner folders, or None."""
    for way in ("", *(f"{name}/" for name in inner)):
        file = below(folder, way + _FILE)
        if file is not None and file.is_file() and _has_header(file):
            return file
    return None


def _has_header(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _fields(opened.readline(_LONGEST_HEADER)) == _HEADER
    except OSError:
        return False


def _fields(line: bytes) -> tuple[str, str, str]:
    """Return what stands before the first comma, between, and after the last; without quotes and blanks around."""
    first, _, rest = line.decode("utf-8-sig", errors="replace").partition(",")
    middle, _, last = rest.rpartition(",")
    return first.strip(' "\r\n'), middle.strip(' "'), last.strip(' "\r\n')


def _face(text: str) -> np.ndarray:
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
