"""How alike two aligned faces look: correlation of small thumbnails, enough to tell people of one video apart."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_SIDE = 16

# Grey levels (root mean square) below which a thumbnail shows the noise of its video and no face.
_FLAT = 2.0


def appearance(faces: npt.NDArray[np.uint8]) -> Floats:
    """Describe faces so that the dot product of two descriptions is their correlation.

    Args:
        faces: (n, S, S, 3) uint8 RGB, aligned.

    Returns:
        (n, 768) float32: averaged down to 16 x 16, of mean 0 and length 1, so that brightness and contrast do not
        count; all zero for a face that is all but of one colour.
    """
    if len(faces) == 0:
        return np.zeros((0, _SIDE * _SIDE * 3), np.float32)
    shares = _shares(faces.shape[1])
    small = np.einsum("is,nstc,jt->nijc", shares, faces.astype(np.float32), shares, optimize=True)
    rows = small.reshape(len(faces), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    shown = np.sqrt(np.mean(np.square(rows), axis=1, keepdims=True)) >= _FLAT
    return unit_vectors(np.where(shown, rows, 0))


def unit_vectors(vectors: Floats) -> Floats:
    """Bring vectors (n, d) to length 1; those that are all but zero become zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    brought: Floats = np.where(length > 1e-3, vectors / np.maximum(length, 1e-3), 0).astype(np.float32)
    return brought


@cache
def _shares(size: int) -> Floats:
    """Return (16, size): the share that each of ``size`` pixels in a row has in each of 16 equal parts of it."""
    edges = np.linspace(0, size, _SIDE + 1)
    pixel = np.arange(size)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(covered, 0) * _SIDE / size, np.float32)
