"""Stopping on request: a signal lets the step finish and everything be saved, and the error says how to go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dcdan.core.errors import DcdanError


class Interrupted(DcdanError):
    """The user or the system asked the work to stop; the same command goes on with it."""

    exit_code = 130


def stopped(out: Path) -> Interrupted:
    """Return the error for work on ``out`` that was stopped before its end."""
    return Interrupted(f"Stopped; everything is saved in '{out}': the same command goes on from there.")


def finish_or_stop(finished: bool, out: Path) -> None:
    """Raise when a stage was stopped early."""
    if not finished:
        raise stopped(out)


@contextmanager
def stoppable(wanted: bool = True) -> Iterator[threading.Event]:
    """Within the context, SIGINT and SIGTERM set the event instead of ending the process, so that a step can finish.

    A second Ctrl-C interrupts at once. Nothing is changed when it is not ``wanted``, or outside of the main thread, to
    which alone signals go.
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
    """Within the context, Ctrl-C and SIGTERM end the work on ``out`` at once.

    Raises:
        Interrupted: with the sentence that says how to go on, before a command-line library can turn the interrupt into
            a silent exit.
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
    """Within the context, SIGTERM interrupts as Ctrl-C does."""
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
