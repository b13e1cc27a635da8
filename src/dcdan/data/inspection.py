"""Every picture of a data set decoded once, by all cores; 26 bytes are kept of each, so a million need 26 MB."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dcdan.data.fingerprint import SIDE, fingerprints, squeezed
from dcdan.data.listing import chunks
from dcdan.data.prepare import inside_box, loaded
from dcdan.data.progress import progress_bar
from dcdan.data.reader import Reader, Sample
from dcdan.data.workers import prepared
from dcdan.faces.status import Status

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
