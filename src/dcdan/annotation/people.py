"""What each person of a video shows: shares over time, first onsets, longest segments, rate of change, peaks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcdan.annotation.timeline import Segment, Timeline

PARTS = 10
"""Number of equal parts of the video for which shares are given."""


@dataclass(frozen=True)
class Peak:
    """The frame in which an expression of a person is most probable.

    Attributes:
        time: seconds from the beginning of the video.
        probability: 0..1.
        picture: the face as the bytes of a JPEG file; empty where frames were not kept.
    """

    time: float
    probability: float
    picture: bytes = b""


@dataclass(frozen=True)
class PersonSummary:
    """The expressions of one person over a video.

    Attributes:
        person: number of the track, from 1.
        first: seconds at which the person is first seen.
        last: seconds at which the person is last seen.
        seen: seconds with a face.
        shares: expression -> share of the time with a face, 0..1; the largest first.
        onsets: expression -> seconds of its first segment, in the order of time.
        longest: the longest segment.
        changes_per_minute: changes of the expression in a minute with a face, without those across a gap.
        over_time: ``(PARTS, K)`` seconds of each expression in each part of the video.
        peaks: expression -> its peak.
    """

    person: int
    first: float
    last: float
    seen: float
    shares: dict[str, float]
    onsets: dict[str, float]
    longest: Segment
    changes_per_minute: float
    over_time: NDArray[np.float64]
    peaks: dict[str, Peak]


def summarise_people(timeline: Timeline, peaks: dict[tuple[int, str], Peak] | None = None) -> tuple[PersonSummary, ...]:
    """Summarise each person of a video.

    Args:
        timeline: the segments of the video.
        peaks: (person, expression) -> peak; those of expressions without a segment are left out.

    Returns:
        One entry a person, those seen longest first.

    Example:
        >>> parts = (Segment(1, 0.0, 3.0, 0, 0.9), Segment(1, 3.0, 4.0, 1, 0.7))
        >>> (one,) = summarise_people(Timeline("a.mp4", ("neutral", "fear"), 4.0, 0.04, parts))
        >>> one.shares, one.onsets, one.changes_per_minute
        ({'neutral': 0.75, 'fear': 0.25}, {'neutral': 0.0, 'fear': 3.0}, 15.0)
    """
    found = [_person(timeline, person, timeline.of(person), peaks or {}) for person in timeline.people]
    return tuple(sorted(found, key=lambda each: (-each.seen, each.person)))


def _person(
    timeline: Timeline, person: int, own: Sequence[Segment], peaks: dict[tuple[int, str], Peak]
) -> PersonSummary:
    seconds = np.zeros(len(timeline.classes))
    for each in own:
        seconds[each.expression] += each.length
    seen = float(seconds.sum())
    names = [timeline.classes[index] for index in np.argsort(-seconds, kind="stable") if seconds[index] > 0]
    shares = {name: float(seconds[timeline.classes.index(name)]) / seen for name in names}
    onsets: dict[str, float] = {}
    for each in own:
        onsets.setdefault(timeline.classes[each.expression], each.start)
    changes = sum(
        after.expression != before.expression and after.start - before.end < 1e-6
        for before, after in itertools.pairwise(own)
    )
    return PersonSummary(
        person,
        own[0].start,
        own[-1].end,
        seen,
        shares,
        onsets,
        max(own, key=lambda each: each.length),
        60 * changes / seen,
        seconds_by_part(own, timeline.duration, len(timeline.classes)),
        {name: peaks[person, name] for name in names if (person, name) in peaks},
    )


def seconds_by_part(own: Sequence[Segment], duration: float, classes: int, parts: int = PARTS) -> NDArray[np.float64]:
    """Return the seconds of each expression in equal parts of a video.

    Args:
        own: segments.
        duration: length of the video in seconds.
        classes: number of classes K.
        parts: number of parts P.

    Returns:
        ``(P, K)`` seconds.

    Example:
        >>> seconds_by_part([Segment(1, 0.0, 3.0, 0, 1.0)], 4.0, 1, 2).tolist()
        [[2.0], [1.0]]
    """
    edges = np.linspace(0.0, max(duration, 1e-9), parts + 1)
    seconds = np.zeros((parts, classes))
    for each in own:
        inside = np.minimum(edges[1:], each.end) - np.maximum(edges[:-1], each.start)
        seconds[:, each.expression] += np.maximum(inside, 0.0)
    return seconds


def people_dict(timeline: Timeline, people: Sequence[PersonSummary]) -> dict[str, Any]:
    """Return a summary as JSON values.

    Args:
        timeline: the segments of the video.
        people: of :func:`summarise_people`.

    Returns:
        Values by name; times in seconds.
    """
    edges = np.linspace(0.0, timeline.duration, PARTS + 1)
    return {
        "schema": 1,
        "video": timeline.video,
        "duration": round(timeline.duration, 3),
        "classes": list(timeline.classes),
        "left_out_people": timeline.short,
        "people": [
            {
                "person": each.person,
                "first_seen": round(each.first, 3),
                "last_seen": round(each.last, 3),
                "seconds_seen": round(each.seen, 3),
                "shares": {name: round(share, 4) for name, share in each.shares.items()},
                "first_onsets": {name: round(time, 3) for name, time in each.onsets.items()},
                "longest_segment": _segment(timeline, each.longest),
                "changes_per_minute": round(each.changes_per_minute, 3),
                "over_time": [
                    {
                        "start": round(float(start), 3),
                        "end": round(float(end), 3),
                        "seconds": {
                            name: round(float(value), 3)
                            for name, value in zip(timeline.classes, row, strict=True)
                            if value > 0
                        },
                    }
                    for start, end, row in zip(edges[:-1], edges[1:], each.over_time, strict=True)
                ],
                "peaks": {
                    name: {"time": round(peak.time, 3), "probability": round(peak.probability, 4)}
                    for name, peak in each.peaks.items()
                },
                "segments": [_segment(timeline, segment) for segment in timeline.of(each.person)],
            }
            for each in people
        ],
    }


def _segment(timeline: Timeline, each: Segment) -> dict[str, Any]:
    return {
        "expression": timeline.classes[each.expression],
        "start": round(each.start, 3),
        "end": round(each.end, 3),
        "probability": round(each.probability, 4),
    }
