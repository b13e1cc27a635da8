"""Stopping on request: a signal lets the step finish and everything be saved, and the error says how to go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcdan.errors import DcdanError


class Interrupted(DcdanError):
    """The user or the system asked the run to stop; it can be resumed."""

    exit_code = 130


def finish_or_stop(finished: bool, out: Path) -> None:
    """Raise when a stage was stopped early."""
    if not finished:
        raise Interrupted(f"Stopped; everything is saved in '{out}': the same command goes on from there.")


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Within the context, SIGINT and SIGTERM set the event instead of ending the process, so that a step can finish."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
