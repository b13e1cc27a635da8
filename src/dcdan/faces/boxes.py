"""Box arithmetic: overlap, non-maximum suppression, squares, regression and cropping.

Boxes are ``(n, 4)`` x0, y0, x1, y1 in pixels with continuous coordinates: the width is x1 - x0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Image = npt.NDArray[np.uint8]


def areas(boxes: Floats) -> Floats:
    """Return the ``(n,)`` areas of boxes, zero for inverted boxes.

    Example:
        >>> areas(np.array([[0, 0, 2, 3], [5, 5, 4, 4]], np.float32)).tolist()
        [6.0, 0.0]
    """
    extent: Floats = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return extent[:, 0] * extent[:, 1]


def overlaps(boxes: Floats, measure: Literal["union", "smaller"]) -> Floats:
    """Return the pairwise overlap of boxes.

    Args:
        boxes: ``(n, 4) float32``.
        measure: ``union`` divides the intersection by the union (IoU), ``smaller`` by the smaller of the two areas.

    Returns:
        ``(n, n) float32`` in 0..1.

    Example:
        >>> boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 2]], np.float32)
        >>> overlaps(boxes, "union")[0].tolist(), overlaps(boxes, "smaller")[0].tolist()
        ([1.0, 0.5], [1.0, 1.0])
    """
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    sides = np.maximum(high - low, 0)
    shared = sides[..., 0] * sides[..., 1]
    one, other = areas(boxes)[:, None], areas(boxes)[None, :]
    whole = np.minimum(one, other) if measure == "smaller" else one + other - shared
    shares: Floats = shared / np.maximum(whole, 1e-9)
    return shares


def suppress_by_union(boxes: Floats, scores: Floats, threshold: float) -> Indices:
    """Greedy non-maximum suppression by intersection over union.

    Args:
        boxes: ``(n, 4) float32``.
        scores: ``(n,) float32``.
        threshold: A box is dropped if its overlap with a better box exceeds this value.

    Returns:
        ``(k,) int64`` indices of the remaining boxes, the best score first.

    Example:
        >>> boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 12, 12]], np.float32)
        >>> suppress_by_union(boxes, np.array([0.5, 0.9, 0.7], np.float32), 0.5).tolist()
        [1, 2]
    """
    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corners.astype(np.float64).tolist(), scores.tolist(), 0.0, threshold)
    return np.asarray(kept, np.int64).reshape(-1)


def suppress_by_smaller(boxes: Floats, scores: Floats, threshold: float) -> Indices:
    """Greedy non-maximum suppression by intersection over the smaller area, which also drops nested boxes.

    A box remains if no better remaining box covers it. Iterating this rule from "all remain" reaches its fixed point
    after as many rounds as the longest chain of boxes that suppress each other. Memory is quadratic in the number of
    boxes.

    Args:
        boxes: ``(n, 4) float32``.
        scores: ``(n,) float32``.
        threshold: A box is dropped if its overlap with a better box exceeds this value.

    Returns:
        ``(k,) int64`` indices of the remaining boxes, the best score first.
    """
    order = np.argsort(-scores, kind="stable")
    covers = np.triu(overlaps(boxes[order], measure="smaller") > threshold, k=1)
    kept: npt.NDArray[np.bool_] = np.ones(len(order), np.bool_)
    while True:
        following = ~np.any(covers & kept[:, None], axis=0)
        if np.array_equal(following, kept):
            return order[kept]
        kept = following


def regress(boxes: Floats, offsets: Floats) -> Floats:
    """Move the corners of boxes by predicted offsets.

    Args:
        boxes: ``(n, 4) float32``.
        offsets: ``(n, 4) float32`` in units of the width and height of each box.

    Returns:
        ``(n, 4) float32``.

    Example:
        >>> regress(np.array([[0, 0, 10, 20]], np.float32), np.array([[0.5, 0, 0, -0.5]], np.float32)).tolist()
        [[5.0, 0.0, 10.0, 10.0]]
    """
    extent = boxes[:, 2:] - boxes[:, :2]
    moved: Floats = boxes + offsets * np.concatenate([extent, extent], axis=1)
    return moved


def grown(boxes: Floats, factor: float) -> Floats:
    """Scale boxes about their centres.

    Args:
        boxes: ``(n, 4) float32``.
        factor: Ratio of the new to the old width and height.

    Returns:
        ``(n, 4) float32``.

    Example:
        >>> grown(np.array([[2, 2, 6, 4]], np.float32), 1.5).tolist()
        [[1.0, 1.5, 7.0, 4.5]]
    """
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, factor * (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.asarray(np.concatenate([centre - half, centre + half], axis=1), np.float32)


def squares(boxes: Floats) -> npt.NDArray[np.int64]:
    """Return the smallest squares of whole pixels that share the centres of the boxes.

    Args:
        boxes: ``(n, 4) float32``.

    Returns:
        ``(n, 3) int64`` x0, y0, side; the side is at least 1.

    Example:
        >>> squares(np.array([[0, 0, 4, 2]], np.float32)).tolist()
        [[0, -1, 4]]
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = np.maximum(np.rint((boxes[:, 2:] - boxes[:, :2]).max(axis=1)), 1)
    corner = np.rint(centre - side[:, None] / 2)
    return np.concatenate([corner, side[:, None]], axis=1).astype(np.int64)


def cut(images: Sequence[Image], owners: Indices, cuts: npt.NDArray[np.int64], size: int) -> Image:
    """Crop squares from images and resize them; pixels outside the image are black.

    Args:
        images: Images ``(H, W, 3) uint8``.
        owners: ``(n,)`` index of the image of each square, ascending.
        cuts: ``(n, 3)`` x0, y0, side from :func:`squares`.
        size: Side of the result in pixels.

    Returns:
        ``(n, size, size, 3) uint8``.
    """
    out = np.empty((len(cuts), size, size, 3), np.uint8)
    bounds = np.searchsorted(owners, np.arange(len(images) + 1))
    for image, start, stop in zip(images, bounds[:-1], bounds[1:], strict=True):
        if start == stop:
            continue
        own = cuts[start:stop]
        high = (own[:, :2] + own[:, 2:]).max(axis=0)
        left, top = np.maximum(-own[:, :2].min(axis=0), 0).tolist()
        right, bottom = np.maximum(high - (image.shape[1], image.shape[0]), 0).tolist()
        if left or top or right or bottom:
            image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT)
        for place, (x, y, side) in enumerate(np.add(own, (left, top, 0)).tolist(), start):
            how = cv2.INTER_AREA if side > 2 * size else cv2.INTER_LINEAR
            cv2.resize(image[y : y + side, x : x + side], (size, size), dst=out[place], interpolation=how)
    return out
