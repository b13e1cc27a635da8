"""The process of an adaptation that the page started: ``python -m dcdan.app.adaptation_process``.

Its first line of input is the request as JSON. Its output is a JSON object a line: ``plan``, ``progress``, and at the
end ``done`` or ``error``. When its input ends, the server has gone or wants it to stop: it saves and ends, and the same
request goes on later.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO


def main(source: TextIO, sink: TextIO) -> int:
    """Do what the first line of ``source`` asks for.

    Returns:
        The exit code.
    """
    from dcdan.adaptation.folder import OutputRun
    from dcdan.adaptation.job import adapt_to_faces, continue_with_labels
    from dcdan.core.errors import DcdanError, OutputError

    def tell(kind: str, **content: Any) -> None:
        print(json.dumps({"kind": kind, **content}), file=sink, flush=True)

    asked = json.loads(source.readline())
    threading.Thread(target=_stop_at_end, args=(source,), daemon=True).start()
    out, done = Path(asked["out"]), 0

    def advanced(count: int, total: int) -> None:
        nonlocal done
        done += count
        tell("progress", done=done, total=total)

    try:
        if asked["labels"]:
            continue_with_labels(out, count=asked["count"], threads=asked["threads"], command="dcdan app")
        else:
            adapt_to_faces(
                OutputRun.model_validate(asked["settings"]),
                out,
                count=asked["count"] or 40,
                threads=asked["threads"],
                command="dcdan app",
                say=lambda text: tell("plan", text=text),
                advanced=advanced,
            )
    except DcdanError as error:
        tell("error", text=str(error), code=error.exit_code)
        return error.exit_code
    except OSError as error:
        tell("error", text=str(error), code=OutputError.exit_code)
        return OutputError.exit_code
    tell("done")
    return 0


def _stop_at_end(source: TextIO) -> None:
    source.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout))
