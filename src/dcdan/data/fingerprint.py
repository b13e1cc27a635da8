"""What a picture looks like in 121 bits: few of them change when it is stored again, resized or made brighter.

The bits are the signs of cosine coefficients (DCT-II) of the grey picture, squeezed to 32 x 32. Those of one to eight
half waves down and across make the first word, in which doubles are looked for; the others, of up to eleven, make the
second, which tells doubles from pictures whose coarse forms are alike by chance. Waves in one direction only are left
out, since light from one side and borders change just those.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 32
_WAVES = 11
_COARSE_WAVES = 8
BITS = _COARSE_WAVES**2
FINE_BITS = _WAVES**2 - BITS
# In grey levels: what the coefficients amount to in the picture. The faintest of 35,710 FER2013 faces has 4.6.
FAINT = 1.0

_WORD = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
_DOWN, _ACROSS = (np.ravel(waves) + 1 for waves in np.indices((_WAVES, _WAVES)))
_COARSE = np.maximum(_DOWN, _ACROSS) <= _COARSE_WAVES
_BITS_OF_BYTE = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def squeezed(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) RGB or (H, W) grey, uint8, as grey (32, 32) float32, whatever its proportions."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
    grey = grey.astype(np.float32)
    height, width = grey.shape
    if min(height, width) < SIDE:
        # Where one side grows and the other shrinks, OpenCV leaves areas for points that lie unevenly.
        grey = cv2.resize(grey, (max(width, SIDE), max(height, SIDE)), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def fingerprints(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the words (N, 2) uint64 of squeezed pictures (N, 32, 32), and which (N,) bool are too plain to compare.

    The words of plain pictures (one colour, a ramp, nearly so) hang on noise.
    """
    places = np.arange(SIDE)
    waves = np.arange(1, _WAVES + 1)[:, None]
    cosines = np.sqrt(2 / SIDE) * np.cos(np.pi * (2 * places + 1) * waves / (2 * SIDE))
    coefficients = (cosines @ squares.astype(np.float64) @ cosines.T).reshape(len(squares), _WAVES**2)
    return _words(coefficients > 0), np.linalg.norm(coefficients, axis=1) / SIDE < FAINT


def _words(signs: np.ndarray) -> np.ndarray:
    """Return the two words (N, 2) of signs (N, 121)."""
    parts = (signs[:, _COARSE], signs[:, ~_COARSE])
    return np.stack([(part * _WORD[: part.shape[1]]).sum(1, dtype=np.uint64) for part in parts], 1)


# A mirrored picture has the odd waves across with the other sign.
_MIRROR = _words((_ACROSS % 2 == 1)[None])[0]


def mirrored(words: np.ndarray) -> np.ndarray:
    """Return the words (N, 2) uint64 of the same pictures, left and right exchanged."""
    return np.asarray(words ^ _MIRROR)


def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return in how many bits, element by element, two arrays of uint64 differ."""
    different = first ^ second
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(different))
    return np.asarray(_BITS_OF_BYTE[different[..., None].view(np.uint8)].sum(-1, dtype=np.uint8))
