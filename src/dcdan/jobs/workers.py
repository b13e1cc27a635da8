"""Process chunks of samples in worker processes, in order, with few chunks in memory at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from dcdan.core.errors import DataError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)

# A process takes about a second to start, which does not pay off for fewer chunks per process.
_CHUNKS_PER_WORKER = 4


class Work(Protocol[S_contra, T_co]):
    """The function that is applied to each chunk; it is pickled once per process."""

    def prepare(self, samples: Sequence[S_contra]) -> T_co:
        """Return the result for a chunk of samples."""


def prepared(
    work: Work[S, T], chunks: Iterator[list[S]], total: int, chunk: int, workers: int | None
) -> Iterator[tuple[list[S], T]]:
    """Yield each chunk with its result, in order.

    Args:
        work: Applied to each chunk.
        chunks: Lists of samples.
        total: Number of samples in all chunks.
        chunk: Maximum number of samples in a chunk.
        workers: Number of processes; None for one per core. A small number of samples is processed in this process.

    Yields:
        (samples, result) pairs.

    Raises:
        DataError: A worker process ended unexpectedly.

    Example:
        >>> class Lengths:
        ...     def prepare(self, samples):
        ...         return [len(sample) for sample in samples]
        >>> list(prepared(Lengths(), iter([["a", "bcd"]]), total=2, chunk=2, workers=1))
        [(['a', 'bcd'], [1, 3])]
    """
    wanted = workers if workers is not None else cores()
    count = min(wanted, total // (chunk * _CHUNKS_PER_WORKER))
    if count < 2:
        for samples in chunks:
            yield samples, work.prepare(samples)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(work,))
    waiting: deque[tuple[list[S], Future[T]]] = deque()
    with _OneThreadEach():
        try:
            for samples in chunks:
                waiting.append((samples, pool.submit(_prepare, samples)))
                if len(waiting) > 2 * count:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        except BrokenProcessPool:
            raise DataError(
                "A process ended before its time (out of memory, or a script without "
                "`if __name__ == '__main__':`): run it again with workers=1."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _OneThreadEach:
    """Limit each child to one thread: numerical libraries read these variables when they are imported."""

    _NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._NAMES}
        os.environ.update(dict.fromkeys(self._NAMES, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_work: Work[Any, Any] | None = None


def _begin(work: Work[Any, Any]) -> None:
    global _work
    import cv2

    cv2.setNumThreads(1)
    # Ctrl-C reaches the whole process group; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _work = work


def end_with_parent() -> None:
    """Wait for the parent process to end, then end this one; a killed parent cannot stop its children itself."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(samples: list[Any]) -> Any:
    assert _work is not None
    return _work.prepare(samples)
