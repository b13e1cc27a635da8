"""The work on inputs, piece by piece, in this process or on a cluster: so many pictures, a video or a camera."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcdan.data.cluster import Cluster
from dcdan.data.listing import chunks
from dcdan.errors import DataError
from dcdan.faces.status import Status
from dcdan.recognition.inputs import Input, Kind
from dcdan.recognition.recogniser import CHUNK_PICTURES, Recogniser
from dcdan.recognition.results import FaceResult
from dcdan.recognition.video import open_video
from dcdan.recognition.watch import WatchOptions
from dcdan.stopping import stoppable


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A frame that was looked at: its video, its pixels (H, W, 3) uint8 RGB, and such frames a second."""

    video: Input
    pixels: NDArray[np.uint8]
    rate: float


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work that is done.

    Attributes:
        inputs: the inputs that end with it; none within a video.
        results: results of each picture, in the order of ``inputs``, or of a frame of a video.
        note: a sentence on what is wrong with a video or camera; empty when nothing is.
        frame: the frame of the video, where frames were asked for; None for pictures.
    """

    inputs: Sequence[Input]
    results: Sequence[Sequence[FaceResult]]
    note: str = ""
    frame: VideoFrame | None = None

    def rows(self) -> Iterator[FaceResult]:
        """Iterate over the results of all its inputs, in order."""
        return chain.from_iterable(self.results)


def steps(
    recogniser: Recogniser,
    inputs: Iterable[Input],
    watching: WatchOptions,
    frames: bool = False,
    cluster: Cluster | None = None,
) -> Iterator[Step]:
    """Yield the work on inputs piece by piece: pictures in blocks, videos and cameras frame by frame.

    A block depends on nothing but its inputs, so that its results have the same digits wherever it is done. Of a
    cluster, the steps of a video come at once, when it has ended.
    """
    if cluster is not None:
        for _, done in cluster.ordered(partial(_done, recogniser, watching), _pieces(inputs)):
            yield from done
        return
    for piece in _pieces(inputs):
        yield from _steps(recogniser, watching, piece, frames)


def _pieces(inputs: Iterable[Input]) -> Iterator[list[Input]]:
    """Yield blocks of pictures, and each video or camera alone."""
    for of_pictures, group in groupby(inputs, key=lambda each: each.kind is Kind.PICTURE):
        yield from chunks(group, CHUNK_PICTURES if of_pictures else 1)


def _done(recogniser: Recogniser, watching: WatchOptions, piece: Sequence[Input]) -> list[Step]:
    return list(_steps(recogniser, watching, piece))


def _steps(
    recogniser: Recogniser, watching: WatchOptions, piece: Sequence[Input], frames: bool = False
) -> Iterator[Step]:
    if piece[0].kind is Kind.PICTURE:
        yield Step(piece, list(recogniser.stream(each.source for each in piece)))
    else:
        yield from _video(recogniser, piece[0], watching, frames)


def _video(recogniser: Recogniser, each: Input, watching: WatchOptions, frames: bool) -> Iterator[Step]:
    try:
        video = open_video(each.path)
    except DataError as error:
        yield Step([each], [[FaceResult(each.path, None, _why_closed(each))]], str(error))
        return
    with video, stoppable(video.camera) as stop:
        for frame, results in recogniser.watch(video, **asdict(watching), with_frames=True):
            seen = VideoFrame(each, frame.pixels, video.rate / watching.every) if frames else None
            yield Step([], [results], frame=seen)
            if stop.is_set():
                break
        yield Step([each], [], video.warning)


def _why_closed(each: Input) -> Status:
    if each.kind is Kind.CAMERA or not Path(each.path).exists():
        return Status.MISSING
    return Status.EMPTY if Path(each.path).stat().st_size == 0 else Status.UNREADABLE
