"""Graceful interruption: a signal lets the current step finish and save, and the error explains how to resume."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dcdan.core.errors import DcdanError


class Interrupted(DcdanError):
    """The user or the system stopped the work; running the same command again resumes it."""

    exit_code = 130


def stopped(out: Path) -> Interrupted:
    """Return the error for work on ``out`` that was stopped before its end."""
    return Interrupted(f"Stopped; everything is saved in '{out}': run the same command to resume.")


def finish_or_stop(finished: bool, out: Path) -> None:
    """Raise an error if a stage was stopped early.

    Args:
        finished: Whether the stage is complete.
        out: The output of the stage.

    Raises:
        Interrupted: The stage is not complete.
    """
    if not finished:
        raise stopped(out)


@contextmanager
def stoppable(wanted: bool = True) -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event within the context, so that the current step can finish.

    A second Ctrl-C interrupts immediately. Signal handlers are not changed if ``wanted`` is false or outside the main
    thread, because Python delivers signals to the main thread only.

    Args:
        wanted: Whether to handle signals at all.

    Yields:
        The event that a signal sets.
    """
    event = threading.Event()
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if number == signal.SIGINT and event.is_set():
            raise KeyboardInterrupt
        event.set()

    with _handled({signal.SIGINT: note, signal.SIGTERM: note}):
        yield event


@contextmanager
def interruptible(out: Path) -> Iterator[None]:
    """Raise :class:`Interrupted` immediately on Ctrl-C or SIGTERM within the context.

    Args:
        out: The output of the work; the message depends on whether it exists.

    Raises:
        Interrupted: A signal arrived. The error explains how to resume, and is raised before a command-line library can
            turn the interrupt into a silent exit.
    """
    try:
        with terminable():
            yield
    except KeyboardInterrupt:
        if out.exists():
            raise stopped(out) from None
        raise Interrupted(f"Stopped before anything was saved in '{out}'.") from None


@contextmanager
def terminable() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt within the context, as Ctrl-C does."""
    alone = threading.current_thread() is threading.main_thread()
    with _handled({signal.SIGTERM: signal.default_int_handler} if alone else {}):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
