"""Alignment: the similarity transform that maps five landmarks to one template, so that all data sets are framed alike.

Points are (x, y). In pixels, the origin is the top left corner of the image and the first pixel covers 0 to 1; in units
of the face side, points inside the face are in 0..1.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

TEMPLATE: Floats = np.array([(0.34, 0.39), (0.66, 0.39), (0.50, 0.58), (0.37, 0.75), (0.63, 0.75)], np.float32)
"""(5, 2) left eye, right eye, nose, left and right mouth corner, in units of the face side; left in the image."""

TEMPLATE.flags.writeable = False

# OpenCV's warp addresses the image with 16-bit integers.
_MAX_WARP_SIDE = 32_000


def similarities(points: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the least-squares similarity transforms (scale, rotation, translation; no reflection) between points.

    Closed form of Umeyama (IEEE TPAMI 13(4), 1991) for two dimensions, where scale and rotation are one complex number.
    Coincident points are only translated.

    Args:
        points: ``(..., n, 2)`` points.
        target: ``(n, 2)`` target points, or any shape that broadcasts with ``points``.

    Returns:
        ``(..., 2, 3) float64`` matrices [A | b], with target = A p + b.

    Example:
        >>> similarities([[0, 0], [1, 0]], [[1, 1], [3, 1]]).round(6).tolist()
        [[2.0, -0.0, 1.0], [0.0, 2.0, 1.0]]
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
    """Return the ``(2, 3)`` similarity transform from ``points`` (n, 2) to ``target`` (n, 2); see ``similarities``."""
    return similarities(points, target)


def move(points: npt.ArrayLike, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Apply ``(..., 2, 3)`` similarity transforms to ``(..., n, 2)`` points.

    Example:
        >>> move([[1, 2]], np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 0.0]])).tolist()
        [[3.0, 4.0]]
    """
    return np.asarray(points, np.float64) @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]


def align(image: npt.NDArray[np.uint8], landmarks: npt.ArrayLike, size: int) -> npt.NDArray[np.uint8]:
    """Crop a face so that its landmarks match the template.

    A face that is larger than the result is averaged rather than sampled. Outside the image, the nearest edge pixel is
    repeated.

    Args:
        image: ``(H, W, 3) uint8``.
        landmarks: ``(5, 2)`` landmarks in pixels, in the order of ``TEMPLATE``.
        size: Side of the result in pixels.

    Returns:
        ``(size, size, 3) uint8``. :func:`aligned_landmarks` gives the positions of the landmarks in it.

    Example:
        >>> align(np.full((60, 60, 3), 7, np.uint8), TEMPLATE * 50, 32).shape
        (32, 32, 3)
    """
    matrix = similarity(landmarks, TEMPLATE * size)
    image, matrix = _near(image, matrix, size)
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    # Landmarks that are not a face can imply any scale; a resolution beyond that of the image is useless.
    most = math.ceil(2 * max(image.shape[:2]) / size)
    finer = max(1, math.ceil(min(1 / max(scale, 1e-9), most) - 0.25))
    warped = _warp(image, matrix * finer, size * finer)
    if finer == 1:
        return warped
    return np.asarray(cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def aligned_landmarks(landmarks: npt.ArrayLike) -> Floats:
    """Return the positions of landmarks in the aligned face.

    Args:
        landmarks: ``(..., 5, 2)`` landmarks in pixels of the image.

    Returns:
        ``(..., 5, 2) float32`` in units of the face side.

    Example:
        >>> bool(np.allclose(aligned_landmarks(TEMPLATE * 90), TEMPLATE, atol=1e-6))
        True
    """
    return move(landmarks, similarities(landmarks, TEMPLATE)).astype(np.float32)


def _warp(image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.uint8]:
    # The origin of OpenCV is the centre of the first pixel, ours is its corner.
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2].sum(axis=1) * 0.5 - 0.5
    warped = cv2.warpAffine(image, centred, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _near(
    image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return the part of a very large image that the face needs, and the transform for it."""
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
