"""Class probabilities of each track averaged over time, so that one odd frame does not change an answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# What is older than so many time constants has a weight below 5e-5 and is dropped.
_MEMORY = 10.0


class Smoother:
    """Exponentially weighted means of the past: frame ``i`` of a track counts ``w_i exp(-(t - t_i) / constant)``.

    The means are of what has been seen so far only, and the time constant is in seconds: looking at every second
    frame changes how many frames are averaged, not over how long. After a lasting change of the face, 63 % of the
    mean is new after one time constant.
    """

    def __init__(self, constant: float) -> None:
        """Set up.

        Args:
            constant: seconds, at least 0; with 0 every frame stands for itself.
        """
        self.constant = constant
        self._ids: Indices = np.zeros(0, np.int64)
        self._sums: Floats | None = None
        self._weights: Floats = np.zeros(0)
        self._seen: Floats = np.zeros(0)

    def update(
        self,
        time: float,
        tracks: Indices,
        probabilities: npt.NDArray[np.floating],
        weights: npt.NDArray[np.floating] | None = None,
    ) -> Floats:
        """Take the faces of the next frame.

        Args:
            time: seconds, later than that of the frame before.
            tracks: (n,) the track of each face, all different.
            probabilities: (n, K), rows sum to 1.
            weights: (n,) how much each face counts, above 0; None for all alike.

        Returns:
            (n, K) the smoothed probabilities, rows sum to 1.
        """
        own: Floats = np.asarray(probabilities, np.float64)
        if self.constant <= 0 or len(own) == 0:
            return own
        weight = np.ones(len(own)) if weights is None else np.asarray(weights, np.float64)
        at = self._places(time, tracks, own.shape[1])
        assert self._sums is not None
        fade = np.exp(-(time - self._seen[at]) / self.constant)
        self._weights[at] = fade * self._weights[at] + weight
        self._sums[at] = fade[:, None] * self._sums[at] + weight[:, None] * own
        self._seen[at] = time
        return self._sums[at] / self._weights[at][:, None]

    def _places(self, time: float, tracks: Indices, classes: int) -> Indices:
        """Return where the tracks stand in the table, after old ones are dropped and new ones are added."""
        if self._sums is None:
            self._sums = np.zeros((0, classes))
        kept = (time - self._seen <= _MEMORY * self.constant) | np.isin(self._ids, tracks)
        fresh = np.setdiff1d(tracks, self._ids)
        ids = np.concatenate([self._ids[kept], fresh])
        order = np.argsort(ids)
        self._ids = ids[order]
        self._sums = np.concatenate([self._sums[kept], np.zeros((len(fresh), classes))])[order]
        self._weights = np.concatenate([self._weights[kept], np.zeros(len(fresh))])[order]
        self._seen = np.concatenate([self._seen[kept], np.full(len(fresh), time)])[order]
        return np.searchsorted(self._ids, tracks)
