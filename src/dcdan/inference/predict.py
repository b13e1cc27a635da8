"""Recognise the faces of images, folders, videos and cameras, one row per face, in constant memory.

The work is divided into steps, which run in this process or on a cluster; a table that is interrupted can be resumed.
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
from dcdan.core.errors import DataError, ModelError
from dcdan.core.signals import stoppable, stopped
from dcdan.datasets.listing import chunks
from dcdan.images.discover import holds_data, refuse_vanished
from dcdan.images.inputs import Input, InputKind, Inputs, find_inputs
from dcdan.images.status import Status
from dcdan.images.video_reader import VideoError, open_video
from dcdan.inference.model_card import ModelInfo
from dcdan.inference.recogniser import CHUNK_PICTURES, Recogniser
from dcdan.inference.resumable_table import ResumableTable
from dcdan.inference.run_summary import READ, RunSummary
from dcdan.inference.table import FaceResult, header_text, rows_text, write_parquet
from dcdan.inference.video import WatchOptions
from dcdan.jobs.cluster import Cluster
from dcdan.jobs.resumable_job import named_before, output_error


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """An analysed frame of a video.

    Attributes:
        video: The video.
        pixels: ``(H, W, 3) uint8`` RGB.
        rate: Analysed frames per second.
    """

    video: Input
    pixels: NDArray[np.uint8]
    rate: float


@dataclass(frozen=True, slots=True)
class Step:
    """A finished piece of work.

    Attributes:
        inputs: The inputs that it completes; none in the middle of a video.
        results: Results of each image in the order of ``inputs``, or of one video frame.
        note: A sentence on a fault of a video or camera; empty if there is none.
        frame: The video frame if frames were requested; None for images.
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
    """Yield the work on inputs step by step: blocks of images, and videos and cameras frame by frame.

    The results of a block depend on its inputs only, so they have the same digits on every machine. On a cluster, the
    steps of a video arrive together when the video is finished.

    Args:
        recogniser: The model.
        inputs: The inputs.
        watching: How videos are analysed.
        frames: Whether the steps of a video include the frame.
        cluster: Where to run the work; None for this process.

    Yields:
        The steps, in order.
    """
    if cluster is not None:
        for _, done in cluster.ordered(partial(_done, recogniser, watching), _pieces(inputs)):
            yield from done
        return
    for piece in _pieces(inputs):
        yield from _steps(recogniser, watching, piece, frames)


def _pieces(inputs: Iterable[Input]) -> Iterator[list[Input]]:
    """Yield blocks of images, and each video or camera separately."""
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
    """Recognise every image, video and camera under the paths and pass each result to ``sink`` immediately.

    Folders are searched recursively. A path that does not exist or is not an image yields one result with its status,
    and the others are still processed. Memory use does not depend on the number of images or frames.

    Args:
        recogniser: The model.
        paths: Paths, or the result of :func:`~dcdan.images.inputs.find_inputs`.
        sink: Called with each result.
        watching: How videos are analysed.
        frames: Whether the steps of a video include the frame.
        cluster: Where to run the work, with the same results in the same order but without frames; None for this
            process.
        each: Called after each step, before its results are passed to ``sink``.

    Returns:
        The counts of the run.

    Raises:
        DataError: No input could be read; raised after the last result.
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


def action_columns(info: ModelInfo) -> tuple[str, ...]:
    """Return the facial actions of a model that get a column with ``dcdan predict --actions``.

    Args:
        info: Description of the model.

    Returns:
        The actions that correlate with their teacher on held-out faces.

    Raises:
        ModelError: There are none; the message says why.
    """
    if not info.actions:
        raise ModelError(f"The model '{info.name}' does not estimate facial actions: leave out --actions.")
    if not info.shown_actions:
        reason = "none of its actions correlates enough" if info.action_correlations else "they were never compared"
        raise ModelError(
            f"The facial actions of '{info.name}' cannot be shown, as {reason} with their teacher on held-out faces:"
            " leave out --actions."
        )
    return info.shown_actions


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
    actions: Sequence[str] = (),
    each: Callable[[Step], None] | None = None,
    begun: Callable[[int], None] | None = None,
) -> RunSummary:
    """Recognise every image, video and camera under the paths and write one file, which appears when it is complete.

    An interrupted run resumes after its last complete step (a block of images or a video) if it is repeated with the
    same paths, model and settings and the processed files have not changed. The file is then identical, byte for byte,
    to that of an uninterrupted run.

    Args:
        recogniser: The model.
        paths: Paths of images, folders, videos and cameras, or the result of :func:`~dcdan.images.inputs.find_inputs`.
        out: The file to write.
        form: CSV, JSON lines or Parquet.
        settings: JSON values that affect the results, in addition to the paths, the model and ``watching``.
        watching: How videos are analysed.
        frames: Whether the steps of a video include the frame.
        cluster: Where to run the work, then without frames; a run without a cluster can be resumed with one.
        force: Whether an existing file may be replaced.
        actions: Facial actions of the model that get a column; see :func:`action_columns`.
        each: Called after each step, before it is counted.
        begun: Called once with the number of inputs that an earlier run completed.

    Returns:
        The counts of the run, including an earlier part.

    Raises:
        OutputError: The file exists or cannot be written, or another process is writing it.
        DataError: No input could be read (then no file is written), or a folder vanished meanwhile.
        Interrupted: SIGINT or SIGTERM requested a stop; the last complete step is saved.
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
        "actions": list(actions),
        "settings": dict(settings or {}),
    }
    if (done := named_before(out, state)) is not None:
        return RunSummary.from_dict(done)
    check_target(out, force=force)
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
