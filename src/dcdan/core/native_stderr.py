"""Silence C libraries that write to the standard error of the process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_lock = threading.Lock()
_inside = 0
_saved = -1


@contextmanager
def muted_stderr() -> Iterator[None]:
    """Discard everything that is written to file descriptor 2 within the context.

    Several threads may be inside at once. Text that Python has buffered for ``sys.stderr`` is written first. If the
    descriptor cannot be replaced, nothing changes.

    Example:
        >>> import os
        >>> with muted_stderr():
        ...     _ = os.write(2, b"a warning of a C library")
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _saved
    with _lock:
        if _inside == 0:
            with suppress(OSError, ValueError, AttributeError):
                sys.stderr.flush()
            with suppress(OSError):
                _saved = os.dup(2)
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 2)
                os.close(nowhere)
        _inside += 1


def _leave() -> None:
    global _inside, _saved
    with _lock:
        _inside -= 1
        if _inside == 0 and _saved >= 0:
            with suppress(OSError):
                os.dup2(_saved, 2)
                os.close(_saved)
            _saved = -1
