"""The interface of all frame readers, their error class, and the geometry of a displayed frame."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DataError
from dcdan.images.status import Status

Pixels = NDArray[np.uint8]
_SHAPES = (0.1, 10.0)


class VideoError(DataError):
    """A video or camera that cannot be read.

    Attributes:
        status: The status for the table of results.
    """

    def __init__(self, message: str, status: Status = Status.UNREADABLE) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, Status]]:
        return type(self), (str(self), self.status)


class FrameSource(Protocol):
    """A sequence of frames: ``grab`` advances to the next one, ``retrieve`` converts it.

    Attributes:
        rate: Frames per second according to the container; 0 if unknown.
        expected: Number of frames according to the container, exact or estimated; 0 if unknown.
        size: (width, height) of a frame as displayed, in square pixels.
        coded_size: (width, height) of a frame as stored.
        gaps: (start, end) in seconds of the sections that could not be decoded.
    """

    rate: float
    expected: int
    coded_size: tuple[int, int]
    gaps: list[tuple[float, float]]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as displayed."""

    def grab(self) -> bool:
        """Advance to the next frame; return False at the end."""

    @property
    def time(self) -> float | None:
        """Time of the current frame in seconds from the first one; None if the container has no time stamps."""

    def retrieve(self) -> Pixels | None:
        """Return the current frame, ``(H, W, 3) uint8`` RGB, upright and in square pixels; None if it is damaged."""

    def close(self) -> None:
        """Close the file or camera."""


def square_size(width: int, height: int, aspect: Fraction | float | None) -> tuple[int, int]:
    """Return the size of a frame after conversion to square pixels; the height does not change.

    Args:
        width: Width of the stored frame.
        height: Height of the stored frame.
        aspect: Sample aspect ratio (width of a stored pixel / its height); None or 0 if unknown.

    Returns:
        (width, height).

    Example:
        >>> square_size(720, 576, Fraction(16, 15)), square_size(1440, 1080, Fraction(4, 3)), square_size(64, 48, None)
        ((768, 576), (1920, 1080), (64, 48))
    """
    ratio = float(aspect or 1)
    if not _SHAPES[0] <= ratio <= _SHAPES[1]:
        return width, height
    return max(1, round(width * ratio)), height


def displayed(pixels: Pixels, matrix: Sequence[int] | None) -> Pixels:
    """Rotate and mirror a frame according to its display matrix (ISO 14496-12, 6.2.2), by multiples of 90 degrees.

    Args:
        pixels: ``(H, W, 3) uint8``, as stored.
        matrix: (a, b, u, c, d, v, x, y, w), which maps (x, y) to (a x + c y, b x + d y); None for no rotation.

    Returns:
        ``(H, W, 3)`` or ``(W, H, 3) uint8``, as displayed.

    Example:
        >>> quarter = (0, 1, 0, -1, 0, 0, 0, 0, 1)  # clockwise: the left column becomes the top row
        >>> displayed(np.arange(6, dtype=np.uint8).reshape(2, 3, 1), quarter)[:, :, 0].tolist()
        [[3, 0], [4, 1], [5, 2]]
    """
    if matrix is None:
        return pixels
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, across, down = pixels.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    pixels = pixels[:, ::-1] if across < 0 else pixels
    pixels = pixels[::-1] if down < 0 else pixels
    return np.ascontiguousarray(pixels)


def is_transposed(matrix: Sequence[int] | None) -> bool:
    """Return whether a display matrix swaps width and height."""
    return matrix is not None and abs(matrix[1]) + abs(matrix[3]) > abs(matrix[0]) + abs(matrix[4])
