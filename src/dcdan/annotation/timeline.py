"""Segments of equal expression: the faces of a video, frame by frame, become intervals for each person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcdan.inference.table import FaceResult

Floats = NDArray[np.float64]

LONGEST_GAP = 0.5
"""Seconds without a face after which a segment ends; a shorter gap belongs to it."""
MINIMUM_LENGTH = 0.25
"""Default minimum length of a segment in seconds."""
_USUAL_STEP = 0.04


class Segment(NamedTuple):
    """An interval in which a person shows one expression.

    Attributes:
        person: number of the track, from 1.
        start: seconds from the beginning of the video.
        end: seconds, after ``start``.
        expression: index of the class.
        probability: mean probability of this class in its frames, 0..1.
    """

    person: int
    start: float
    end: float
    expression: int
    probability: float

    @property
    def length(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Timeline:
    """The people of one video and their expressions over time.

    Attributes:
        video: name of the video as it was given.
        classes: names of the K expressions.
        duration: seconds from the first frame to the end of the last.
        step: seconds between two analysed frames.
        segments: sorted by person and time; those of one person do not overlap.
        short: number of people who were seen for less than the minimum length and are left out.
    """

    video: str
    classes: tuple[str, ...]
    duration: float
    step: float
    segments: tuple[Segment, ...]
    short: int = 0

    @property
    def people(self) -> tuple[int, ...]:
        """Numbers of the people, in order."""
        return tuple(sorted({each.person for each in self.segments}))

    def of(self, person: int) -> tuple[Segment, ...]:
        """Return the segments of a person in order."""
        return tuple(each for each in self.segments if each.person == person)


@dataclass
class FrameCollector:
    """Collects the rows of one video in memory: a few numbers a face.

    Attributes:
        video: name of the video.
        classes: names of the K expressions.
    """

    video: str
    classes: tuple[str, ...]
    _times: list[float] = field(default_factory=list)
    _faces: list[tuple[float, int]] = field(default_factory=list)
    _probabilities: list[list[float]] = field(default_factory=list)

    def add(self, rows: Iterable[FaceResult]) -> None:
        """Add the rows of a frame; those without a time are ignored."""
        for row in rows:
            if row.time is None:
                continue
            if not self._times or row.time > self._times[-1]:
                self._times.append(row.time)
            if row.recognised and row.track is not None:
                self._faces.append((row.time, row.track))
                self._probabilities.append([row.probabilities[name] for name in self.classes])

    @property
    def frames(self) -> int:
        """Number of frames so far."""
        return len(self._times)

    def timeline(self, minimum_length: float = MINIMUM_LENGTH) -> Timeline:
        """Return the segments of everyone in the video; see :func:`segments`."""
        step = float(np.median(np.diff(self._times))) if len(self._times) > 1 else _USUAL_STEP
        duration = self._times[-1] + step if self._times else 0.0
        times = np.array([time for time, _ in self._faces], np.float64)
        tracks = np.array([track for _, track in self._faces], np.int64)
        probabilities = np.array(self._probabilities, np.float64).reshape(len(times), len(self.classes))
        found: list[Segment] = []
        short = 0
        for track in np.unique(tracks).tolist():
            own = tracks == track
            new = segments(times[own], probabilities[own], track, step, minimum_length)
            found += new
            short += not new
        return Timeline(self.video, self.classes, duration, step, tuple(found), short)


def segments(
    times: Floats, probabilities: Floats, person: int, step: float, minimum_length: float = MINIMUM_LENGTH
) -> list[Segment]:
    """Divide the frames of one person into segments of equal expression.

    A segment ends where the likeliest expression changes, or where the face is missing for more than ``LONGEST_GAP``.
    The shortest segment below the minimum length joins its longer neighbour, until there is none; where it has no
    neighbour, it is left out.

    Args:
        times: ``(N,)`` seconds, ascending.
        probabilities: ``(N, K)``, already smoothed over time or not.
        person: number of the track.
        step: seconds that a frame lasts.
        minimum_length: seconds; 0 keeps every segment.

    Returns:
        The segments in order. The probability of each is the mean over all of its frames, also over those of a segment
        that joined it.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.9, 0.1]])
        >>> found = segments(np.array([0.0, 0.5, 1.0, 1.5]), p, 1, 0.5, 0.0)
        >>> [(each.start, each.end, each.expression, round(each.probability, 2)) for each in found]
        [(0.0, 1.0, 0, 0.85), (1.0, 1.5, 1, 0.7), (1.5, 2.0, 0, 0.9)]
        >>> [(each.start, each.end, round(each.probability, 3)) for each in segments(np.arange(4) / 2, p, 1, 0.5, 1.0)]
        [(0.0, 2.0, 0.725)]
    """
    if not len(times):
        return []
    chosen = probabilities.argmax(axis=1)
    gap = max(LONGEST_GAP, 1.5 * step)
    apart = np.diff(times) > gap
    starts = np.flatnonzero(np.r_[True, apart | (np.diff(chosen) != 0)])
    ends = np.r_[starts[1:], len(times)]
    scenes = np.cumsum(np.r_[0, apart])
    # First frame, frame after the last, expression, number of the uninterrupted scene.
    runs = [(int(a), int(b), int(chosen[a]), int(scenes[a])) for a, b in zip(starts, ends, strict=True)]

    def end_of(index: int) -> float:
        _, after, _, scene = runs[index]
        follows = index + 1 < len(runs) and runs[index + 1][3] == scene
        return float(times[after]) if follows else float(times[after - 1]) + step

    while runs:
        lengths = [end_of(index) - float(times[run[0]]) for index, run in enumerate(runs)]
        shortest = int(np.argmin(lengths))
        if lengths[shortest] >= minimum_length - 1e-9:
            break
        first, after, _, scene = runs[shortest]
        beside = [near for near in (shortest - 1, shortest + 1) if 0 <= near < len(runs) and runs[near][3] == scene]
        if not beside:
            del runs[shortest]
            continue
        winner = runs[max(beside, key=lambda near: lengths[near])][2]
        runs[shortest] = (first, after, winner, scene)
        runs = _joined(runs)
    return [
        Segment(person, float(times[a]), end_of(index), expression, float(probabilities[a:b, expression].mean()))
        for index, (a, b, expression, _) in enumerate(runs)
    ]


def _joined(runs: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Join neighbours of one expression in one scene."""
    joined: list[tuple[int, int, int, int]] = []
    for run in runs:
        if joined and joined[-1][2:] == run[2:] and joined[-1][1] == run[0]:
            joined[-1] = (joined[-1][0], run[1], *run[2:])
        else:
            joined.append(run)
    return joined
