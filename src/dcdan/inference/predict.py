"""Pictures, folders, videos and cameras in, a row for every face out, in memory that stays flat.

The work on inputs, piece by piece, in this process or on a cluster: so many pictures, a video or a camera.

Counts of a run, and what is said when nothing could be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcdan.core.atomic_io import Form, check_target
from dcdan.core.errors import DataError
from dcdan.core.signals import stoppable, stopped
from dcdan.datasets.listing import chunks
from dcdan.images.discover import holds_data, refuse_vanished
from dcdan.images.inputs import Input, InputKind, Inputs, find_inputs
from dcdan.images.status import Status
from dcdan.images.video_reader import VideoError, open_video
from dcdan.inference.recogniser import CHUNK_PICTURES, Recogniser
from dcdan.inference.resumable_table import ResumableTable
from dcdan.inference.run_summary import READ, RunSummary
from dcdan.inference.table import FaceResult, header_text, rows_text, write_parquet
from dcdan.inference.video import WatchOptions
from dcdan.jobs.cluster import Cluster
from dcdan.jobs.resumable_job import named_before, output_error


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
    for of_pictures, group in groupby(inputs, key=lambda each: each.kind is InputKind.PICTURE):
        yield from chunks(group, CHUNK_PICTURES if of_pictures else 1)


def _done(recogniser: Recogniser, watching: WatchOptions, piece: Sequence[Input]) -> list[Step]:
    return list(_steps(recogniser, watching, piece))


def _steps(
    recogniser: Recogniser, watching: WatchOptions, piece: Sequence[Input], frames: bool = False
) -> Iterator[Step]:
    if piece[0].kind is InputKind.PICTURE:
        yield Step(piece, [found.rows for found in recogniser.stream(each.source for each in piece)])
    else:
        yield from _video(recogniser, piece[0], watching, frames)


def _video(recogniser: Recogniser, each: Input, watching: WatchOptions, frames: bool) -> Iterator[Step]:
    try:
        video = open_video(each.path)
    except DataError as error:
        status = error.status if isinstance(error, VideoError) else Status.UNREADABLE
        yield Step([each], [[FaceResult(each.path, None, status)]], str(error))
        return
    with video, stoppable(video.camera) as stop:
        for frame, results in recogniser.watch(video, **asdict(watching), with_frames=True):
            seen = VideoFrame(each, frame.pixels, video.rate / watching.every) if frames else None
            yield Step([], [results.rows], frame=seen)
            if stop.is_set():
                break
        yield Step([each], [], video.warning)


Sink = Callable[[FaceResult], None]


def predict(
    recogniser: Recogniser,
    paths: Iterable[Path | str] | Inputs,
    sink: Sink | None = None,
    *,
    watching: WatchOptions | None = None,
    frames: bool = False,
    cluster: Cluster | None = None,
    each: Callable[[Step], None] | None = None,
) -> RunSummary:
    """Recognise every picture, video and camera that the paths lead to and hand each result to ``sink`` at once.

    Folders are walked through; a path that does not exist or is no picture gives one result with its status, and the
    others are still done. Memory does not grow with the number of pictures or frames. ``each`` is called after each
    piece of work, before its results go to the sink; with ``frames``, those of a video come with their frame. The work
    is done on the ``cluster`` where one is given; the results are the same, in the same order, but without frames.

    Raises:
        DataError: after the last result, when not one input could be read.
    """
    summary = RunSummary(face_size=recogniser.info.face.size)
    inputs = paths if isinstance(paths, Inputs) else find_inputs(str(path) for path in paths)
    for step in steps(recogniser, inputs, watching or WatchOptions(), frames, cluster):
        summary.add(step)
        if each is not None:
            each(step)
        if sink is not None:
            for result in step.rows():
                sink(result)
    summary.refuse_nothing()
    return summary


def predict_to_file(
    recogniser: Recogniser,
    paths: Sequence[Path | str] | Inputs,
    out: Path,
    form: Form = Form.CSV,
    *,
    settings: Mapping[str, Any] | None = None,
    watching: WatchOptions | None = None,
    frames: bool = False,
    cluster: Cluster | None = None,
    force: bool = False,
    each: Callable[[Step], None] | None = None,
    begun: Callable[[int], None] | None = None,
) -> RunSummary:
    """Recognise everything that the paths lead to into one file, which appears when all of it is there.

    A run that was stopped or killed goes on after its last whole piece of work, a chunk of pictures or a video, when
    it is asked for again with the same paths, model and settings and the files done have not changed; the file then
    has the very bytes of a run without a pause.

    Args:
        recogniser: the model at work.
        paths: pictures, folders, videos, cameras; or what :func:`find_inputs` made of them.
        out: the file to write.
        form: CSV, JSON lines or Parquet.
        settings: JSON values that the results depend on, beside the paths, the model and ``watching``.
        watching: how videos are looked at.
        frames: whether the work on a video comes with its frames.
        cluster: where the work is done, without frames then; a run begun without it may go on with it.
        force: replace a file of that name.
        each: called after each piece of work, before it counts.
        begun: called once with the number of inputs that an earlier run has done.

    Raises:
        OutputError: when the file exists, cannot be written, or another process is at work on it.
        DataError: when not one input could be read, then no file is written, or when a folder vanished meanwhile.
        Interrupted: when SIGINT or SIGTERM asked to stop; the last whole piece of work is saved.
    """
    inputs = paths if isinstance(paths, Inputs) else find_inputs(str(path) for path in paths)
    watching = watching or WatchOptions()
    given = inputs.paths
    state = {
        "paths": given,
        "folder": str(Path.cwd()),
        "form": form,
        "model": dict(recogniser.info.files),
        "classes": recogniser.classes,
        "watching": asdict(watching),
        "settings": dict(settings or {}),
    }
    if (done := named_before(out, state)) is not None:
        return RunSummary.from_dict(done)
    check_target(out, force=force)
    actions = recogniser.info.actions
    text = partial(rows_text, form, recogniser.classes, actions=actions)
    folders = [Path(path) for path in given if Path(path).is_dir() and holds_data(Path(path))]
    try:
        with closing(ResumableTable(out, state)) as table, stoppable() as stop:
            todo, notes = table.rest(lambda: iter(inputs))
            summary = RunSummary.from_dict(notes, recogniser.info.face.size)
            if begun is not None:
                begun(summary.inputs)
            if not notes:
                table.write(header_text(form, recogniser.classes, actions))
            for step in steps(recogniser, todo, watching, frames, cluster):
                if any(result.status not in READ for result in step.rows()):
                    refuse_vanished(folders)
                summary.add(step)
                if each is not None:
                    each(step)
                table.write(text(step.results))
                if step.inputs:
                    table.commit(step.inputs, summary.to_dict())
                if stop.is_set():
                    raise stopped(out)
            refuse_vanished(folders)
            if summary.nothing_read:
                table.discard()
            summary.refuse_nothing()
            convert = (
                partial(write_parquet, classes=recogniser.classes, actions=actions) if form is Form.PARQUET else None
            )
            table.finish(convert, force=force)
    except OSError as error:
        raise output_error(error, out) from error
    return summary
