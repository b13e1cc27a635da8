"""`dcdan predict`: a row for every face of pictures, folders, videos and cameras, without torch.

What `dcdan predict` shows: the first rows as a table, how far it is, and a standard output that may be closed.
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

from dcdan.core.errors import UsageError
from dcdan.core.sanitize import printable

if TYPE_CHECKING:
    from dcdan.faces.extract import Alignment
    from dcdan.inference.model_card import Precision
    from dcdan.inference.predict import Step
    from dcdan.inference.table import FaceResult


SHOWN_ROWS = 50
_OTHER_COLUMNS = 57  # width of the table without its first column
_TIME_COLUMN = 11

PIPE_CLOSED = 141
"""Exit code when the reader of the standard output has gone, as of a program that SIGPIPE has ended."""


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
    paths: Sequence[str], every: int, *, shown: bool
) -> Iterator[tuple[Callable[[Step], None], Callable[[int], None]]]:
    """Yield what counts a piece of work, and what is told how many inputs an earlier run has done.

    Inputs are counted; the frames where there is but one video or camera.
    """
    from dcdan.core.console import progress_bar, watched
    from dcdan.images.inputs import find_inputs
    from dcdan.images.video_reader import is_camera, is_video

    counted = shown and watched()
    single = len(paths) == 1 and (is_camera(paths[0]) or is_video(paths[0])) and not os.path.isdir(paths[0])  # noqa: PTH112
    total: int | None = None
    if counted and single:
        total = _frames(paths[0], every)
    elif counted:
        total = sum(1 for _ in find_inputs(paths))
    with progress_bar("frames" if single else "inputs", total, shown=shown) as advance:

        def count(step: Step) -> None:
            advance(len(step.results) if single else len(step.inputs))

        def begun(done: int) -> None:
            if done and shown:
                typer.echo(f"dcdan: an earlier run has done {done} of the inputs: going on from there.", err=True)
            if not single:
                advance(done)

        yield count, begun


@contextmanager
def standard_output() -> Iterator[IO[str]]:
    """Yield the standard output; a reader that has gone ends the program without a word, as it does others.

    Raises:
        OutputError: when the standard output is closed from the beginning.
    """
    from dcdan.core.errors import OutputError

    if sys.stdout is None:
        raise OutputError("The standard output is closed: give --out FILE.")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would be written, and fail again, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None


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


class AlignChoice(StrEnum):
    """Values of ``--align``."""

    AUTO = "auto"
    MTCNN = "mtcnn"
    NONE = "none"


class PrecisionChoice(StrEnum):
    """Values of ``--precision``."""

    FP32 = "fp32"
    INT8 = "int8"


_ALIGNMENT: dict[AlignChoice, Alignment | None] = {
    AlignChoice.AUTO: None,
    AlignChoice.MTCNN: "mtcnn",
    AlignChoice.NONE: "none",
}
_PRECISION: dict[PrecisionChoice, Precision] = {PrecisionChoice.FP32: "fp32", PrecisionChoice.INT8: "int8"}


def predict(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Pictures, folders, videos, cameras (camera:0).")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="RUN",
            help="Run folder of `dcdan adapt`, or the name of a model in the package.",
            show_default="the package's own",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write all rows to this .csv, .jsonl or .parquet file."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Of videos, only every n-th frame.")] = 1,
    smooth: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Of videos, over how long a face's answers are averaged.")
    ] = 0.5,
    search: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Of videos, how often a whole frame is searched; 0: always."),
    ] = 0.0,
    align: Annotated[
        AlignChoice, typer.Option("--align", help="Find and align faces (mtcnn), or take pictures as they are (none).")
    ] = AlignChoice.AUTO,
    cropped: Annotated[bool, typer.Option("--cropped", help="Each picture is a crop of one face.")] = False,
    max_faces: Annotated[
        int | None, typer.Option("--max-faces", min=1, metavar="N", help="At most N faces a picture, the largest.")
    ] = None,
    min_size: Annotated[
        float, typer.Option("--min-size", min=0, metavar="PX", help="Leave out faces with a shorter side.")
    ] = 0.0,
    sets: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Also the set of classes that holds the true one so often, such as .9."),
    ] = None,
    precision: Annotated[
        PrecisionChoice, typer.Option("--precision", help="int8 is smaller and faster, where the model has it.")
    ] = PrecisionChoice.FP32,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Threads (default: all).")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="local | ADDRESS",
            help="Work on a Ray cluster (auto, HOST:PORT), or on Ray of this machine's own (local).",
        ),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw the faces in, into this new folder."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show videos and cameras in a window; q or Esc in it stops.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no counts at the end.")] = False,
) -> None:
    """Recognise the expression of every face in pictures, folders, videos and cameras.

    With --out, a run that was stopped goes on where it was when the same command is given again.
    """
    from dcdan.core.atomic_io import check_target, form_of
    from dcdan.inference.annotated_output import DrawnFolder, annotated, window
    from dcdan.inference.predict import predict as run
    from dcdan.inference.predict import predict_to_file
    from dcdan.inference.recogniser import load
    from dcdan.inference.table import json_sink
    from dcdan.inference.video import WatchOptions
    from dcdan.jobs.cluster import Cluster
    from dcdan.jobs.resumable_job import job_folder

    _check_combination(paths, ray, "--draw" if draw is not None else "--show" if show else "")
    # A piece takes one core of a cluster; the number of threads can change the last digits.
    threads = threads or (None if ray is None else 1)
    form = None if out is None else form_of(out, json=json)
    going_on = False
    if out is not None:
        going_on = job_folder(out).exists()
        if not going_on:
            check_target(out, force=force)
    recogniser = load(
        model,
        threads=threads,
        align=_ALIGNMENT[align],
        cropped=cropped,
        max_faces=max_faces,
        min_side=min_size,
        sets=sets,
        precision=_PRECISION[precision],
    )
    watching = WatchOptions(every, smooth, max_faces, min_size, search)
    rows = FirstRows()
    with ExitStack() as stack:
        stack.enter_context(_interruptible(out))
        cluster = None if ray is None else stack.enter_context(Cluster(ray, threads=threads or 1, paths=paths))
        drawn = None if draw is None else stack.enter_context(DrawnFolder(draw, paths, force=force or going_on))
        shown = stack.enter_context(window()) if show else None
        advance, begun = stack.enter_context(progress(paths, every, shown=not quiet and not (json and out is None)))

        def each(step: Step) -> None:
            # Of a single input that cannot be opened, the note is the error at the end.
            if step.note and not quiet and not (step.results and len(paths) == 1):
                typer.echo(f"dcdan: {printable(step.note)}", err=True)
            if out is None and not json:
                rows.add(step)
            if drawn is not None:
                drawn.add(step)
            if (
                shown is not None
                and step.frame is not None
                and not shown(annotated(step.frame.pixels, step.results[0]))
            ):
                signal.raise_signal(signal.SIGINT)
            advance(step)

        frames = draw is not None or show
        if out is None or form is None:
            file = stack.enter_context(standard_output())
            summary = run(
                recogniser,
                paths,
                json_sink(file) if json else None,
                watching=watching,
                frames=frames,
                cluster=cluster,
                each=each,
            )
        else:
            asked = {
                "align": align,
                "cropped": cropped,
                "sets": sets,
                "precision": precision,
                "threads": threads,
                "draw": None if draw is None else str(draw),
            }
            summary = predict_to_file(
                recogniser,
                paths,
                out,
                form,
                settings=asked,
                watching=watching,
                frames=frames,
                cluster=cluster,
                force=force,
                each=each,
                begun=begun,
            )
    if out is None and not json:
        with standard_output():
            rows.print(sum(summary.statuses.values()))
    if not quiet:
        written = f"; written to {out}" if out is not None else ""
        typer.echo(printable(summary.sentence() + written), err=True)


def _check_combination(paths: list[str], ray: str | None, pictures: str) -> None:
    """Raise UsageError for what must happen on this machine, where it cannot."""
    from dcdan.images.remote import is_url
    from dcdan.images.video_reader import is_camera

    if ray is not None and (camera := next(filter(is_camera, paths), None)):
        raise UsageError(f"{camera} belongs to this machine: leave out --ray.")
    if pictures and (ray is not None or any(map(is_url, paths))):
        raise UsageError(f"{pictures} needs pictures on this machine and goes with no --ray and no URL: leave it out.")


@contextmanager
def _interruptible(out: Path | None) -> Iterator[None]:
    """Say what becomes of ``out`` after Ctrl-C; entered first, so that the progress bar has ended by then."""
    try:
        yield
    except KeyboardInterrupt:
        if out is None:
            raise
        from dcdan.cli.main import INTERRUPTED

        typer.echo(
            printable(f"dcdan: stopped before '{out}' was complete: the same command goes on from here."), err=True
        )
        raise typer.Exit(INTERRUPTED) from None
