"""Console output: tables and one progress bar, safe against control characters in names and labels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from dcdan.core.sanitize import inert


class Console(RichConsole):
    """A rich console that prints control characters and bidirectional overrides in its text as escapes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable with their text escaped; rich's own control codes are unchanged."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=inert(segment.text))


def watched() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress_bar(what: str, total: int | None, done: int = 0, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr with the rate and the remaining time.

    Args:
        what: Text in front of the bar.
        total: Number of items; None if unknown, then no remaining time is shown.
        done: Items that were finished earlier.
        shown: Whether to show the bar at all; it never appears if stderr is not a terminal.

    Yields:
        A function that adds a number of finished items.

    Example:
        >>> with progress_bar("faces", 3, shown=False) as advance:
        ...     advance(1)
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
