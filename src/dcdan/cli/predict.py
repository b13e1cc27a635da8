"""`dcdan predict`: a row for every face in pictures, folders, videos and cameras, without torch.

Also here is what the command shows: the first rows as a table, the progress, and the summary at the end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from dcdan.cli import options
from dcdan.cli.options import AlignChoice
from dcdan.core.errors import DataError, UsageError
from dcdan.core.sanitize import printable
from dcdan.core.signals import Interrupted

if TYPE_CHECKING:
    from dcdan.annotation.export import VideoExport
    from dcdan.faces.extract import Alignment
    from dcdan.images.inputs import Input, Inputs
    from dcdan.inference.model_card import Precision
    from dcdan.inference.predict import Step
    from dcdan.inference.table import FaceResult


SHOWN_ROWS = 50
_OTHER_COLUMNS = 57  # width of the table without its first column
_TIME_COLUMN = 11


class FirstRows:
    """Keeps the first rows, for a table of what is too much to show."""

    def __init__(self) -> None:
        self._rows: list[FaceResult] = []

    def add(self, step: Step) -> None:
        """Keep the results of a piece of work while there is room."""
        for result in step.rows():
            if len(self._rows) < SHOWN_ROWS:
                self._rows.append(result)

    def print(self, total: int) -> None:
        """Print the rows, and how many of the total are not among them."""
        if self._rows:
            _print_table(self._rows, total - len(self._rows))


@contextmanager
def progress(
    inputs: Inputs, every: int, *, shown: bool
) -> Iterator[tuple[Callable[[Step], None], Callable[[int], None]]]:
    """Show how far a run is.

    Args:
        inputs: what the run works on.
        every: of videos, only every n-th frame is analysed.
        shown: whether a bar is wanted.

    Yields:
        A function that counts a finished step, and one that is given the number of inputs that an earlier run has done.
        The bar counts inputs, or frames where there is one video or camera and nothing else.
    """
    from dcdan.core.console import progress_bar, watched
    from dcdan.images.video_reader import is_camera, is_video

    counted = shown and watched()
    paths = inputs.paths
    single = len(paths) == 1 and (is_camera(paths[0]) or is_video(paths[0])) and not os.path.isdir(paths[0])  # noqa: PTH112
    total: int | None = None
    if counted and single:
        total = _frames(paths[0], every)
    elif counted:
        total = sum(1 for _ in inputs)
    with progress_bar("frames" if single else "inputs", total, shown=shown) as advance:

        def count(step: Step) -> None:
            advance(len(step.results) if single else len(step.inputs))

        def begun(done: int) -> None:
            if done and shown:
                typer.echo(
                    f"dcdan: an earlier run has done {done} of the inputs; this one resumes after them.", err=True
                )
            if not single:
                advance(done)

        yield count, begun


def standard_output() -> IO[str]:
    """Return the standard output.

    Raises:
        OutputError: when the process was started without one.
    """
    from dcdan.core.errors import OutputError

    if sys.stdout is None:
        raise OutputError("The standard output is closed: give --out FILE.")
    return sys.stdout


def _frames(path: str, every: int) -> int | None:
    from dcdan.core.errors import DataError
    from dcdan.images.video_reader import is_camera, open_video

    if is_camera(path):
        return None
    try:
        with open_video(path) as video:
            return -(-video.expected // every) or None
    except DataError:
        return None


def _end_of(path: str, width: int) -> str:
    """Shorten a path from the left, where many are alike, and make it printable."""
    text = printable(path)
    return text if len(text) <= width else "…" + text[1 - width :]


def _print_table(rows: list[FaceResult], hidden: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from dcdan.core.console import Console

    console = Console()
    timed = any(row.time is not None for row in rows)
    room = max(12, console.width - _OTHER_COLUMNS - _TIME_COLUMN * timed)
    table = Table(box=SIMPLE_HEAD)
    for name in ("path", *(("time",) if timed else ()), "face", "status", "expression"):
        table.add_column(name, no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(_end_of(row.path, room)),
            *(("" if row.time is None else f"{row.time:.2f}",) if timed else ()),
            "" if row.face is None else str(row.face),
            Text(row.status, style="" if row.recognised else "yellow"),
            Text((row.expression or "") + (" ?" if row.unsure else ""), style="bold"),
            "" if row.probability is None else f"{row.probability:.3f}",
        )
    console.print(table)
    if hidden > 0:
        console.print(f"... and {hidden} more rows: give --out faces.csv or --json for all of them.")


class PrecisionChoice(StrEnum):
    """Values of ``--precision``."""

    FP32 = "fp32"
    INT8 = "int8"


class ExportChoice(StrEnum):
    """Values of ``--export``; see ``dcdan.annotation.export.ExportFormat``."""

    ELAN = "elan"
    PRAAT = "praat"
    BIDS = "bids"
    SRT = "srt"
    HTML = "html"
    JSON = "json"


_ALIGNMENT: dict[AlignChoice | None, Alignment | None] = {
    None: None,
    AlignChoice.AUTO: None,
    AlignChoice.MTCNN: "mtcnn",
    AlignChoice.NONE: "none",
}
_PRECISION: dict[PrecisionChoice, Precision] = {PrecisionChoice.FP32: "fp32", PrecisionChoice.INT8: "int8"}


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures, folders, 'globs', videos, cameras (camera:0, rtsp://...), zip files, @list.txt, - (stdin), "
            "URLs, packs, specs (ferplus:/data/FERPlus).",
        ),
    ],
    model: options.Model = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PATH", help="Write all rows to this .csv, .jsonl or .parquet file."),
    ] = None,
    json: options.Json = False,
    limit: options.Limit = None,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Of videos, analyse every n-th frame only.")] = 1,
    smooth: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Of videos, the time over which a face is averaged.")
    ] = 0.5,
    search: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Of videos, how often a whole frame is searched; 0: every frame."),
    ] = 0.0,
    align: options.Align = None,
    cropped: Annotated[bool, typer.Option("--cropped", help="Each picture is a crop of one face.")] = False,
    max_faces: Annotated[
        int | None, typer.Option("--max-faces", min=1, metavar="N", help="At most N faces a picture, the largest.")
    ] = None,
    min_size: Annotated[
        float, typer.Option("--min-size", min=0, metavar="PX", help="Leave out faces with a shorter side.")
    ] = 0.0,
    sets: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Add a column with a set of expressions that holds the true one in this share of faces, such as .9.",
        ),
    ] = None,
    actions: Annotated[
        bool,
        typer.Option("--actions", help="Add a column for each facial action that the model estimates well."),
    ] = False,
    precision: Annotated[
        PrecisionChoice | None,
        typer.Option(
            "--precision",
            metavar="fp32 | int8",
            help="int8 is smaller and faster, where the model has it.",
            show_default="fp32",
        ),
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    ray: options.Ray = None,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw boxes and expressions into pictures and videos in this new folder."),
    ] = None,
    export: Annotated[
        list[ExportChoice] | None,
        typer.Option(
            "--export",
            metavar="FORMAT",
            help="Of videos, also write segments of equal expression: elan, praat, bids, srt, or a summary by person: "
            "html, json. Repeatable.",
        ),
    ] = None,
    export_dir: Annotated[
        Path | None,
        typer.Option(
            "--export-dir", metavar="DIR", help="Where --export writes.", show_default="beside --out, or here"
        ),
    ] = None,
    min_segment: Annotated[
        float, typer.Option("--min-segment", min=0, metavar="SECONDS", help="Minimum length of a segment of --export.")
    ] = 0.25,
    show: Annotated[
        bool, typer.Option("--show", help="Show videos and cameras in a window; q or Esc in it stops.")
    ] = False,
    strict: options.Strict = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Recognise the expression of every face in pictures, folders, videos and cameras.

    Every input gives at least one row, with a status. With --out, the same command resumes a run that was stopped.
    """
    from dcdan.core.atomic_io import check_target, form_of
    from dcdan.inference.annotated_output import DrawnFolder, annotated, window
    from dcdan.inference.predict import action_columns, predict_to_file
    from dcdan.inference.predict import predict as run
    from dcdan.inference.recogniser import load
    from dcdan.inference.run_summary import overview
    from dcdan.inference.table import json_sink
    from dcdan.inference.video import WatchOptions
    from dcdan.jobs.cluster import Cluster
    from dcdan.jobs.resumable_job import job_folder

    _check_combination(paths, ray, "--draw" if draw is not None else "--show" if show else "")
    # A piece takes one core of a cluster; the number of threads can change the last digits.
    threads = threads or (None if ray is None else 1)
    form = None if out is None else form_of(out, json=json)
    resumed = False
    if out is not None:
        resumed = job_folder(out).exists()
        if not resumed:
            check_target(out, force=force)
    inputs = selected_inputs(paths, limit)
    alignment = alignment_of(align)
    if alignment is None and not cropped:
        alignment, cropped = framing_of(inputs.paths)
    recogniser = load(
        model,
        threads=threads,
        align=alignment,
        cropped=cropped,
        max_faces=max_faces,
        min_side=min_size,
        sets=sets,
        precision=_PRECISION[precision] if precision is not None else None,
        device=device,
    )
    shown_actions = action_columns(recogniser.info) if actions else ()
    watching = WatchOptions(every, smooth, max_faces, min_size, search)
    exported = None
    if export:
        where = export_dir or (out.parent if out is not None else Path())
        exported = video_export(export, where, inputs, recogniser.classes, min_segment, force=force or resumed)
    rows = FirstRows()
    damaged = 0
    with ExitStack() as stack:
        stack.enter_context(_interruptible(out))
        cluster = None if ray is None else stack.enter_context(Cluster(ray, threads=threads or 1, paths=paths))
        drawn = None if draw is None else stack.enter_context(DrawnFolder(draw, paths, force=force or resumed))
        shown = stack.enter_context(window()) if show else None
        advance, begun = stack.enter_context(progress(inputs, every, shown=not quiet and not (json and out is None)))

        def each(step: Step) -> None:
            nonlocal damaged
            damaged += bool(step.note)
            # Of a single input that cannot be opened, the note is the error at the end.
            if step.note and not quiet and not (step.results and len(paths) == 1):
                typer.echo(f"dcdan: {printable(step.note)}", err=True)
            if out is None and not json:
                rows.add(step)
            if exported is not None:
                exported.add(step)
                while exported.left_out and not quiet:
                    typer.echo(f"dcdan: {printable(exported.left_out.pop(0))}", err=True)
            if drawn is not None:
                drawn.add(step)
                while drawn.left_out:
                    typer.echo(f"dcdan: {printable(drawn.left_out.pop(0))}", err=True)
            if (
                shown is not None
                and step.frame is not None
                and not shown(annotated(step.frame.pixels, step.results[0]))
            ):
                signal.raise_signal(signal.SIGINT)
            advance(step)

        frames = draw is not None or show or (exported is not None and exported.wants_frames)
        if out is None or form is None:
            file = standard_output()
            summary = run(
                recogniser,
                inputs,
                json_sink(file, shown_actions) if json else None,
                watching=watching,
                frames=frames,
                cluster=cluster,
                each=each,
            )
        else:
            asked = {
                "align": alignment or "auto",
                "cropped": cropped,
                "limit": limit,
                "sets": sets,
                "precision": recogniser.precision,
                "device": recogniser.device,
                "threads": threads,
                "draw": None if draw is None else str(draw),
                **({"export": [*export, str(export_dir or ""), min_segment]} if export else {}),
            }
            summary = predict_to_file(
                recogniser,
                inputs,
                out,
                form,
                settings=asked,
                watching=watching,
                frames=frames,
                cluster=cluster,
                force=force,
                actions=shown_actions,
                each=each,
                begun=begun,
            )
    if out is None and not json:
        standard_output()
        rows.print(sum(summary.statuses.values()))
    if not quiet:
        left_out = inputs.left_out_sentence()
        counts, *others = overview(summary, recogniser.info, left_out)
        if not sys.stderr.isatty():
            others = [left_out] if left_out else []
        for line in others:
            typer.echo(printable(line), err=True)
        typer.echo(printable(counts + (f"; written to {out}" if out is not None else "")), err=True)
        if exported is not None and exported.written:
            typer.echo(printable(f"written: {', '.join(map(str, exported.written))}"), err=True)
    failed = sum(count for status, count in summary.statuses.items() if not status.was_read)
    if strict and (failed or damaged):
        first = f": {summary.failure}" if summary.failure else "."
        raise DataError(f"{max(failed, damaged)} of {summary.inputs} inputs failed (--strict){first}")


