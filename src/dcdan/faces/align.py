"""Alignment: the similarity that lays five landmarks on one template, so that all data sets are framed alike.

Points are (x, y). In pixels they count from the top left corner of the picture, so that the first pixel covers 0 to 1;
in units of the face side they lie in 0..1.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

TEMPLATE: Floats = np.array([(0.34, 0.39), (0.66, 0.39), (0.50, 0.58), (0.37, 0.75), (0.63, 0.75)], np.float32)
"""(5, 2) left eye, right eye, nose, left and right mouth corner, in units of the face side (left in the picture)."""

TEMPLATE.flags.writeable = False

# OpenCV's warp addresses the picture with 16-bit integers.
_MAX_WARP_SIDE = 32_000


def similarities(points: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the least-squares similarities (scale, rotation, shift; no mirroring) that move points onto targets.

    Closed form of Umeyama (IEEE TPAMI 13(4), 1991) in two dimensions, where the best rotation and scale are one complex
    number. Points that all coincide are only shifted.

    Args:
        points: (..., n, 2).
        target: (n, 2), or any shape that broadcasts with ``points``.

    Returns:
        (..., 2, 3) float64 matrices [A | b]: target = A p + b.
    """
    source, goal = np.broadcast_arrays(np.asarray(points, np.float64), np.asarray(target, np.float64))
    centre, aim = source.mean(axis=-2, keepdims=True), goal.mean(axis=-2, keepdims=True)
    s, g = source - centre, goal - aim
    spread = np.square(s).sum(axis=(-2, -1))
    flat = spread <= 0
    safe = np.where(flat, 1.0, spread)
    a = np.where(flat, 1.0, (s * g).sum(axis=(-2, -1)) / safe)
    b = np.where(flat, 0.0, (s[..., 0] * g[..., 1] - s[..., 1] * g[..., 0]).sum(axis=-1) / safe)
    turn = np.stack([np.stack([a, -b], axis=-1), np.stack([b, a], axis=-1)], axis=-2)
    shift = np.swapaxes(aim, -1, -2) - turn @ np.swapaxes(centre, -1, -2)
    return np.concatenate([turn, shift], axis=-1)


def similarity(points: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the one (2, 3) similarity that moves ``points`` (n, 2) onto ``target`` (n, 2); see ``similarities``."""
    return similarities(points, target)


def move(points: npt.ArrayLike, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Apply (..., 2, 3) similarities to points (..., n, 2)."""
    return np.asarray(points, np.float64) @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]


def align(image: npt.NDArray[np.uint8], landmarks: npt.ArrayLike, size: int) -> npt.NDArray[np.uint8]:
    """Cut the face out so that its landmarks lie on the template.

    Large faces are averaged down rather than sampled; beyond the picture's edge its outermost pixels go on.

    Args:
        image: (H, W, 3) uint8.
        landmarks: (5, 2) pixels.
        size: side of the result.

    Returns:
        (size, size, 3) uint8. ``aligned_landmarks`` says where the landmarks are in it.
    """
    matrix = similarity(landmarks, TEMPLATE * size)
    image, matrix = _near(image, matrix, size)
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    # Landmarks that are no face at all can ask for any size; more than the picture has is of no use.
    most = math.ceil(2 * max(image.shape[:2]) / size)
    finer = max(1, math.ceil(min(1 / max(scale, 1e-9), most) - 0.25))
    warped = _warp(image, matrix * finer, size * finer)
    if finer == 1:
        return warped
    return np.asarray(cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def aligned_landmarks(landmarks: npt.ArrayLike) -> Floats:
    """Return where landmarks (..., 5, 2) in pixels come to lie in the aligned face, in units of its side."""
    return move(landmarks, similarities(landmarks, TEMPLATE)).astype(np.float32)


def _warp(image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.uint8]:
    # OpenCV counts from the centre of the first pixel, we from its corner.
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2].sum(axis=1) * 0.5 - 0.5
    warped = cv2.warpAffine(image, centred, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _near(
    image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return the part of a very large picture that the face needs, with the matrix for it."""
    height, width = image.shape[:2]
    if max(height, width) <= _MAX_WARP_SIDE:
        return image, matrix
    inverse = cv2.invertAffineTransform(matrix)
    corners = move([(0, 0), (size, 0), (0, size), (size, size)], inverse)
    left, top = np.clip(np.floor(corners.min(axis=0)) - 2, 0, (width - 1, height - 1)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 2, (left + 1, top + 1), (width, height)).astype(int).tolist()
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (left, top)
    return image[top:bottom, left:right], moved
