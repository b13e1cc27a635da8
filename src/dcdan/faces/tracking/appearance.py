"""Appearance of aligned faces: the correlation of small thumbnails distinguishes the people of one video."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_SIDE = 16

# Contrast in grey levels (root mean square) below which a thumbnail contains only noise.
_FLAT = 2.0


def appearance(faces: npt.NDArray[np.uint8]) -> Floats:
    """Describe faces by vectors whose dot product is the correlation of the faces.

    Args:
        faces: ``(n, S, S, 3) uint8`` RGB, aligned.

    Returns:
        ``(n, 768) float32``: 16 x 16 thumbnails of mean 0 and length 1, independent of brightness and contrast; all
            zero for
        a face of almost uniform colour.

    Example:
        >>> faces = np.random.default_rng(0).integers(0, 100, (1, 32, 32, 3)).astype(np.uint8)
        >>> vectors = appearance(np.concatenate([faces, faces + 50]))
        >>> vectors.shape, round(float(vectors[0] @ vectors[1]), 3)
        ((2, 768), 1.0)
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
    """Normalise vectors to length 1; vectors shorter than 0.001 become zero.

    Args:
        vectors: ``(n, d) float32``.

    Returns:
        ``(n, d) float32``.

    Example:
        >>> unit_vectors(np.array([[0, 2], [0, 0]], np.float32)).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    brought: Floats = np.where(length > 1e-3, vectors / np.maximum(length, 1e-3), 0).astype(np.float32)
    return brought


@cache
def _shares(size: int) -> Floats:
    """Return the (16, size) weights of ``size`` pixels in each of 16 equal parts of their row."""
    edges = np.linspace(0, size, _SIDE + 1)
    pixel = np.arange(size)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(covered, 0) * _SIDE / size, np.float32)
