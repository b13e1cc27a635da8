"""Saliency by occlusion: how much the answer loses when a part of the face is covered (Zeiler & Fergus, ECCV 2014).

It asks the network only for probabilities, so it works for every exported graph and needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["GRID", "Answer", "enlarged", "log_odds", "occluded", "occlusion_maps"]

Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Faces ``(N, S, S, 3) uint8`` -> probabilities ``(N, K) float32``."""

GRID = 5
"""Cells of the grid along each side of the face."""

WINDOW = 1.5
"""Side of the covered square, in cells. Neighbours overlap, so that a feature on a border is covered whole once."""

_FACES_AT_A_TIME = 4
_LEAST = 1e-6


def occluded(faces: NDArray[np.uint8], grid: int = GRID, window: float = WINDOW) -> NDArray[np.uint8]:
    """Cover each cell of a grid in turn with the mean colour of the face.

    Args:
        faces: ``(N, S, S, 3) uint8``.
        grid: cells along each side.
        window: side of the covered square in cells; the square is cut at the border of the face.

    Returns:
        ``(N, grid * grid, S, S, 3) uint8``; the cells run along rows, from the upper left.

    Example:
        >>> face = np.zeros((1, 4, 4, 3), np.uint8); face[0, 0, 0] = 160
        >>> occluded(face, grid=2, window=1)[0, 0, :2, :2, 0].tolist()
        [[10, 10], [10, 10]]
    """
    count, side = faces.shape[:2]
    means = np.round(faces.mean((1, 2))).astype(np.uint8)
    covered = np.repeat(faces[:, None], grid * grid, axis=1)
    centres = (np.arange(grid) + 0.5) * side / grid
    half = window * side / grid / 2
    starts = np.maximum(np.round(centres - half), 0).astype(int)
    ends = np.minimum(np.round(centres + half), side).astype(int)
    for cell in range(grid * grid):
        row, column = divmod(cell, grid)
        covered[:, cell, starts[row] : ends[row], starts[column] : ends[column]] = means[:, None, None]
    return covered.reshape(count, grid * grid, *faces.shape[1:])


def log_odds(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``log(p / (1 - p))``, of probabilities kept away from 0 and 1 by 1e-6."""
    p = np.clip(probabilities.astype(np.float64), _LEAST, 1 - _LEAST)
    return np.log(p / (1 - p))


def occlusion_maps(
    answer: Answer,
    faces: NDArray[np.uint8],
    chosen: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    grid: int = GRID,
    window: float = WINDOW,
) -> NDArray[np.float32]:
    """Return how much the log-odds of the chosen class fall when each cell is covered.

    Args:
        answer: the network.
        faces: ``(N, S, S, 3) uint8`` aligned faces.
        chosen: ``(N,)`` the class to explain, an index.
        probabilities: ``(N,)`` its probability for the whole face.
        grid: cells along each side.
        window: side of the covered square in cells.

    Returns:
        ``(N, grid, grid) float32``; above 0 where the cell speaks for the class, below 0 where it speaks against it.
    """
    maps = np.zeros((len(faces), grid * grid))
    for start in range(0, len(faces), _FACES_AT_A_TIME):
        rows = slice(start, start + _FACES_AT_A_TIME)
        covered = occluded(faces[rows], grid, window)
        found = answer(covered.reshape(-1, *faces.shape[1:])).reshape(len(covered), grid * grid, -1)
        of_chosen = np.take_along_axis(found, chosen[rows][:, None, None], 2)[..., 0]
        maps[rows] = log_odds(probabilities[rows])[:, None] - log_odds(of_chosen)
    return maps.reshape(-1, grid, grid).astype(np.float32)


def enlarged(maps: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return maps in the size of the face, interpolated bilinearly between the centres of their cells.

    Args:
        maps: ``(N, G, G) float32``.
        side: side of the face in pixels.

    Returns:
        ``(N, side, side) float32``.

    Example:
        >>> enlarged(np.array([[[0.0, 1.0], [0.0, 1.0]]], np.float32), 4)[0, 0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    if not len(maps):
        return np.zeros((0, side, side), np.float32)
    return np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_LINEAR) for each in maps])
