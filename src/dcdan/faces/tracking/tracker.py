"""Multi-object tracking: assigns the faces of each frame to tracks by position, velocity and appearance.

After Bewley et al., "Simple Online and Realtime Tracking" (ICIP 2016), and Wojke et al., "... with a Deep Association
Metric" (ICIP 2017), with a constant velocity instead of a Kalman filter and thumbnails instead of a network. Boxes are
x0, y0, x1, y1 in pixels; times are in seconds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from dcdan.faces.boxes import overlaps
from dcdan.faces.tracking.appearance import unit_vectors
from dcdan.faces.tracking.assignment import assign_within

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


class TrackerOptions(BaseModel):
    """Parameters of the assignment of faces to tracks.

    A pair costs ``1 - overlap + weight (alike - similarity)`` and must cost less than 1. The defaults were measured on
    aligned faces of photographs: the similarity is .81 to .98 between a face and a slightly rotated, blurred and
    darkened copy (5th and 95th percentile), and -.27 to .63 between two people.

    Attributes:
        weight: Weight of appearance relative to position.
        alike: Correlation of appearance that is neutral.
        reach: Maximum distance of a face from its expected position, in sides of the face.
        drift: Increase of this distance per second since the face was last detected.
        patience: Seconds without a detection after which a track ends ...
        misses: ... if the face was also missed in at least this number of frames.
        steadiness: Seconds over which velocity and appearance are averaged.
        crowding: Reduction of the weight of appearance per share of the box that overlaps another face.
        ease: Time constant in seconds with which the expected velocity of an undetected face decays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(default=1.5, ge=0)
    alike: float = Field(default=0.7, ge=-1, le=1)
    reach: float = Field(default=1.0, gt=0)
    drift: float = Field(default=1.5, ge=0)
    patience: float = Field(default=2.0, ge=0)
    misses: int = Field(default=3, ge=1)
    steadiness: float = Field(default=0.25, gt=0)
    crowding: float = Field(default=1.5, ge=0)
    ease: float = Field(default=0.5, gt=0)


