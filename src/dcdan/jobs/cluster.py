"""Run work on a Ray cluster: each piece yields one result, in the order of the pieces, even if machines fail.

Ray schedules, transfers and retries the work. This module submits a bounded number of pieces at a time and returns the
results in order.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from dcdan import __version__
from dcdan.core.errors import (
    ClusterError,
    DataError,
    DcdanError,
    MissingExtraError,
    Unreachable,
    UsageError,
    first_line,
)
from dcdan.jobs.ray_guard import ray_guard
from dcdan.jobs.workers import cores

LOCAL = "local"
RETRIES = 5
_PATIENCE = 5.0

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class _Shipped(Generic[P, R]):
    """The work as it is sent to every machine, with the conditions that must hold there."""

    work: Callable[[P], R]
    folder: str
    paths: tuple[str, ...]
    version: str


class Cluster:
    """A connection to Ray for the duration of a ``with`` block; a connection that is already open is reused.

    Args:
        address: ``local`` starts Ray on this machine for this process only; ``auto`` or HOST:PORT is a running cluster
            that this machine belongs to.
        workers: Maximum number of pieces processed at once if ``address`` is ``local``; None for one per core.
        threads: Cores that each piece uses.
        paths: Files and folders that must exist at the same path on every machine.
    """

    def __init__(
        self, address: str, *, workers: int | None = None, threads: int = 1, paths: Sequence[str | Path] = ()
    ) -> None:
        self.address = address
        self.workers = workers
        self.threads = threads
        self.paths = tuple(str(path) for path in paths)
        self._ours: ExitStack | None = None

    def __enter__(self) -> Self:
        """Connect to Ray.

        Raises:
            MissingExtraError: Ray is not installed.
            UsageError: The address is malformed.
            ClusterError: No cluster answers at the address, it denies access, or Ray cannot start on this machine.
        """
        if self.address != LOCAL:
            _reach(self.address)
        elif "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
            # By default Ray listens on every network and runs anyone's code without a secret. It reads these once.
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        ray = _imported()
        if ray.is_initialized():
            return self
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if self.address == LOCAL:
            options |= {"include_dashboard": False, "num_cpus": max(self.workers or cores(), self.threads)}
        with ExitStack() as opened:
            started = opened.enter_context(ray_guard()) if self.address == LOCAL else None
            try:
                ray.init(address=self.address, **options)
            except Exception as error:  # Ray's components raise errors of their own when one of them does not start
                raise _unreachable(self.address, error) from error
            opened.callback(ray.shutdown)
            _silence()
            if started is not None:
                started(ray._private.worker._global_node.get_session_dir_path())
            self._ours = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self._ours.close()
            self._ours = None

    def ordered(self, work: Callable[[P], R], pieces: Iterable[P]) -> Iterator[tuple[P, R]]:
        """Yield each piece together with the result of ``work``.

        A piece that is lost with its process or machine, or that cannot download an image, is retried up to ``RETRIES``
        times. Each piece yields one result, however often it ran.

        Args:
            work: Called with one piece; it is pickled once and sent to every machine.
            pieces: The pieces of work.

        Yields:
            (piece, result) pairs in the order of ``pieces``.

        Raises:
            DcdanError: ``work`` raised this error.
            ClusterError: A piece was lost on every attempt, or the cluster has stopped.
        """
        ray = _imported()
        paths = tuple(path for path in self.paths if os.path.exists(path))  # noqa: PTH110  (Path() raises on some)
        shipped = [ray.put(_Shipped(work, str(Path.cwd()), paths, __version__))]
        task = ray.remote(_do).options(
            num_cpus=self.threads, max_retries=RETRIES, retry_exceptions=[Unreachable], scheduling_strategy="SPREAD"
        )
        waiting: deque[tuple[P, Any]] = deque()
        for piece in pieces:
            waiting.append((piece, task.remote(shipped, piece)))
            if len(waiting) > self._most():
                yield _taken(*waiting.popleft())
        while waiting:
            yield _taken(*waiting.popleft())

    def _most(self) -> int:
        """Return the maximum number of submitted pieces: twice the cores, so that an autoscaler sees the demand."""
        return 2 * int(_imported().cluster_resources().get("CPU", 0)) // self.threads + 2


def _taken(piece: P, answer: Any) -> tuple[P, Any]:
    ray = _imported()
    try:
        return piece, ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DcdanError):
            raise error.cause from None
        if isinstance(error.cause, ModuleNotFoundError):
            raise UsageError(
                f"A machine of the cluster lacks a package ({_line(error.cause)}): install the same dcdan there."
            ) from error
        raise
    except (ray.exceptions.LocalRayletDiedError, ConnectionError) as error:
        raise ClusterError(
            "Ray's process on this machine has ended: run the same command to resume, or leave out --ray."
        ) from error
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"A piece of the work was lost {RETRIES + 1} times with its process or machine ({_line(error)}): "
            "check the memory of the machines, then run the same command to resume."
        ) from error


def _do(shipped: list[Any], piece: Any) -> Any:
    return _received(shipped[0])(piece)


@lru_cache(maxsize=1)
def _received(reference: Any) -> Callable[[Any], Any]:
    """Unpack the work once per process and check that this machine has the same version and files."""
    import cv2

    shipped: _Shipped[Any, Any] = _imported().get(reference)
    host = socket.gethostname()
    if shipped.version != __version__:
        raise UsageError(
            f"The machine '{host}' has dcdan {__version__} and this one {shipped.version}: install the same."
        )
    with suppress(OSError):
        os.chdir(shipped.folder)
    for path in shipped.paths:
        if not os.path.exists(path):  # noqa: PTH110
            raise DataError(
                f"'{path}' is not on the machine '{host}' of the cluster: copy it to every machine, or give a URL."
            )
    cv2.setNumThreads(1)
    return shipped.work


def _reach(address: str) -> None:
    """Check that the address accepts connections; Ray itself would retry for minutes and then end the process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"'{address}' is no address of a Ray cluster: give local, auto or HOST:PORT.")
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ClusterError:
    if address == LOCAL:
        return ClusterError(f"Ray does not start on this machine ({_line(error)}): leave out --ray.")
    return ClusterError(
        f"There is no Ray cluster at '{address}' ({_line(error)}): "
        "start one with `ray start --head`, give its address, and its RAY_AUTH_TOKEN if it has one; or use --ray local."
    )


def _line(error: Exception) -> str:
    return first_line(error).rstrip(".")


def _silence() -> None:
    """Keep the logs of Ray's processes out of the standard output.

    Without ``log_to_driver``, Ray still prints the log of a process that ends. It has no setting for this.
    """
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError:
        raise MissingExtraError("--ray needs the package 'ray': pip install \"dcdan[ray]\".") from None
    return ray
