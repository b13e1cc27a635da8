"""Execution of a plan: one process for each stage or cell, as many at a time as there are devices.

Several machines may run the same plan in the same folder. Each stage and cell is locked by the process that trains it,
so each is trained once; a machine waits for the cells of others at the end.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dcdan.benchmark.cell import FAILED, cell_done, stage_done
from dcdan.benchmark.plan import Cell, Plan
from dcdan.benchmark.revision import PlanContext
from dcdan.benchmark.worker import BUSY, work
from dcdan.core.limits import read_json
from dcdan.core.locks import is_locked
from dcdan.core.signals import Interrupted, stoppable

_POLL_SECONDS = 1.0
_BUSY_SECONDS = 5.0
"""Pause before a stage or cell that another machine trains is checked again."""
_PRELOADED = "dcdan.benchmark.cell", "sklearn.linear_model"
_COMPILER = ("torch._inductor.compile_fx",)


@dataclass
class Queue:
    """Stages and cells in the order in which they run. A cell waits for its source stage and fails with it.

    Attributes:
        cells: the cells.
        out: folder of the benchmark.
        started: folders of what has been started.
        failed: folder of a stage or cell that failed -> the reason.
        busy: whether the last :meth:`next` passed over something that another process trains.
    """

    cells: Sequence[Cell]
    out: Path
    started: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """Folder -> why."""
    busy: bool = False

    def next(self) -> str | None:
        """Return the folder of a stage or cell that can start now and has not been tried; None when there is none."""
        self.busy = False
        locked: dict[str, bool] = {}
        for cell in self.cells:
            if cell_done(cell, self.out) or cell.folder in self.failed:
                continue
            stage = cell.stage.folder
            if stage in self.failed:
                self.failed[cell.folder] = f"its source stage failed: {self.failed[stage]}"
            elif stage_done(cell.stage, self.out):
                if cell.folder not in self.started and not self._locked(cell.folder, locked):
                    self.started.add(cell.folder)
                    return cell.folder
            elif stage not in self.started and not self._locked(stage, locked):
                self.started.add(stage)
                return stage
        return None

    def _locked(self, folder: str, known: dict[str, bool]) -> bool:
        """Return whether another process trains a stage or cell."""
        if folder not in known:
            known[folder] = is_locked(self.out / folder)
            self.busy |= known[folder]
        return known[folder]

    def left(self) -> int:
        """Return the number of cells that are neither finished nor failed."""
        return sum(not cell_done(cell, self.out) and cell.folder not in self.failed for cell in self.cells)


def run_plan(
    plan: Plan,
    cells: Sequence[Cell],
    context: PlanContext,
    out: Path,
    devices: Sequence[str],
    command: str,
    quiet: bool,
    show: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Train and score the cells that are not finished. Ctrl-C and SIGTERM let every process save first.

    Args:
        plan: the plan.
        cells: its cells.
        context: data and code of the training.
        out: folder of the benchmark.
        devices: a device for each process that may run at a time: "cpu" or the number of a CUDA device.
        command: the command that runs the plan, without ``--only``.
        quiet: show no progress.
        show: takes the command line of each cell when it starts. The cell's ``run.json`` holds it too.

    Returns:
        Folder of each cell that failed -> the reason.

    Raises:
        Interrupted: when the user stops it.
    """
    queue = Queue(cells, out)
    processes = prepared_context(devices)
    running: dict[BaseProcess, tuple[str, str]] = {}
    text = plan.model_dump_json()
    free = list(devices)
    names = {cell.folder for cell in cells}
    looked = 0.0
    with ExitStack() as stack:
        stop = stack.enter_context(stoppable())
        board = stack.enter_context(ProgressBoard(len(cells), quiet))
        while not stop.is_set():
            looking = bool(running) or not queue.busy or time.monotonic() - looked > _BUSY_SECONDS
            while looking and free and (folder := queue.next()) is not None:
                device = free.pop(0)
                line = cell_command(command, folder) if folder in names else command
                if folder in names:
                    show(line)
                process = processes.Process(target=work, args=(text, context, folder, out, line, device))
                process.start()
                running[process] = (folder, device)
            looked = time.monotonic() if looking else looked
            if not running:
                if not queue.busy:
                    break
                stop.wait(_POLL_SECONDS)
                continue
            wait([process.sentinel for process in running], timeout=_POLL_SECONDS)
            for ended in [process for process in running if not process.is_alive()]:
                folder, device = running.pop(ended)
                free.append(device)
                if ended.exitcode == BUSY:
                    queue.started.discard(folder)
                elif ended.exitcode not in (0, Interrupted.exit_code):
                    queue.failed[folder] = reason(out / folder, ended.exitcode)
            board.show(len(cells) - queue.left(), {folder: out / folder for folder, _ in running.values()})
        for left in running:
            left.terminate()
        for left in running:
            left.join()
        if stop.is_set():
            raise Interrupted(f"Stopped. Everything is saved in '{out}': the same command resumes.")
    return {cell.folder: queue.failed[cell.folder] for cell in cells if cell.folder in queue.failed}


