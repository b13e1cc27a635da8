"""What `dcdan predict` shows: the first rows as a table, how far it is, and a standard output that may be closed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import typer

from dcdan.errors import printable

if TYPE_CHECKING:
    from dcdan.recognition.results import FaceResult
    from dcdan.recognition.steps import Step

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
    from dcdan.data.progress import progress_bar, watched
    from dcdan.recognition.inputs import find_inputs
    from dcdan.recognition.video import is_camera, is_video

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
    from dcdan.errors import OutputError

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
    from dcdan.errors import DataError
    from dcdan.recognition.video import is_camera, open_video

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

    from dcdan.terminal import Console

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
