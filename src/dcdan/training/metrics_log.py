"""The progress of a run: ``log.jsonl`` always, TensorBoard where installed, and a progress bar on a terminal."""

from __future__ import annotations

import json
import os
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dcdan.core.atomic_io import write_text
from dcdan.core.console import Console
from dcdan.core.limits import read_log


class MetricsLog:
    """Appends records to ``log.jsonl`` and shows progress, as a context manager; without a folder it writes no file."""

    def __init__(self, folder: Path | None, quiet: bool) -> None:
        self.path = None if folder is None else folder / "log.jsonl"
        if self.path is not None and self.path.exists():
            self.rewrite(read_log(self.path))
        self.file = self.opened()
        self.console = Console(stderr=True, quiet=quiet)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not (self.console.is_terminal or self.console.is_jupyter),
        )
        self.board: Any = None
        if folder is not None and find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(folder / "tensorboard")  # type: ignore[no-untyped-call]

    def opened(self) -> IO[str] | None:
        """Open the log for appending.

        Returns:
            The file, or None without a folder.
        """
        return None if self.path is None else self.path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        """Start the progress display."""
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the progress display and close the files."""
        self.progress.stop()
        if self.file is not None:
            self.file.close()
        if self.board is not None:
            self.board.close()

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one record; numbers also go to TensorBoard.

        Args:
            kind: the kind of record, such as ``adaptation-epoch``.
            step: steps done in the stage.
            **values: JSON values of the record.
        """
        if self.file is not None:
            self.file.write(json.dumps({"kind": kind, "step": step, "time": round(time.time(), 3), **values}) + "\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.board.add_scalar(f"{kind}/{name}", value, step)

    def print_line(self, text: str) -> None:
        """Print one line above the progress bar.

        Args:
            text: the line.
        """
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print one line on standard error, also in a quiet run.

        Args:
            text: the line.
        """
        Console(stderr=True).print(f"dcdan: {text}", highlight=False, markup=False, soft_wrap=True)

    def rewind(self, stage: str, step: int) -> None:
        """Drop the records of a stage after a step; a resumed run writes them again.

        Args:
            stage: the stage; records whose kind begins with it are concerned.
            step: the last step whose records remain; -1 drops all.
        """
        if self.path is None or self.file is None:
            return
        self.file.close()
        self.rewrite([r for r in read_log(self.path) if not (r["kind"].startswith(stage) and r["step"] > step)])
        self.file = self.opened()

    def rewrite(self, records: list[dict[str, Any]]) -> None:
        """Rewrite the log with the given records only.

        Args:
            records: the records.
        """
        if self.path is not None:
            write_text(self.path, "".join(json.dumps(record) + "\n" for record in records))
