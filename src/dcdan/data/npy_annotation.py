"""The small `.npy` files in which a data set keeps one value, or a few, for each picture.

There are hundreds of thousands of them, so they are read four times as fast as by `numpy.load`, whose cost is the
header: equal headers are parsed once. Nothing is unpickled, and nothing large is allocated for what a header claims.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

Order = Literal["C", "F"]

_LARGEST = 1 << 14
_MAGIC = 10


def read_numbers(path: Path) -> list[float]:
    """Return the numbers of a small `.npy` file, in C order, whether they were saved as numbers or as text.

    Raises FileNotFoundError, OSError, and ValueError for a file that is no small array of finite numbers.
    """
    with path.open("rb", buffering=0) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    start = _MAGIC + int.from_bytes(content[_MAGIC - 2 : _MAGIC], "little")
    dtype, shape, order = _header(content[:start])
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError("its length is not what its header says")
    values = np.frombuffer(content, dtype, offset=start) if len(content) > start else np.empty(0)
    try:
        numbers = list(map(float, values.reshape(shape, order=order).ravel().tolist()))
    except SystemError:  # NumPy's way of saying that bytes are no characters
        raise ValueError("its text is no text") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a number is not finite")
    return numbers


def read_number(path: Path) -> float:
    """Return the only number of a small `.npy` file; raises as `read_numbers`."""
    numbers = read_numbers(path)
    if len(numbers) != 1:
        raise ValueError(f"{len(numbers)} numbers instead of one")
    return numbers[0]


@lru_cache(maxsize=256)
def _header(header: bytes) -> tuple[np.dtype[np.generic], tuple[int, ...], Order]:
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
