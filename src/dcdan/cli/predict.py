"""`dcdan predict`: a row for every face of pictures, folders, videos and cameras, without torch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcdan.errors import UsageError, printable

if TYPE_CHECKING:
    from dcdan.faces.extract import Alignment
    from dcdan.recognition.model_file import Precision
    from dcdan.recognition.steps import Step


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
    from dcdan.cli.predict_shown import FirstRows, progress, standard_output
    from dcdan.data.cluster import Cluster
    from dcdan.data.partial import partial_folder
    from dcdan.recognition.drawn import window
    from dcdan.recognition.drawn_folder import DrawnFolder, annotated
    from dcdan.recognition.output import check_target, form_of
    from dcdan.recognition.predict import predict as run
    from dcdan.recognition.predict import predict_to_file
    from dcdan.recognition.recogniser import load
    from dcdan.recognition.rows import json_sink
    from dcdan.recognition.watch import WatchOptions

    _check_combination(paths, ray, "--draw" if draw is not None else "--show" if show else "")
    # A piece takes one core of a cluster; the number of threads can change the last digits.
    threads = threads or (None if ray is None else 1)
    form = None if out is None else form_of(out, json=json)
    going_on = False
    if out is not None:
        going_on = partial_folder(out).exists()
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
            tally = run(
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
            tally = predict_to_file(
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
            rows.print(sum(tally.statuses.values()))
    if not quiet:
        written = f"; written to {out}" if out is not None else ""
        typer.echo(printable(tally.sentence() + written), err=True)


def _check_combination(paths: list[str], ray: str | None, pictures: str) -> None:
    """Raise UsageError for what must happen on this machine, where it cannot."""
    from dcdan.faces.remote import is_url
    from dcdan.recognition.video import is_camera

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
        from dcdan.cli.app import INTERRUPTED

        typer.echo(
            printable(f"dcdan: stopped before '{out}' was complete: the same command goes on from here."), err=True
        )
        raise typer.Exit(INTERRUPTED) from None
