"""Random numbers that depend on a seed and the name of a face only, not on the batch.

Integers are mixed by SplitMix64 (Steele, Lea & Flood, OOPSLA 2014). Normal numbers are read from a table of quantiles,
so that every machine and every version of NumPy gives the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

_STEP, _MIX_1, _MIX_2 = (np.uint64(word) for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_LEVELS = 1 << 16


def face_keys(paths: Sequence[str], numbers: Sequence[int], seed: int, use: str) -> Keys:
    """Return a key for each face, from which its random numbers follow.

    Args:
        paths: the picture of each of N faces.
        numbers: which face of its picture each is.
        seed: another seed gives other numbers.
        use: what the numbers are for. Another use gives other numbers.

    Returns:
        `(N,) uint64`.
    """
    names = (f"{seed}:{use}:{number}:{path}" for path, number in zip(paths, numbers, strict=True))
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def bits(keys: Keys, count: int) -> Keys:
    """Return random words.

    Args:
        keys: `(N,) uint64`, as `face_keys` returns them.
        count: words per key.

    Returns:
        `(N, count) uint64`.
    """
    word = keys[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _STEP
    word = (word ^ (word >> np.uint64(30))) * _MIX_1
    word = (word ^ (word >> np.uint64(27))) * _MIX_2
    return np.asarray(word ^ (word >> np.uint64(31)), np.uint64)


def uniforms(keys: Keys, count: int) -> npt.NDArray[np.float64]:
    """Return uniform random numbers.

    Args:
        keys: `(N,) uint64`, as `face_keys` returns them.
        count: numbers per key.

    Returns:
        `(N, count) float64` in [0, 1).

    Example:
        >>> keys = face_keys(["a.jpg"], [0], seed=0, use="noise")
        >>> uniforms(keys, 2).round(3).tolist()
        [[0.676, 0.881]]
    """
    return (bits(keys, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(keys: Keys, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return standard normal random numbers.

    Args:
        keys: `(N,) uint64`, as `face_keys` returns them.
        shape: shape of the numbers of each key.

    Returns:
        `(N, *shape) float32`, at most 4.4 in size, where the table of quantiles ends.
    """
    count = int(np.prod(shape))
    levels = bits(keys, -(-count // 4)).astype("<u8").view("<u2")[:, :count]
    return np.asarray(_quantiles()[levels].reshape(len(keys), *shape), np.float32)


@cache
def _quantiles() -> npt.NDArray[np.float32]:
    """Return the standard normal quantiles at the middles of 65,536 equally likely intervals."""
    normal = NormalDist()
    upper = np.array([normal.inv_cdf((level + 0.5) / _LEVELS) for level in range(_LEVELS // 2, _LEVELS)], np.float32)
    return np.concatenate([-upper[::-1], upper])
