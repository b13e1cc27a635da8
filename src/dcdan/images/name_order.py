"""External sorting of file names in constant memory: sorted runs are written to a temporary file and merged."""

from __future__ import annotations

import heapq
import io
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

# Number of names that are sorted in memory at a time, about 1.5 MB.
_RUN = 16_384
_BLOCK = 8_192


def in_order(names: Iterable[str]) -> Iterator[str]:
    """Yield file names in the order of :func:`sorted`; all names are read before the first one is yielded.

    Args:
        names: File names; they may contain any character except a slash and a null byte.

    Yields:
        The names in ascending order.

    Example:
        >>> list(in_order(["b.jpg", "a.jpg"]))
        ['a.jpg', 'b.jpg']
    """
    names = iter(names)
    first = sorted(itertools.islice(names, _RUN))
    if len(first) < _RUN:
        yield from first
        return
    with _scratch() as file:
        runs: list[tuple[int, int]] = []
        while first:
            start = file.tell()
            file.writelines(os.fsencode(name) + b"\0" for name in first)
            runs.append((start, file.tell()))
            first = sorted(itertools.islice(names, _RUN))
        yield from heapq.merge(*(_read(file, start, end) for start, end in runs))


def _scratch() -> IO[bytes]:
    """Return an anonymous temporary file, or a buffer in memory if none can be created."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return io.BytesIO()


def _read(file: IO[bytes], start: int, end: int) -> Iterator[str]:
    """Yield the names of one run; the runs share the file, so each seeks to its own offset."""
    rest = b""
    while start < end:
        file.seek(start)
        block = file.read(min(_BLOCK, end - start))
        start += len(block)
        *whole, rest = (rest + block).split(b"\0")
        yield from map(os.fsdecode, whole)