def cell_command(command: str, folder: str) -> str:
    """Return the command line that runs one cell, with the source stage that it needs.

    Args:
        command: the command that runs the plan.
        folder: name of the cell.

    Example:
        >>> cell_command("dcdan benchmark plan.toml --out runs/a", "a-b-mobilenetv2-100-dann-0")
        'dcdan benchmark plan.toml --out runs/a --only a-b-mobilenetv2-100-dann-0'
    """
    return f"{command} --only {folder}"


def prepared_context(devices: Sequence[str]) -> ForkServerContext | SpawnContext:
    """Return a multiprocessing context whose processes have imported what training needs.

    Where the system cannot fork, processes are spawned. Each process selects its device and number of threads before
    either is used, so modules that initialise CUDA on import are imported beforehand only where all devices are "cpu".

    Args:
        devices: as in :func:`run_plan`.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED, *(_COMPILER if set(devices) == {"cpu"} else ())])
    return context


def reason(folder: Path, code: int | None) -> str:
    """Return why a process failed: its own message, or its exit code.

    Args:
        folder: folder of the stage or cell.
        code: exit code of the process.
    """
    try:
        return str(read_json(folder / FAILED)["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"its process ended with code {code} (out of memory?)"


class ProgressBoard:
    """Progress on a terminal: number of finished cells, and the step of each training.

    Args:
        total: number of cells.
        quiet: show nothing.
    """

    def __init__(self, total: int, quiet: bool) -> None:
        self.total = total
        self.quiet = quiet
        self.lines: dict[str, Any] = {}

    def __enter__(self) -> ProgressBoard:
        """Start the display, if standard error is a terminal."""
        import sys

        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from dcdan.core.console import Console

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        hidden = self.quiet or not sys.stderr.isatty()
        self.progress = Progress(*columns, console=Console(stderr=True), disable=hidden)
        self.progress.start()
        self.all = self.progress.add_task("cells", total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        """End the display."""
        self.progress.stop()

    def show(self, done: int, running: dict[str, Path]) -> None:
        """Update the display.

        Args:
            done: number of cells that are finished or failed.
            running: name of each training that runs -> its folder.
        """
        self.progress.update(self.all, completed=done)
        for name in [name for name in self.lines if name not in running]:
            self.progress.remove_task(self.lines.pop(name))
        for name, folder in running.items():
            if name not in self.lines:
                self.lines[name] = self.progress.add_task(name, total=None)
            step, rate = last_step(folder / "log.jsonl")
            self.progress.update(self.lines[name], description=f"{name} {rate}", completed=step)


def last_step(log: Path) -> tuple[int, str]:
    """Return the last step in a log and its rate as text. Only the end of the file is read.

    Args:
        log: a ``log.jsonl``.

    Returns:
        The step and, for example, ``source 82 faces/s``; 0 and an empty text where the log has none.
    """
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return 0, ""
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if "rate" in record:
            return int(record["step"]), f"{record['kind']} {record['rate']:.0f} faces/s"
    return 0, ""
