"""Every picture of a data set decoded once, with a fingerprint of 121 bits each.

What a picture looks like in 121 bits: few of them change when it is stored again, resized or made brighter.

The bits are the signs of cosine coefficients (DCT-II) of the grey picture, squeezed to 32 x 32. Those of one to eight
half waves down and across make the first word, in which doubles are looked for; the others, of up to eleven, make the
second, which tells doubles from pictures whose coarse forms are alike by chance. Waves in one direction only are left
out, since light from one side and borders change just those.

Every picture of a data set decoded once, by all cores; 26 bytes are kept of each, so a million need 26 MB.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dcdan.core.console import progress_bar
from dcdan.datasets.listing import chunks
from dcdan.datasets.reader import Reader, Sample
from dcdan.images.status import Status
from dcdan.jobs.workers import prepared
from dcdan.packs.prepare import inside_box, loaded

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


STATUSES = tuple(Status)
# content: a hash of the pixels and their shape. plain: the words say nothing. status: a place in STATUSES.
PRINT = np.dtype([("content", np.uint64), ("words", np.uint64, 2), ("plain", np.bool_), ("status", np.uint8)])
_CHUNK = 128


@dataclass(frozen=True)
class Listing:
    """What a reader selects, without its pictures: (N,) codes into `splits`, and labels (-1 for none)."""

    splits: tuple[str, ...]
    split_codes: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)


def listing(reader: Reader) -> Listing:
    """Go through a reader's samples once; its `skipped` and `notes` are filled on the way."""
    codes, labels, known = array("h"), array("h"), dict[str, int]()
    for sample in reader.selected():
        codes.append(known.setdefault(sample.split, len(known)))
        labels.append(sample.label)
    return Listing(tuple(known), np.array(codes, np.int16), np.array(labels, np.int16))


class Inspector:
    """Loads samples, cuts out their boxes, and takes the fingerprints of what is seen."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def prepare(self, samples: Sequence[Sample]) -> np.ndarray:
        """Return an array (n,) of PRINT for n samples."""
        prints = np.zeros(len(samples), PRINT)
        squares = np.zeros((len(samples), SIDE, SIDE), np.float32)
        for index, sample in enumerate(samples):
            picture = loaded(self.reader, sample)
            if isinstance(picture, Status):
                prints["status"][index] = STATUSES.index(picture)
            else:
                picture, _ = inside_box(picture, sample.box)
                prints["content"][index] = _content(picture)
                squares[index] = squeezed(picture)
        prints["words"], prints["plain"] = fingerprints(squares)
        return prints


def inspect(reader: Reader, total: int, *, workers: int | None = None, progress: bool = True) -> np.ndarray:
    """Return an array (N,) of PRINT for all that a reader selects, in order; `total` is N."""
    prints = np.zeros(total, PRINT)
    done = 0
    with progress_bar("decoding", total, shown=progress) as advance:
        for _, part in prepared(Inspector(reader), chunks(reader.selected(), _CHUNK), total, _CHUNK, workers):
            prints[done : done + len(part)] = part
            done += len(part)
            advance(len(part))
    return prints


def samples_at(reader: Reader, indices: np.ndarray) -> dict[int, Sample]:
    """Return the samples at some places of what a reader selects, by place."""
    if not len(indices):
        return {}
    wanted = set(indices.tolist())
    return {place: sample for place, sample in enumerate(reader.selected()) if place in wanted}


def _content(picture: np.ndarray) -> int:
    digest = hashlib.blake2b(str(picture.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(picture).data)
    return int.from_bytes(digest.digest(), "little")
