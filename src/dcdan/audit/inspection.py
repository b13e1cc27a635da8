"""The inspection of a data set: every picture decoded once, by all cores, with a fingerprint of 121 bits.

Few bits of a fingerprint change when a picture is stored again, resized or made brighter. The bits are the signs of
cosine coefficients (DCT-II) of the grey picture, resized to 32 x 32. Waves of one to eight half periods down and across
make the first word, in which duplicates are searched. The other waves, of up to eleven half periods, make the second,
which tells duplicates from pictures that agree coarsely by chance. Waves in one direction only are left out, because
light from one side and borders change just those.

26 bytes are stored for each picture, so a million pictures need 26 MB.
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
# Root mean square of the coefficients in grey levels. The faintest of 35,710 FER2013 faces has 4.6.
FAINT = 1.0

_WORD = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
_DOWN, _ACROSS = (np.ravel(waves) + 1 for waves in np.indices((_WAVES, _WAVES)))
_COARSE = np.maximum(_DOWN, _ACROSS) <= _COARSE_WAVES
_BITS_OF_BYTE = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def squeezed(picture: np.ndarray) -> np.ndarray:
    """Resize a picture to 32 x 32 grey values, whatever its proportions.

    Args:
        picture: `(H, W, 3) uint8` RGB or `(H, W) uint8` grey.

    Returns:
        `(32, 32) float32`, 0 to 255.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
    grey = grey.astype(np.float32)
    height, width = grey.shape
    if min(height, width) < SIDE:
        # Where one side grows and the other shrinks, OpenCV leaves areas for points that lie unevenly.
        grey = cv2.resize(grey, (max(width, SIDE), max(height, SIDE)), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def fingerprints(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the fingerprints of pictures.

    Args:
        squares: `(N, 32, 32)` grey values, as `squeezed` returns them.

    Returns:
        `(N, 2) uint64`, the coarse and the fine word of each picture, and `(N,) bool`, True for a plain picture (one
        colour, a ramp), whose words depend on noise.
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


# In a mirror image the waves with an odd number of half periods across change their sign.
_MIRROR = _words((_ACROSS % 2 == 1)[None])[0]


def mirrored(words: np.ndarray) -> np.ndarray:
    """Return the fingerprints of mirror images.

    Args:
        words: `(N, 2) uint64` fingerprints.

    Returns:
        `(N, 2) uint64`.
    """
    return np.asarray(words ^ _MIRROR)


def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Hamming distance of two arrays, element by element.

    Args:
        first: uint64 of any shape.
        second: uint64 of the same shape.

    Returns:
        Numbers of bits, of the same shape.

    Example:
        >>> distance(np.array([0b1011], np.uint64), np.array([0b0010], np.uint64)).tolist()
        [2]
    """
    different = first ^ second
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(different))
    return np.asarray(_BITS_OF_BYTE[different[..., None].view(np.uint8)].sum(-1, dtype=np.uint8))


STATUSES = tuple(Status)
# content: a hash of the pixels and their shape. plain: the words depend on noise. status: an index into STATUSES.
PRINT = np.dtype([("content", np.uint64), ("words", np.uint64, 2), ("plain", np.bool_), ("status", np.uint8)])
_CHUNK = 128


@dataclass(frozen=True)
class InspectionListing:
    """The splits and labels of what a reader selects.

    Attributes:
        splits: names of the splits.
        split_codes: `(N,) int16` index into `splits`.
        labels: `(N,) int16` index into the reader's classes, -1 for none.
    """

    splits: tuple[str, ...]
    split_codes: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)


def listing(reader: Reader) -> InspectionListing:
    """List the splits and labels of what a reader selects.

    Args:
        reader: the data set, whose `skipped` and `notes` are filled.

    Returns:
        The listing.
    """
    codes, labels, known = array("h"), array("h"), dict[str, int]()
    for sample in reader.selected():
        codes.append(known.setdefault(sample.split, len(known)))
        labels.append(sample.label)
    return InspectionListing(tuple(known), np.array(codes, np.int16), np.array(labels, np.int16))


class Inspector:
    """Loads samples, crops them to their boxes, and computes the fingerprints of the crops.

    Args:
        reader: the data set.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def prepare(self, samples: Sequence[Sample]) -> np.ndarray:
        """Compute the fingerprints of samples.

        Args:
            samples: n samples.

        Returns:
            `(n,)` of the type PRINT; a broken picture has only its status.
        """
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
    """Decode every picture that a reader selects and compute its fingerprint.

    Args:
        reader: the data set.
        total: the number of samples that the reader selects, N.
        workers: processes, None for one per core.
        progress: show a bar on stderr when that is a terminal.

    Returns:
        `(N,)` fingerprints of the type PRINT, in the order of the samples.
    """
    prints = np.zeros(total, PRINT)
    done = 0
    with progress_bar("decoding", total, shown=progress) as advance:
        for _, part in prepared(Inspector(reader), chunks(reader.selected(), _CHUNK), total, _CHUNK, workers):
            prints[done : done + len(part)] = part
            done += len(part)
            advance(len(part))
    return prints


def samples_at(reader: Reader, indices: np.ndarray) -> dict[int, Sample]:
    """Return samples by their index.

    Args:
        reader: the data set.
        indices: `(n,)` indices into what the reader selects.

    Returns:
        index -> sample.
    """
    if not len(indices):
        return {}
    wanted = set(indices.tolist())
    return {place: sample for place, sample in enumerate(reader.selected()) if place in wanted}


def _content(picture: np.ndarray) -> int:
    """Return a hash of the pixels and the shape."""
    digest = hashlib.blake2b(str(picture.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(picture).data)
    return int.from_bytes(digest.digest(), "little")
