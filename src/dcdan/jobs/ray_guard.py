"""End Ray's processes on this machine when the command that started them is killed.

On Linux, Ray's children end with the command, but the two agents below its node process wait for a minute for a server
that is gone. A small process of its own, started with the command, ends what is left. Elsewhere Ray starts such a
process itself. Ray ends the whole command where its object store is lost, without an exception that could be caught:
then this process also prints the sentence.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def ray_guard() -> Iterator[Callable[[str], None]]:
    """While the block runs, end the processes of a Ray session as soon as this process is gone.

    Yields:
        A function to be called with the session's folder once Ray has started.
    """
    if not sys.platform.startswith("linux"):
        yield lambda _: None
        return
    # The pipe closes when this process ends, however it ends. Isolated mode imports nothing but the standard library.
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    pipe = guard.stdin
    assert pipe is not None

    def started(folder: str) -> None:
        with suppress(BrokenPipeError):
            pipe.write(folder)
            pipe.flush()

    try:
        yield started
    finally:
        guard.kill()
        pipe.close()
        guard.wait()


def end_session(folder: str) -> None:
    """Kill the processes that have a file of a Ray session open; each has its log there.

    Args:
        folder: Folder of the session.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        # Processes of other users cannot be read, and some end in between.
        with suppress(OSError):
            names = [str(file.readlink()) for file in (entry / "fd").iterdir()]
            if any(name.startswith(f"{folder}/") for name in names):
                os.kill(int(entry.name), signal.SIGKILL)


if __name__ == "__main__" and (session := sys.stdin.read()):
    print("dcdan: Ray or a signal has ended the command: run the same command to resume.", file=sys.stderr)
    end_session(session)
