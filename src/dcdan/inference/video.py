"""Recognition in videos: faces are detected, recognised in batches of frames, tracked, and smoothed over time.

Some frames are searched completely; in the frames between, only the places near known faces are searched. Averaging the
class probabilities of each track over time prevents a single outlier frame from changing the expression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from dcdan.core.errors import UsageError
from dcdan.faces.boxes import overlaps
from dcdan.faces.extract import Face, large_enough
from dcdan.faces.tracking.appearance import appearance
from dcdan.faces.tracking.tracker import Tracker
from dcdan.images.status import Status
from dcdan.images.video_reader import Frame, Video
from dcdan.inference.answers import candidate_sets
from dcdan.inference.table import FaceResult, FaceResults

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# After this many time constants, a track has a weight below 5e-5 and is dropped.
_MEMORY = 10.0


class Smoother:
    """Exponential moving averages: frame ``i`` of a track has the weight ``w_i exp(-(t - t_i) / constant)``.

    The means are causal, and the time constant is in seconds: analysing every second frame changes the number of
    averaged frames, not the duration. After a lasting change of the face, 63 % of the mean is new after one time
    constant.
    """

    def __init__(self, constant: float) -> None:
        """Set up the filter.

        Args:
            constant: Time constant in seconds, at least 0; 0 disables smoothing.
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
        """Smooth the probabilities of the faces of the next frame.

        Args:
            time: Seconds; later than the previous frame.
            tracks: ``(n,) int64`` track of each face, all different.
            probabilities: ``(n, K)``, rows sum to 1.
            weights: ``(n,)`` positive weight of each face; None for equal weights.

        Returns:
            ``(n, K) float64`` smoothed probabilities, rows sum to 1.

        Example:
            >>> smoother = Smoother(1.0)
            >>> _ = smoother.update(0.0, np.array([1]), np.array([[1.0, 0.0]]))
            >>> smoother.update(1.0, np.array([1]), np.array([[0.0, 1.0]])).round(3).tolist()
            [[0.269, 0.731]]
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
        """Return the indices of the tracks in the table after old tracks are dropped and new ones are added."""
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


Pictures = Sequence[NDArray[np.uint8]]
Boxes = NDArray[np.float32]

_EARLY = 1e-3
"""Maximum rounding error of frame times in seconds."""


FULL_SEARCH_EVERY = 0.2
"""Seconds between two searches at full size if every frame is searched."""

REDUCED_SHARE = 1 / 14
"""In between, minimum size of a face relative to the shorter side of the frame (51 pixels in 720p)."""

NEIGHBOURS = 2
"""A face of a frame is also looked for in so many frames before and after it, if every frame is searched."""

SAME_FACE = 0.3
"""Intersection over union from which two boxes are the same face."""

HIDDEN = 0.1
"""Overlap with a found face, over the smaller of both areas, from which a face is not added. Both boxes are a tenth
larger on each side. Such a face is partly hidden, and its track would change over."""


class Search:
    """Finds the faces of frames that arrive in chunks; its state is the faces of the last frame.

    Some frames are searched at full size. In the frames between, the places of the faces in the full search before and
    after are searched, and, with a pause of 0, also the whole frame at a reduced size. A face between two full searches
    is missed only if it is near none of these places and, with a pause of 0, also small.
    """

    def __init__(
        self,
        extract: Callable[[Pictures], list[list[Face]]],
        detect_near: Callable[[Pictures, Sequence[Boxes], float | None], list[list[Face]]],
        pause: float,
    ) -> None:
        """Set up the search.

        Args:
            extract: Returns the faces of each image.
            detect_near: See :class:`FramePipeline`.
            pause: Seconds between two searches of a whole frame; 0 searches every frame.
        """
        self._extract, self._near = extract, detect_near
        self._reduced = pause == 0
        self._pause = FULL_SEARCH_EVERY if self._reduced else pause
        self._searched = -inf
        self._last = _boxes([])

    def faces(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """Return the faces of each of the next frames."""
        whole = [index for index, frame in enumerate(frames) if self._due(frame.time)]
        found = dict(zip(whole, self._extract([frames[index].pixels for index in whole]), strict=True))
        between = [index for index in range(len(frames)) if index not in found]
        if between:
            places = self._places(between, {index: _boxes(faces) for index, faces in found.items()})
            pictures = [frames[index].pixels for index in between]
            search_from = REDUCED_SHARE * min(pictures[0].shape[:2]) if self._reduced else None
            found |= zip(between, self._near(pictures, places, search_from), strict=True)
            if self._reduced:
                self._compare_neighbours(frames, between, found)
        ordered = [found[index] for index in range(len(frames))]
        self._last = _boxes(ordered[-1]) if ordered else self._last
        return ordered

    def _compare_neighbours(
        self, frames: Sequence[Frame], between: Sequence[int], found: dict[int, list[Face]]
    ) -> None:
        """Search the frames of ``between`` near faces that only their neighbours have, and add what is found."""
        steps = [step for step in range(-NEIGHBOURS, NEIGHBOURS + 1) if step]
        boxes = {index: _boxes(faces) for index, faces in found.items()}
        places = {}
        for index in between:
            others = np.concatenate([boxes.get(index + step, _boxes([])) for step in steps])
            lacking = others[~_covered(others, boxes[index])]
            if len(lacking):
                places[index] = lacking
        if not places:
            return
        again = self._near([frames[index].pixels for index in places], list(places.values()), None)
        for index, faces in zip(places, again, strict=True):
            new = ~_covered(_grown(_boxes(faces)), _grown(boxes[index]), "smaller", HIDDEN)
            every = [*found[index], *(face for face, wanted in zip(faces, new, strict=True) if wanted)]
            found[index] = sorted(every, key=lambda face: -float(np.prod(face.box[2:] - face.box[:2])))

    def _due(self, time: float) -> bool:
        # The time of a camera may decrease.
        due = not 0 <= time - self._searched < self._pause - _EARLY
        if due:
            self._searched = time
        return due

    def _places(self, between: Sequence[int], found: dict[int, Boxes]) -> list[Boxes]:
        """Return for each frame the boxes of the full search before it and of the one after it in the chunk."""
        places = []
        for index in between:
            before = max((other for other in found if other < index), default=None)
            after = min((other for other in found if other > index), default=None)
            earlier = self._last if before is None else found[before]
            if after is None:
                places.append(earlier)
                continue
            start = -1 if before is None else before
            moved = between_boxes(earlier, found[after], (index - start) / (after - start))
            places.append(np.concatenate([earlier, found[after], moved]))
        return places


def between_boxes(earlier: Boxes, later: Boxes, share: float) -> Boxes:
    """Interpolate the boxes of faces that move from one frame to another.

    Args:
        earlier: ``(m, 4) float32`` boxes of the first frame.
        later: ``(n, 4) float32`` boxes of the last frame; each is matched to the nearest earlier box within twice its
            side.
        share: Position between the two frames, 0..1.

    Returns:
        ``(k, 4) float32`` boxes, k <= n, of the faces that moved by more than a tenth of their side.

    Example:
        >>> one, other = np.array([[0, 0, 10, 10]], np.float32), np.array([[8, 0, 18, 10]], np.float32)
        >>> between_boxes(one, other, 0.5).tolist()
        [[4.0, 0.0, 14.0, 10.0]]
    """
    if not len(earlier) or not len(later):
        return _boxes([])
    centres, others = ((boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (earlier, later))
    away = np.linalg.norm(others[:, None] - centres[None], axis=2)
    nearest, sides = away.argmin(axis=1), (later[:, 2:] - later[:, :2]).max(axis=1)
    moved = (away.min(axis=1) <= 2 * sides) & (away.min(axis=1) > 0.1 * sides)
    return np.asarray((1 - share) * earlier[nearest[moved]] + share * later[moved], np.float32)


def _covered(
    boxes: Boxes, others: Boxes, measure: Literal["union", "smaller"] = "union", least: float = SAME_FACE
) -> NDArray[np.bool_]:
    """Return which boxes overlap one of the others by at least a share, by default as the same face does."""
    both = overlaps(np.concatenate([boxes, others]), measure)[: len(boxes), len(boxes) :]
    return np.asarray((both >= least).any(axis=1))


def _grown(boxes: Boxes) -> Boxes:
    """Return boxes that are a tenth larger on each side."""
    sides = (boxes[:, 2:] - boxes[:, :2]) / 10
    return np.concatenate([boxes[:, :2] - sides, boxes[:, 2:] + sides], 1)


def _boxes(faces: Sequence[Face]) -> Boxes:
    return np.array([face.box for face in faces], np.float32).reshape(-1, 4)


T = TypeVar("T", covariant=True)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a video is analysed; see ``Recogniser.watch``.

    Attributes:
        every: Analyse every n-th frame only.
        smooth: Time constant of the smoothing in seconds; 0 for none.
        max_faces: Maximum number of faces per frame, the largest first; None for all.
        min_side: Minimum shorter side of the box of a face in pixels.
        search: Seconds between two searches of a whole frame; 0 searches every frame.

    Raises:
        UsageError: A value is invalid.
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
        """Return the faces of a frame that satisfy the options, the largest first."""
        return large_enough(faces, self.min_side)[: self.max_faces]


class Watch(Iterator[T]):
    """An iterator over the results of each analysed frame of a video, in order; it can be consumed once.

    Attributes:
        video: The open video, with its rate, the number of frames read so far, and a warning if it is truncated.
    """

    def __init__(self, video: Video, answers: Iterator[T]) -> None:
        self.video = video
        self._answers = answers

    def __next__(self) -> T:
        return next(self._answers)

    @property
    def warning(self) -> str:
        """A sentence if the video is damaged or truncated; empty until the last frame was read."""
        return self.video.warning


@dataclass(frozen=True, slots=True)
class FramePipeline:
    """The functions that process the frames of a video, a batch at a time.

    Attributes:
        extract: Returns the faces of each image, the largest first.
        detect_near: Takes images, boxes for each, and the minimum face size for a search of the whole image (None for
            no search); returns the faces of each image.
        name: Returns the results of faces that are given as (path, index, face).
        unsure_below: A result with a smoothed probability below this is unsure.
        candidate_from: Minimum smoothed probability of a candidate class; None for no candidates.
    """

    extract: Callable[[Sequence[NDArray[np.uint8]]], list[list[Face]]]
    detect_near: Callable[[Pictures, Sequence[Boxes], float | None], list[list[Face]]]
    name: Callable[[Sequence[tuple[str, int, Face]]], list[FaceResult]]
    unsure_below: float = 0.0
    candidate_from: float | None = None


def watched(
    video: Video, pipeline: FramePipeline, options: WatchOptions, chunk: tuple[int, int]
) -> Iterator[tuple[Frame, FaceResults]]:
    """Yield each analysed frame with its results.

    Args:
        video: An open video; it is not closed.
        pipeline: Detects and recognises faces.
        options: How the video is analysed.
        chunk: Maximum number of frames, and approximate maximum number of pixels, in memory at once; the frames of a
            camera are processed one at a time.

    Yields:
        (frame, results) pairs.
    """
    tracker, smoother = Tracker(), Smoother(options.smooth)
    search = Search(pipeline.extract, pipeline.detect_near, options.search)
    most, pixels = (1, 1) if video.camera else chunk
    for frames in in_chunks(video.frames(options.every), most, pixels):
        every = search.faces(frames)
        found = [options.chosen(own) for own in every]
        flat = [(video.name, index, face) for own in found for index, face in enumerate(own)]
        results, seen = pipeline.name(flat), _looks([face for _, _, face in flat])
        start = 0
        for frame, own, all_faces in zip(frames, found, every, strict=True):
            part = slice(start, start + len(own))
            start += len(own)
            boxes = np.array([face.box for face in own], np.float32).reshape(-1, 4)
            tracks = tracker.update(frame.time, boxes, seen[part])
            placed = [
                replace(result, frame=frame.index, time=frame.time, track=track)
                for result, track in zip(results[part], tracks.tolist(), strict=True)
            ]
            if options.smooth > 0 and placed:
                placed = smoothed(placed, frame.time, smoother, pipeline.unsure_below, pipeline.candidate_from)
            without = replace(too_small_or_none(video.name, all_faces), frame=frame.index, time=frame.time)
            yield frame, FaceResults(placed, without)


def too_small_or_none(path: str, faces: Sequence[Face]) -> FaceResult:
    """Return the row of an image or frame without a large enough face.

    Args:
        path: Name of the image or video.
        faces: Faces that are too small, the largest first.

    Returns:
        A row with the status TOO_SMALL and the box of the largest face, or with the status NO_FACE.
    """
    if not faces:
        return FaceResult(path, None, Status.NO_FACE)
    x0, y0, x1, y1 = faces[0].box.tolist()
    return FaceResult(path, None, Status.TOO_SMALL, box=(x0, y0, x1, y1))


def smoothed(
    results: Sequence[FaceResult],
    time: float,
    smoother: Smoother,
    unsure_below: float = 0.0,
    candidate_from: float | None = None,
) -> list[FaceResult]:
    """Return the results of one frame with smoothed probabilities, which determine the expression.

    Args:
        results: Results of one frame; all have a track.
        time: Time of the frame in seconds.
        smoother: The filter.
        unsure_below: A result with a smoothed probability below this is unsure.
        candidate_from: Minimum smoothed probability of a candidate class; None for no candidates.

    Returns:
        The new results.
    """
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
    """Group frames into lists that end at ``most`` frames or ``pixels`` pixels, whichever comes first."""
    chunk: list[Frame] = []
    total = 0
    for frame in frames:
        chunk.append(frame)
        total += frame.pixels.shape[0] * frame.pixels.shape[1]
        if len(chunk) >= most or total >= pixels:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


def closing_after(video: Video, answers: Iterator[T]) -> Iterator[T]:
    """Yield the answers and close the video after the last one, or when the iteration is abandoned."""
    with video:
        yield from answers


def _looks(faces: Sequence[Face]) -> NDArray[np.float32]:
    size = faces[0].pixels.shape[0] if faces else 1
    return appearance(np.array([face.pixels for face in faces], np.uint8).reshape(-1, size, size, 3))
