"""Drawn faces for the detector's tests, with landmarks that are known exactly.

`drawn_faces.png` is a row of six studio faces of `dcdan.datasets.synthetic`, kept as a file so that these tests do not
change with the drawing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dcdan.images.decode import decode

_SIDE = 120

# Left eye, right eye, nose, left and right mouth corner, in pixels of a face of 120.
_LANDMARKS = (
    ((41.1, 46.9), (78.6, 46.5), (59.9, 68.8), (43.6, 86.8), (76.4, 87.1)),
    ((40.7, 47.0), (79.7, 47.5), (59.8, 69.6), (44.8, 88.4), (74.4, 88.8)),
    ((40.6, 47.1), (79.1, 46.8), (59.2, 69.9), (45.6, 89.1), (74.7, 88.9)),
    ((39.5, 47.0), (80.1, 46.5), (59.8, 69.5), (44.2, 90.0), (76.5, 89.6)),
    ((41.2, 46.9), (78.6, 46.8), (59.7, 69.0), (43.5, 85.1), (76.4, 85.4)),
    ((40.9, 46.4), (79.3, 46.6), (60.7, 69.5), (46.3, 94.4), (73.3, 94.6)),
)

COUNT = len(_LANDMARKS)


@cache
def face(index: int, size: int = _SIDE) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return one face (size, size, 3) and its landmarks (5, 2) in pixels."""
    row = decode(Path(__file__).with_name("drawn_faces.png"))
    picture = row[:, index * _SIDE : (index + 1) * _SIDE]
    how = cv2.INTER_AREA if size < _SIDE else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)
    return resized, np.array(_LANDMARKS[index]) * size / _SIDE


def photo(rows: list[list[int]], size: int = _SIDE, border: int = 40) -> npt.NDArray[np.uint8]:
    """Return a picture with rows of faces and a border around them."""
    stacked = [np.concatenate([face(index, size)[0] for index in row], axis=1) for row in rows]
    picture = np.concatenate(stacked, axis=0)
    framed = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.asarray(framed, np.uint8)