def video_export(
    formats: Sequence[ExportChoice],
    folder: Path,
    inputs: Inputs,
    classes: tuple[str, ...],
    minimum_length: float,
    *,
    force: bool,
) -> VideoExport:
    """Return what writes the files of ``--export``; see :class:`dcdan.annotation.export.VideoExport`."""
    from dcdan.annotation.export import ExportFormat, VideoExport

    chosen = [ExportFormat(each) for each in formats]
    return VideoExport(chosen, folder, inputs, classes, minimum_length=minimum_length, force=force)


def selected_inputs(paths: Sequence[str], limit: int | None = None) -> Inputs:
    """Return the inputs that the arguments of the command lead to, at most ``limit`` of them.

    Example:
        >>> [each.path for each in selected_inputs(["a.jpg", "b.jpg"], 1)]
        ['a.jpg']
    """
    from dcdan.images.inputs import find_inputs

    return find_inputs(paths, resolvers=[_data_inputs], limit=limit)


def _data_inputs(text: str) -> Iterator[Input] | None:
    """Return the inputs of a pack or data set; its modules are imported where a text may name one."""
    if not _may_be_data(text):
        return None
    from dcdan.packs.data_inputs import data_inputs

    return data_inputs(text)


def _may_be_data(text: str) -> bool:
    head = text.rpartition("?")[0] or text
    return ":" in text or "?" in text or head.endswith((".csv", ".parquet")) or os.path.isfile(f"{head}/pack.json")  # noqa: PTH113


