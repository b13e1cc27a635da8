"""The console: tables and progress bars that no given text can drive.

The console on which tables and progress are shown: no text that it is given can drive the terminal.

A bar on stderr with rate and time left, where a person is watching.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from dcdan.core.sanitize import inert


class Console(RichConsole):
    """A console of rich that shows control and direction characters of names and labels as escapes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable, their text made inert; what rich itself says to the terminal stays."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=inert(segment.text))


def watched() -> bool:
    """Return whether stderr is a terminal, where somebody may be looking."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress_bar(what: str, total: int | None, done: int = 0, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts finished items; nothing is drawn when `shown` is false or stderr is no terminal.

    Without a total there is no time left.
    """
    if not (shown and watched()):
        yield lambda _: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, completed=done, rate="")

        def advance(count: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, advance=count, rate=f"{speed:.0f}/s" if speed else "")

        yield advance
