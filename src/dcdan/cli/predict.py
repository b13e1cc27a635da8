"""`dcdan predict`: a row for every face of files and folders, without torch."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dcdan.faces.extract import Alignment
    from dcdan.recognition.predict import Sink
    from dcdan.recognition.results import FaceResult

SHOWN_ROWS = 50
_OTHER_COLUMNS = 61  # width of the table without its first column


class AlignChoice(StrEnum):
    """Values of ``--align``."""

    AUTO = "auto"
    MTCNN = "mtcnn"
    NONE = "none"


_ALIGNMENT: dict[AlignChoice, Alignment | None] = {
    AlignChoice.AUTO: None,
    AlignChoice.MTCNN: "mtcnn",
    AlignChoice.NONE: "none",
}


def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Pictures and folders of pictures.")],
    model: Annotated[Path, typer.Option("--model", "-m", metavar="RUN", help="Run folder written by `dcdan adapt`.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write all rows to this CSV file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
    align: Annotated[
        AlignChoice, typer.Option("--align", help="Find and align faces (mtcnn), or take pictures as they are (none).")
    ] = AlignChoice.AUTO,
    cropped: Annotated[bool, typer.Option("--cropped", help="Each picture is a crop of one face.")] = False,
    max_faces: Annotated[
        int | None, typer.Option("--max-faces", min=1, metavar="N", help="At most N faces a picture, the largest.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Threads (default: all).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No counts at the end.")] = False,
) -> None:
    """Recognise the expression of every face in pictures and folders."""
    from dcdan.recognition.output import atomic_text, check_target
    from dcdan.recognition.predict import csv_sink, json_sink
    from dcdan.recognition.predict import predict as run
    from dcdan.recognition.recogniser import load

    if out is not None:
        check_target(out, force=force)
    recogniser = load(model, threads=threads, align=_ALIGNMENT[align], cropped=cropped, max_faces=max_faces)
    shown: list[FaceResult] = []
    with nullcontext(sys.stdout) if out is None else atomic_text(out, newline="") as file:
        sink: Sink
        if json:
            sink = json_sink(file)
        elif out is not None:
            sink = csv_sink(file, recogniser.classes)
        else:
            sink = _first_rows(shown)
        watched = not quiet and sys.stderr.isatty() and not (json and out is None)
        tally = run(recogniser, paths, _counted(sink) if watched else sink)
    if shown:
        _print_table(shown, hidden=sum(tally.statuses.values()) - len(shown))
    if not quiet:
        written = f"; written to {out}" if out is not None else ""
        typer.echo(tally.sentence() + written, err=True)


def _first_rows(rows: list[FaceResult]) -> Sink:
    def keep(result: FaceResult) -> None:
        if len(rows) < SHOWN_ROWS:
            rows.append(result)

    return keep


def _counted(sink: Sink) -> Sink:
    """Show on stderr how many rows there are so far, twice a second, on a line that the next one overwrites."""
    rows, shown_at = 0, time.monotonic()

    def count(result: FaceResult) -> None:
        nonlocal rows, shown_at
        sink(result)
        rows += 1
        if time.monotonic() - shown_at > 0.5:
            shown_at = time.monotonic()
            print(f"{rows:,} rows ...", end="\r", file=sys.stderr, flush=True)

    return count


def _end_of(path: str, width: int) -> str:
    """Shorten a path from the left, where many are alike, and make it printable."""
    text = path.encode(errors="backslashreplace").decode()
    return text if len(text) <= width else "…" + text[1 - width :]


def _print_table(rows: list[FaceResult], hidden: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    room = max(16, console.width - _OTHER_COLUMNS)
    table = Table(box=SIMPLE_HEAD)
    for name in ("path", "face", "status", "expression"):
        table.add_column(name, no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("decided by", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(_end_of(row.path, room)),
            "" if row.face is None else str(row.face),
            Text(row.status, style="" if row.recognised else "yellow"),
            Text(row.expression or "", style="bold"),
            "" if row.probability is None else f"{row.probability:.3f}",
            row.decided_by or "",
        )
    console.print(table)
    if hidden > 0:
        console.print(f"... and {hidden} more rows: give --out faces.csv or --json for all of them.")