def alignment_of(choice: AlignChoice | None) -> Alignment | None:
    """Return what ``--align`` asks for; None leaves it to the model.

    Example:
        >>> alignment_of(AlignChoice.NONE), alignment_of(AlignChoice.AUTO)
        ('none', None)
    """
    return _ALIGNMENT[choice]


def framing_of(texts: Sequence[str]) -> tuple[Alignment | None, bool]:
    """Return the alignment and ``cropped`` for inputs: faces of a pack are aligned, some data sets hold crops."""
    if not texts or not all(map(_may_be_data, texts)):
        return None, False
    from dcdan.packs.data_inputs import framing

    found = framing(texts)
    return ("none" if found == "aligned" else None), found == "cropped"


def _check_combination(paths: list[str], ray: str | None, pictures: str) -> None:
    """Raise UsageError for what must happen on this machine, where it cannot."""
    from dcdan.images.remote import is_url
    from dcdan.images.video_reader import is_camera

    if ray is not None and (camera := next(filter(is_camera, paths), None)):
        raise UsageError(f"{camera} works on this machine only: leave out --ray.")
    if pictures and (ray is not None or any(map(is_url, paths))):
        raise UsageError(f"{pictures} does not work with --ray or with a URL: leave one of them out.")


@contextmanager
def _interruptible(out: Path | None) -> Iterator[None]:
    """Say what becomes of ``out`` after Ctrl-C; entered first, so that the progress bar has ended by then."""
    try:
        yield
    except KeyboardInterrupt:
        if out is None:
            raise
        raise Interrupted(f"stopped before '{out}' was complete; the same command resumes the run.") from None
