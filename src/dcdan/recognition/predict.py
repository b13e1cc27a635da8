"""Pictures, folders, videos and cameras in, a row for every face out, in memory that stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from dcdan.data.cluster import Cluster
from dcdan.data.partial import named_before, output_error
from dcdan.data.vanished import holds_data, refuse_vanished
from dcdan.recognition.inputs import find_inputs
from dcdan.recognition.output import Form, check_target
from dcdan.recognition.recogniser import Recogniser
from dcdan.recognition.results import FaceResult
from dcdan.recognition.rows import header_text, rows_text, write_parquet
from dcdan.recognition.steps import Step, steps
from dcdan.recognition.tally import READ, Tally
from dcdan.recognition.unfinished import UnfinishedTable
from dcdan.recognition.watch import WatchOptions
from dcdan.stopping import stoppable, stopped

Sink = Callable[[FaceResult], None]


def predict(
    recogniser: Recogniser,
    paths: Iterable[Path | str],
    sink: Sink | None = None,
    *,
    watching: WatchOptions | None = None,
    frames: bool = False,
    cluster: Cluster | None = None,
    each: Callable[[Step], None] | None = None,
) -> Tally:
    """Recognise every picture, video and camera that the paths lead to and hand each result to ``sink`` at once.

    Folders are walked through; a path that does not exist or is no picture gives one result with its status, and the
    others are still done. Memory does not grow with the number of pictures or frames. ``each`` is called after each
    piece of work, before its results go to the sink; with ``frames``, those of a video come with their frame. The work
    is done on the ``cluster`` where one is given; the results are the same, in the same order, but without frames.

    Raises:
        DataError: after the last result, when not one input could be read.
    """
    tally = Tally()
    inputs = find_inputs([str(path) for path in paths])
    for step in steps(recogniser, inputs, watching or WatchOptions(), frames, cluster):
        tally.add(step)
        if each is not None:
            each(step)
        if sink is not None:
            for result in step.rows():
                sink(result)
    tally.refuse_nothing()
    return tally


def predict_to_file(
    recogniser: Recogniser,
    paths: Sequence[Path | str],
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
) -> Tally:
    """Recognise everything that the paths lead to into one file, which appears when all of it is there.

    A run that was stopped or killed goes on after its last whole piece of work, a chunk of pictures or a video, when
    it is asked for again with the same paths, model and settings and the files done have not changed; the file then
    has the very bytes of a run without a pause.

    Args:
        recogniser: the model at work.
        paths: pictures, folders, videos, cameras.
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
    given, watching = [str(path) for path in paths], watching or WatchOptions()
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
        return Tally.from_dict(done)
    check_target(out, force=force)
    text = partial(rows_text, form, recogniser.classes)
    folders = [Path(path) for path in given if Path(path).is_dir() and holds_data(Path(path))]
    try:
        with closing(UnfinishedTable(out, state)) as table, stoppable() as stop:
            todo, notes = table.rest(lambda: find_inputs(given))
            tally = Tally.from_dict(notes)
            if begun is not None:
                begun(tally.inputs)
            if not notes:
                table.write(header_text(form, recogniser.classes))
            for step in steps(recogniser, todo, watching, frames, cluster):
                if any(result.status not in READ for result in step.rows()):
                    refuse_vanished(folders)
                tally.add(step)
                if each is not None:
                    each(step)
                table.write(text(step.results))
                if step.inputs:
                    table.commit(step.inputs, tally.to_dict())
                if stop.is_set():
                    raise stopped(out)
            refuse_vanished(folders)
            if tally.nothing_read:
                table.discard()
            tally.refuse_nothing()
            convert = partial(write_parquet, classes=recogniser.classes) if form is Form.PARQUET else None
            table.finish(convert, force=force)
    except OSError as error:
        raise output_error(error, out) from error
    return tally
