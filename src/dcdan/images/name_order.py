"""Names in the order of `sorted`, however many: sorted runs go to a temporary file and are merged, in flat memory."""

from __future__ import annotations

import heapq
import io
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

# So many names at a time are sorted in memory, about 1.5 MB of them.
_RUN = 16_384
_BLOCK = 8_192


def in_order(names: Iterable[str]) -> Iterator[str]:
    """Yield file names in the order of `sorted`; all of them are read before the first one comes.

    A name may hold anything that a file's name can: no slash and no zero byte, whatever else.
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
    """Return a temporary file without a name, or memory where the system has no room for one."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return io.BytesIO()


def _read(file: IO[bytes], start: int, end: int) -> Iterator[str]:
    """Yield the names of one run; the runs take turns with the file, so each knows its own place."""
    rest = b""
    while start < end:
        file.seek(start)
        block = file.read(min(_BLOCK, end - start))
        start += len(block)
        *whole, rest = (rest + block).split(b"\0")
        yield from map(os.fsdecode, whole)
