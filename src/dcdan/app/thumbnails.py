"""Pictures of faces for the page: made when they are first asked for, kept in the run folder, never made twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcdan.adaptation.extraction import Answers
from dcdan.core.atomic_io import write_bytes
from dcdan.core.errors import DataError
from dcdan.faces.extract import Face
from dcdan.images.inputs import Input, Picture, read_picture
from dcdan.inference.recogniser import Recogniser

FOLDER = "thumbnails"
LARGE, SMALL = 384, 96
_MARGIN = 0.35
_LOCKS = 64


class Thumbnails:
    """Faces of a run as JPEG files.

    Args:
        folder: the run folder.
        recogniser: the start model, which finds the faces as it found them for the answers.
        inputs: yields the pictures of the target.
        answers: of the start model.
    """

    def __init__(
        self, folder: Path, recogniser: Recogniser, inputs: Callable[[], Iterator[Input]], answers: Answers
    ) -> None:
        self._folder = folder / FOLDER
        self._recogniser = recogniser
        self._find = inputs
        self._answers = answers
        self._inputs: list[Input] | None = None
        self._listing = threading.Lock()
        # Two requests for faces of one picture decode it once.
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def path(self, row: int, *, large: bool) -> Path:
        """Return the file of a face, which is made where it is not there.

        Args:
            row: which face.
            large: the face with its surroundings, up to 384 pixels; otherwise 96 pixels.

        Raises:
            DataError: when its picture cannot be read any more.
        """
        if not 0 <= row < len(self._answers):
            raise DataError(f"This run has no face {row}: reload the page.")
        path = self._path(row, large)
        if path.is_file():
            return path
        number = int(self._answers.inputs[row])
        with self._locks[number % _LOCKS]:
            if not path.is_file():
                self._make(number)
        if not path.is_file():
            raise DataError(f"'{self._answers.paths[row]}' cannot be read any more, or its faces have changed.")
        return path

    def _path(self, row: int, large: bool) -> Path:
        return self._folder / f"{row}{'-large' if large else ''}.jpg"

    def _make(self, number: int) -> None:
        picture = self._picture(number)
        if picture.pixels is None:
            return
        (faces,) = self._recogniser.faces([picture])
        for row in np.flatnonzero(self._answers.inputs == number).tolist():
            index = int(self._answers.faces[row])
            if index < len(faces):
                crop = surroundings(picture.pixels, faces[index], picture.scale)
                write_bytes(self._path(row, False), jpeg(crop, SMALL))
                write_bytes(self._path(row, True), jpeg(crop, LARGE))

    def _picture(self, number: int) -> Picture:
        with self._listing:
            if self._inputs is None:
                self._inputs = list(self._find())
        if number >= len(self._inputs):
            return Picture("", None)
        source = self._inputs[number].source
        return source if isinstance(source, Picture) else read_picture(source)


def surroundings(pixels: NDArray[np.uint8], face: Face, scale: float = 1.0) -> NDArray[np.uint8]:
    """Return a face with a margin of a third of its side, cut at the edges of the picture.

    Args:
        pixels: ``(H, W, 3) uint8`` RGB.
        face: its box is in pixels of the file.
        scale: pixels of the file per pixel of the array.
    """
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = (float(value) / scale for value in face.box)
    margin = _MARGIN * max(x1 - x0, y1 - y0)
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    right, bottom = min(width, int(x1 + margin) + 1), min(height, int(y1 + margin) + 1)
    if right <= left or bottom <= top:
        return face.pixels
    return pixels[top:bottom, left:right]


def jpeg(pixels: NDArray[np.uint8], side: int) -> bytes:
    """Return pixels as a JPEG whose longer side is at most ``side``; small ones are not enlarged."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    file = BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()
