"""The entry point of the ``dcdan`` program and of ``python -m dcdan``, as torchrun starts it.

A signal is answered with a sentence from the first moment, also while the modules of the program are imported, and
once the work is done it can no longer change the exit code.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

STOPPED = 130


def main() -> NoReturn:
    """Run the program with the arguments of the process, and end the process with its exit code."""
    code: int | None = None

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        # No exception: one that is raised within an import, or while the interpreter ends, prints a traceback.
        if code is None:
            os.write(2, b"dcdan: stopped.\n")
        os._exit(STOPPED if code is None else code)

    for number in (signal.SIGINT, signal.SIGTERM):
        # A program that is started with `nohup` or in the background of a script ignores signals on purpose.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)
    from dcdan.cli.main import run

    code = run()
    sys.exit(code)


if __name__ == "__main__":
    main()
