"""A picture that a user hands in, an array or a file, decoded or with the status that says why it is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcdan.errors import DataError
from dcdan.faces.decode import UndecodableImage, decode
from dcdan.faces.remote import is_url, read_remote
from dcdan.faces.status import Status

Source = NDArray[np.uint8] | Path | str


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture (H, W, 3) uint8 RGB, or the status that says why there is none (then ``pixels`` is None)."""

    path: str
    pixels: NDArray[np.uint8] | None
    status: Status = Status.OK


def read_picture(source: Source) -> Picture:
    """Decode a file or what is at a URL, or check an array: (H, W, 3) uint8 RGB or (H, W) uint8 grey.

    Raises:
        DataError: when an array is of another type or shape, or a URL cannot be reached; a file that cannot be read
            gives a status instead.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] != 3):
            raise DataError(
                f"A picture must be a uint8 array (height, width, 3) in RGB, not {source.dtype} {source.shape}."
            )
        if 0 in source.shape:
            return Picture("", None, Status.EMPTY)
        return Picture("", source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=2))
    try:
        remote = isinstance(source, str) and is_url(source)
        return Picture(str(source), decode(read_remote(str(source)) if remote else Path(source)))
    except UndecodableImage as error:
        return Picture(str(source), None, error.status)
