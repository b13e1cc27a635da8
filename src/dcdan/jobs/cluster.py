"""A Ray cluster at work: pieces in, results out in the order of the pieces and each once, whatever machine is lost.

Ray schedules, moves and repeats the work. Here pieces are asked for, a bounded number at a time, and taken in order.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
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
from dcdan.jobs.workers import cores

LOCAL = "local"
RETRIES = 5
_PATIENCE = 5.0

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class _Shipped(Generic[P, R]):
    """The work as it goes to every machine, with what must be alike there."""

    work: Callable[[P], R]
    folder: str
    paths: tuple[str, ...]
    version: str


class Cluster:
    """A connection to Ray for the length of a ``with`` block; one that the program has opened already is used.

    Args:
        address: ``local`` starts Ray on this machine, for this process alone; ``auto`` or HOST:PORT is a cluster that
            this machine is part of.
        workers: with ``local``, pieces at work at a time; None for one per core.
        threads: cores that a piece takes.
        paths: files and folders that every machine must see where this one does.
    """

    def __init__(
        self, address: str, *, workers: int | None = None, threads: int = 1, paths: Sequence[str | Path] = ()
    ) -> None:
        self.address = address
        self.workers = workers
        self.threads = threads
        self.paths = tuple(str(path) for path in paths)
        self._ours = False

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            MissingExtraError: Ray is not installed.
            UsageError: the address is none.
            ClusterError: there is no cluster at the address, it does not let us in, or Ray does not start here.
        """
        if self.address != LOCAL:
            _reach(self.address)
        elif "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
            # Ray listens on every network, and does what anybody asks who need not know a secret. It reads this once.
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        ray = _imported()
        if ray.is_initialized():
            return self
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if self.address == LOCAL:
            options |= {"include_dashboard": False, "num_cpus": max(self.workers or cores(), self.threads)}
        try:
            ray.init(address=self.address, **options)
        except Exception as error:  # Ray raises whatever its parts raise when one of them does not start
            raise _nobody(self.address, error) from error
        self._ours = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            _imported().shutdown()
            self._ours = False

    def ordered(self, work: Callable[[P], R], pieces: Iterable[P]) -> Iterator[tuple[P, R]]:
        """Yield each piece with what ``work``, which is pickled once, makes of it.

        A piece that is lost with its process or machine, or that cannot fetch a picture, is done again up to
        ``RETRIES`` times; an answer is taken once, so a piece that was done twice counts once.

        Raises:
            DcdanError: what the work raised.
            ClusterError: a piece was lost time after time, or the cluster has ended.
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
        """Return how many pieces are asked for at a time: twice the cores, so that an autoscaler sees need for more."""
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
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise ClusterError(
            f"A piece of the work was lost {RETRIES + 1} times with its process or machine ({_line(error)}): "
            "look at the memory of the machines, and repeat the command, which then goes on."
        ) from error


def _do(shipped: list[Any], piece: Any) -> Any:
    return _received(shipped[0])(piece)


@lru_cache(maxsize=1)
def _received(reference: Any) -> Callable[[Any], Any]:
    """Unpack the work, once in a process, and make sure that it will see here what it saw where it came from."""
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
                f"'{path}' is not on the machine '{host}' of the cluster: put it where all see it, or give a URL."
            )
    cv2.setNumThreads(1)
    return shipped.work


def _reach(address: str) -> None:
    """Make sure that somebody listens: Ray itself would try for minutes, and then end the process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"'{address}' is no address of a Ray cluster: give local, auto or HOST:PORT.")
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> ClusterError:
    if address == LOCAL:
        return ClusterError(f"Ray does not start on this machine ({_line(error)}): leave out --ray.")
    return ClusterError(
        f"There is no Ray cluster at '{address}' ({_line(error)}): "
        "start one with `ray start --head`, give its address, and its RAY_AUTH_TOKEN if it has one; or use --ray local."
    )


def _line(error: Exception) -> str:
    return first_line(error).rstrip(".")


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError:
        raise MissingExtraError("--ray needs the package 'ray': pip install \"dcdan[ray]\".") from None
    return ray