class Tracker:
    """Assigns each face of a video to the track of its person; track numbers start at 1 and are never reused.

    Example:
        >>> tracker = Tracker()
        >>> tracker.update(0.0, [[0, 0, 10, 10]]).tolist(), tracker.update(0.1, [[1, 0, 11, 10]]).tolist()
        ([1], [1])
    """

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.options = options or TrackerOptions()
        self._next = 1
        self._ids: Indices = np.zeros(0, np.int64)
        self._boxes: Floats = np.zeros((0, 4), np.float32)
        self._speeds: Floats = np.zeros((0, 2), np.float32)
        self._looks: Floats | None = None
        self._seen = np.zeros(0)
        self._count = np.zeros(0, np.int64)
        self._missed = np.zeros(0, np.int64)

    def update(self, time: float, boxes: npt.ArrayLike, looks: Floats | None = None) -> Indices:
        """Assign the faces of the next frame.

        Args:
            time: Seconds; later than the previous frame.
            boxes: ``(n, 4)`` boxes; n may be 0.
            looks: ``(n, d) float32`` vectors from :func:`~dcdan.faces.tracking.appearance.appearance`, of length 1 or
                all zero; None in every frame to track by position alone.

        Returns:
            ``(n,) int64`` track number of each face.
        """
        found = np.asarray(boxes, np.float32).reshape(-1, 4)
        self._forget(time)
        expected = self._expected(time)
        trust = _trust(found, self.options.crowding)
        old, new = assign_within(self._costs(expected, found, time, looks, trust), 1.0)
        numbers = np.zeros(len(found), np.int64)
        numbers[new] = self._ids[old]
        self._move(old, found[new], expected[old], time)
        if looks is not None and self._looks is not None:
            share = (trust[new] * self._share(time, old))[:, None]
            self._looks[old] = unit_vectors((1 - share) * self._looks[old] + share * looks[new])
        self._missed += 1
        self._missed[old] = 0
        self._seen[old] = time
        self._count[old] += 1
        fresh = np.flatnonzero(numbers == 0)
        numbers[fresh] = np.arange(self._next, self._next + len(fresh))
        self._begin(numbers[fresh], found[fresh], time, None if looks is None else looks[fresh])
        return numbers

    def _costs(
        self, expected: Floats, found: Floats, time: float, looks: Floats | None, trust: Floats
    ) -> npt.NDArray[np.float64]:
        """Return (m, n) costs; infinity where a face is too far away or its size differs too much."""
        options, m = self.options, len(expected)
        costs = 1.0 - overlaps(np.concatenate([expected, found]), "union")[:m, m:].astype(np.float64)
        if looks is not None and self._looks is not None and m:
            known = np.outer(self._looks.any(axis=1), looks.any(axis=1))
            costs += np.where(known, options.weight * trust * (options.alike - self._looks @ looks.T), 0)
        sides, others = _sides(expected)[:, None], _sides(found)[None]
        away = np.linalg.norm(_centres(expected)[:, None] - _centres(found)[None], axis=2)
        reach = options.reach + options.drift * (time - self._seen)[:, None]
        far = away > reach * np.sqrt(sides * others)
        costs[far | (sides > 2 * others) | (others > 2 * sides)] = np.inf
        return costs

    def _expected(self, time: float) -> Floats:
        # Few people move at a constant velocity for long, so the expected velocity of an undetected face decays.
        ease = self.options.ease
        moved = self._speeds * (ease * (1 - np.exp(-(time - self._seen) / ease)))[:, None].astype(np.float32)
        return np.asarray(self._boxes + np.concatenate([moved, moved], axis=1), np.float32)

    def _move(self, old: Indices, found: Floats, expected: Floats, time: float) -> None:
        since = np.maximum(time - self._seen[old], 1e-3)
        change = (_centres(found) - _centres(expected)) / since[:, None]
        self._speeds[old] += (self._share(time, old)[:, None] * change).astype(np.float32)
        self._boxes[old] = found

    def _share(self, time: float, old: Indices) -> Floats:
        """Return the weight of the newest frame in the averages: equal weights at first, more after a gap."""
        since = time - self._seen[old]
        lasting = 1 - np.exp(-since / self.options.steadiness)
        return np.asarray(np.maximum(lasting, 1 / self._count[old]), np.float32)

    def _forget(self, time: float) -> None:
        kept = (time - self._seen <= self.options.patience) | (self._missed < self.options.misses)
        if kept.all():
            return
        self._ids, self._boxes, self._speeds = self._ids[kept], self._boxes[kept], self._speeds[kept]
        self._seen, self._count, self._missed = self._seen[kept], self._count[kept], self._missed[kept]
        if self._looks is not None:
            self._looks = self._looks[kept]

    def _begin(self, numbers: Indices, boxes: Floats, time: float, looks: Floats | None) -> None:
        fresh = len(numbers)
        self._next += fresh
        self._ids = np.concatenate([self._ids, numbers])
        self._boxes = np.concatenate([self._boxes, boxes])
        self._speeds = np.concatenate([self._speeds, np.zeros((fresh, 2), np.float32)])
        self._seen = np.concatenate([self._seen, np.full(fresh, time)])
        self._count = np.concatenate([self._count, np.ones(fresh, np.int64)])
        self._missed = np.concatenate([self._missed, np.zeros(fresh, np.int64)])
        if looks is not None:
            self._looks = looks.copy() if self._looks is None else np.concatenate([self._looks, looks])


def _trust(boxes: Floats, crowding: float) -> Floats:
    """Return the (n,) weights of appearance: lower where another face overlaps the box."""
    if len(boxes) < 2:
        return np.ones(len(boxes), np.float32)
    shared = overlaps(boxes, "smaller")
    np.fill_diagonal(shared, 0)
    return np.asarray(np.maximum(1 - crowding * shared.max(axis=1), 0), np.float32)


def _centres(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, np.float32)


def _sides(boxes: Floats) -> Floats:
    """Return the (n,) geometric means of width and height, at least one pixel."""
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    return np.asarray(np.sqrt(extent[:, 0] * extent[:, 1]), np.float32)
