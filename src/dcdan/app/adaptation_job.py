"""One adaptation at a time, in a process of its own that ends when the server does and is resumed by the next request.

What was asked is in ``request.json`` of the run folder, so that a stopped adaptation is offered again after a restart.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcdan.adaptation.folder import PREDICTIONS, RUN, OutputRun, read_run
from dcdan.core.atomic_io import write_text
from dcdan.core.errors import OutputError, UsageError
from dcdan.core.limits import read_json

REQUEST = "request.json"
CHOICE = "choice.json"


@dataclass
class AdaptationJob:
    """A running or finished adaptation.

    Attributes:
        out: the run folder.
        changed: told the state after each change.
        done: pictures that are done.
        total: pictures in all; 0 while unknown.
        plan: what is tried and how long it takes, in a sentence.
        state: ``running``, ``done``, ``stopped`` or ``failed``.
        error: why it failed.
    """

    out: Path
    changed: Callable[[dict[str, Any]], None]
    done: int = 0
    total: int = 0
    plan: str = ""
    state: str = "running"
    error: str = ""
    _process: subprocess.Popen[str] | None = None
    _stopping: bool = False
    _finished: threading.Event = field(default_factory=threading.Event)

    def start(self, settings: OutputRun | None, count: int | None, threads: int | None) -> None:
        """Start the process.

        Args:
            settings: what to adapt to; None goes on with the labels of the run in ``out``.
            count: how many faces are drawn to be labelled; None for the usual number.
            threads: of ONNX Runtime and OpenCV.
        """
        asked = {
            "settings": None if settings is None else settings.model_dump(mode="json"),
            "out": str(self.out),
            "count": count,
            "threads": threads,
            "labels": settings is None,
        }
        if settings is not None:
            write_text(self.out / REQUEST, json.dumps(asked["settings"], indent=1) + "\n")
        command = [sys.executable, "-m", "dcdan.app.adaptation_process"]
        # A session of its own: Ctrl-C in the terminal reaches the server, which ends this process in order.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self) -> None:
        """Ask the process to save and end."""
        self._stopping = True
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; return whether it has come."""
        return self._finished.wait(seconds)

    def view(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {
            "run": str(self.out),
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "plan": self.plan,
            "error": self.error,
        }

    def _follow(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        assert process.stdin is not None
        finished = False
        with process.stdout:
            for line in process.stdout:
                try:
                    content = json.loads(line)
                except ValueError:
                    continue
                kind = content.get("kind")
                if kind == "plan":
                    self.plan = content["text"]
                elif kind == "progress":
                    self.done, self.total = content["done"], content["total"]
                elif kind == "error":
                    self.error = content["text"]
                elif kind == "done":
                    finished = True
                    continue
                self.changed(self.view())
        code = process.wait()
        if not process.stdin.closed:
            process.stdin.close()
        if finished and code == 0:
            self.state, self.error = "done", ""
        elif self._stopping:
            self.state, self.error = "stopped", ""
        else:
            self.state = "failed"
            self.error = self.error or f"The process of the adaptation ended (exit code {code}): start it again."
        self._finished.set()
        self.changed(self.view())


def run_folder(out: Path, settings: OutputRun) -> Path:
    """Return the folder of a run: the same for the same target, model and groups, so that a stopped one goes on.

    Example:
        >>> run_folder(Path("runs"), OutputRun(target="my photos")).name[:10]
        'my-photos-'
    """
    name = re.sub(r"[^\w]+", "-", Path(settings.target).name).strip("-")[:40] or "faces"
    asked = settings.model_dump_json(exclude={"shares"})
    return out / f"{name}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def unfinished(out: Path) -> list[dict[str, Any]]:
    """Return the requests of adaptations that were stopped before their end."""
    found = []
    for path in sorted(out.glob(f"*/{REQUEST}")):
        if (path.parent / RUN).is_file():
            continue
        try:
            found.append({"run": str(path.parent), **OutputRun.model_validate(read_json(path)).model_dump(mode="json")})
        except (OSError, ValueError):
            continue
    return found


def result(folder: Path) -> dict[str, Any]:
    """Return the verdict of a finished run, and each face before and after, changed ones first.

    Raises:
        UsageError: when the run is not finished.
        OutputError: when its predictions are gone.
    """
    settings, content = read_run(folder)
    try:
        with (folder / PREDICTIONS).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise OutputError(f"'{folder / PREDICTIONS}' is gone: adapt again.") from error
    faces = [
        {
            "row": number,
            "path": row["path"],
            "before": row["before"],
            "before_probability": float(row["before_probability"]),
            "after": row["expression"],
            "after_probability": float(row["probability"]),
            "changed": row["before"] != row["expression"],
        }
        for number, row in enumerate(row for row in rows if row["before"])
    ]
    faces.sort(key=lambda face: (not face["changed"], face["after_probability"]))
    keys = ("verdict", "faces", "changed_faces", "labels", "measured_accuracy", "shares_before", "shares_after")
    return {
        "run": str(folder),
        "target": settings.target,
        **{key: content.get(key) for key in keys},
        "without_face": sum(not row["before"] for row in rows),
        "rows": faces,
        "choice": choice(folder),
    }


def choose(folder: Path, taken: bool) -> None:
    """Record that a run's model was taken, or the old one kept."""
    write_text(folder / CHOICE, json.dumps({"choice": "take" if taken else "keep"}) + "\n")


def choice(folder: Path) -> str:
    """Return ``take``, ``keep`` or nothing."""
    try:
        found = read_json(folder / CHOICE)["choice"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found if found in ("take", "keep") else ""


def busy(job: AdaptationJob | None) -> None:
    """Raise an error while an adaptation runs.

    Raises:
        UsageError: when one does.
    """
    if job is not None and job.state == "running":
        raise UsageError("An adaptation is running: stop it, or wait for its end.")
