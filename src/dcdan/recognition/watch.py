"""Faces of a video over time: found and recognised in batches of frames, then followed and smoothed frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dcdan.errors import UsageError
from dcdan.faces.extract import Face, large_enough
from dcdan.faces.likeness import looks
from dcdan.faces.status import Status
from dcdan.faces.tracking import Tracker
from dcdan.recognition.certainty import candidate_sets
from dcdan.recognition.results import FaceResult
from dcdan.recognition.search import Search
from dcdan.recognition.smoothing import Smoother
from dcdan.recognition.video import Frame, Video

T = TypeVar("T", covariant=True)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a video is looked at; see ``Recogniser.watch``.

    Raises:
        UsageError: when a value is impossible.
    """

    every: int = 1
    smooth: float = 0.5
    max_faces: int | None = None
    min_side: float = 0.0
    search: float = 0.0

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"every must be at least 1, not {self.every}.")
        if self.max_faces is not None and self.max_faces < 1:
            raise UsageError(f"max_faces must be at least 1, not {self.max_faces}.")
        for name in ("smooth", "min_side", "search"):
            if not 0 <= getattr(self, name) < inf:
                raise UsageError(f"{name} must be a number of 0 or more, not {getattr(self, name)}.")

    def chosen(self, faces: Sequence[Face]) -> list[Face]:
        """Return the faces of a frame that are wanted, the largest first."""
        return large_enough(faces, self.min_side)[: self.max_faces]


class Watch(Iterator[T]):
    """Answers about a video, one a frame that was looked at, in order; can be gone through once.

    Attributes:
        video: the open video: its rate, the frames read so far, and a warning when it has broken off.
    """

    def __init__(self, video: Video, answers: Iterator[T]) -> None:
        self.video = video
        self._answers = answers

    def __next__(self) -> T:
        return next(self._answers)

    @property
    def warning(self) -> str:
        """A sentence when the video has broken off before its end; empty until then."""
        return self.video.warning


@dataclass(frozen=True, slots=True)
class Eye:
    """What looks at the frames: every step of it works on a batch.

    Attributes:
        extract: pictures -> the faces of each, the largest first.
        near: pictures and the places of each -> the faces that are about there.
        name: (path, index, face) of many faces -> their results.
        unsure_below: a smoothed probability below this is unsure.
        candidate_from: a class with at least this smoothed probability is a candidate; None where none are asked for.
    """

    extract: Callable[[Sequence[NDArray[np.uint8]]], list[list[Face]]]
    near: Callable[[Sequence[NDArray[np.uint8]], Sequence[NDArray[np.float32]]], list[list[Face]]]
    name: Callable[[Sequence[tuple[str, int, Face]]], list[FaceResult]]
    unsure_below: float = 0.0
    candidate_from: float | None = None


def watched(
    video: Video, eye: Eye, options: WatchOptions, chunk: tuple[int, int]
) -> Iterator[tuple[Frame, list[FaceResult]]]:
    """Yield each frame that is looked at with its results.

    Args:
        video: an open video; it stays open.
        eye: finds and names faces.
        options: which frames and faces, and how smooth.
        chunk: at most so many frames and about so many pixels are in memory at once; a camera's frames go one by one.
    """
    tracker, smoother = Tracker(), Smoother(options.smooth)
    search = Search(eye.extract, eye.near, options.search)
    most, pixels = (1, 1) if video.camera else chunk
    for frames in in_chunks(video.frames(options.every), most, pixels):
        found = [options.chosen(own) for own in search.faces(frames)]
        flat = [(video.name, index, face) for own in found for index, face in enumerate(own)]
        results, seen = eye.name(flat), _looks([face for _, _, face in flat])
        start = 0
        for frame, own in zip(frames, found, strict=True):
            part = slice(start, start + len(own))
            start += len(own)
            boxes = np.array([face.box for face in own], np.float32).reshape(-1, 4)
            tracks = tracker.update(frame.time, boxes, seen[part])
            placed = [
                replace(result, frame=frame.index, time=frame.time, track=track)
                for result, track in zip(results[part], tracks.tolist(), strict=True)
            ]
            if options.smooth > 0 and placed:
                placed = smoothed(placed, frame.time, smoother, eye.unsure_below, eye.candidate_from)
            yield (
                frame,
                placed or [FaceResult(video.name, None, Status.NO_FACE, frame=frame.index, time=frame.time)],
            )


def smoothed(
    results: Sequence[FaceResult],
    time: float,
    smoother: Smoother,
    unsure_below: float = 0.0,
    candidate_from: float | None = None,
) -> list[FaceResult]:
    """Return the results of one frame with the probabilities of their tracks over time, which decide the expression."""
    classes = list(results[0].probabilities)
    single = np.array([list(result.probabilities.values()) for result in results])
    tracks = np.array([result.track for result in results], np.int64)
    lasting = smoother.update(time, tracks, single)
    best = lasting.argmax(axis=1).tolist()
    sets: list[tuple[str, ...]] = [()] * len(results)
    if candidate_from is not None:
        sets = candidate_sets(lasting.astype(np.float32), candidate_from, classes)
    return [
        replace(
            result,
            expression=classes[chosen],
            probability=row[chosen],
            probabilities=dict(zip(classes, row, strict=True)),
            unsure=row[chosen] < unsure_below,
            candidates=candidates,
        )
        for result, row, chosen, candidates in zip(results, lasting.tolist(), best, sets, strict=True)
    ]


def in_chunks(frames: Iterable[Frame], most: int, pixels: int) -> Iterator[list[Frame]]:
    """Yield the frames in lists that end at ``most`` frames or ``pixels`` pixels, whichever comes first."""
    chunk: list[Frame] = []
    held = 0
    for frame in frames:
        chunk.append(frame)
        held += frame.pixels.shape[0] * frame.pixels.shape[1]
        if len(chunk) >= most or held >= pixels:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def closing_after(video: Video, answers: Iterator[T]) -> Iterator[T]:
    """Yield the answers, and close the video after the last one, or when nobody waits for more."""
    with video:
        yield from answers


def _looks(faces: Sequence[Face]) -> NDArray[np.float32]:
    size = faces[0].pixels.shape[0] if faces else 1
    return looks(np.array([face.pixels for face in faces], np.uint8).reshape(-1, size, size, 3))
