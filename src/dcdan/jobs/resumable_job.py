"""An output folder in the making: `out.partial/`, held by one process at a time, renamed when all in it is there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from dcdan.core.atomic_io import fitting_name, sync_folder, write_error, write_text
from dcdan.core.errors import OutputError
from dcdan.core.limits import read_json
from dcdan.core.locks import try_lock

STATE, JOURNAL, OLD = "state.json", "journal.jsonl", "old"


def job_folder(out: Path) -> Path:
    """Return where an output is while it is being made."""
    return out.with_name(out.name + ".partial")


class ResumableJob:
    """The folder `out.partial`: `state.json` says what is being made, `pack/` becomes `out`, the journal is locked."""

    def __init__(self, out: Path, state: Mapping[str, Any]) -> None:
        """Open or begin the folder for what `state` describes (JSON values); something else is begun anew.

        Raises OutputError when the folder is not of our making, or when another process is at work in it.
        """
        self.out = out
        self.folder = job_folder(out)
        self.pack = self.folder / "pack"
        text = self._text = _text(state)
        if self.folder.exists() and not self._continues(text):
            self._discard_foreign()
        self.pack.mkdir(parents=True, exist_ok=True)
        if not (self.folder / STATE).exists():
            _write(self.folder / STATE, text)
        self._journal = (self.folder / JOURNAL).open("a+b")
        _lock(self._journal, self.folder)
        done_file(out).unlink(missing_ok=True)

    def publish(self, name: str, text: str) -> None:
        """Write the last file, and let the finished folder appear under its name at once, in place of an older one."""
        _write(self.pack / name, text)
        sync_folder(self.pack)
        if self.out.exists():
            shutil.rmtree(self.folder / OLD, ignore_errors=True)
            os.replace(self.out, self.folder / OLD)  # noqa: PTH105  (Path.replace says nothing of folders)
        self.name(self.pack)

    def name(self, whole: Path, notes: Mapping[str, Any] | None = None) -> None:
        """Let what is whole take the name of the output, and clean up; ``notes`` are for :func:`named_before`."""
        record = {"named": whole.stat().st_ino, "notes": dict(notes or {})}
        self._journal.write(json.dumps(record).encode("ascii") + b"\n")
        flush(self._journal)
        self.close()
        os.replace(whole, self.out)  # noqa: PTH105
        sync_folder(self.out.parent)
        _clear(self.folder, self.out, {**record, "state": self._text})

    def discard(self) -> None:
        """Remove what was written."""
        self.close()
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """Let go of the files; what is written stays for a later build to continue."""
        self._journal.close()

    def _continues(self, text: str) -> bool:
        try:
            return (self.folder / STATE).read_text(encoding="utf-8") == text
        except OSError:
            return False

    def _discard_foreign(self) -> None:
        known = {STATE, JOURNAL, OLD, "pack"}
        found = {child.name for child in self.folder.iterdir()} if self.folder.is_dir() else {self.folder.name}
        if found - known:
            raise OutputError(f"'{self.folder}' is in the way and no unfinished pack: move it or choose another --out.")
        if (self.folder / JOURNAL).exists():
            with (self.folder / JOURNAL).open("a+b") as journal:
                _lock(journal, self.folder)
        shutil.rmtree(self.folder)


def done_file(out: Path) -> Path:
    """Return the file that exists from when an output is whole until nothing else is left of its job."""
    return out.with_name(fitting_name(f".{out.name}.done"))


def named_before(out: Path, state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the notes of a process that had made ``out`` for this ``state`` and was killed while it cleaned up.

    What it left is removed.

    Returns:
        The notes given to :meth:`ResumableJob.name`; None when there was no such process.
    """
    folder = job_folder(out)
    text = _text(state)
    try:
        record = _done_record(out)
        if record is not None and record.get("state") == text and record.get("named") == out.stat().st_ino:
            _clear(folder, out, None)
            return dict(record["notes"])
        if (folder / STATE).read_text(encoding="utf-8") != text:
            return None
        with (folder / JOURNAL).open("a+b") as journal:
            _lock(journal, folder)
            journal.seek(0)
            record = json.loads(deque(journal, 1).pop())
            if record.get("named") != out.stat().st_ino:
                return None
            _clear(folder, out, {**record, "state": text})
    except (OSError, ValueError, IndexError, KeyError):
        return None
    return dict(record["notes"])


def _done_record(out: Path) -> dict[str, Any] | None:
    try:
        record = read_json(done_file(out))
    except FileNotFoundError:
        return None
    return record if isinstance(record, dict) else None


def output_error(error: OSError, out: Path) -> OutputError:
    """Return the sentence for a disk that is full or cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"No space is left for '{out}': free some and repeat the command, which then goes on.")
    return write_error(error, out)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        flush(file)


def flush(file: IO[Any]) -> None:
    """Bring to the disk what was written."""
    file.flush()
    os.fsync(file.fileno())


def _text(state: Mapping[str, Any]) -> str:
    return json.dumps(dict(state), sort_keys=True)


def _clear(folder: Path, out: Path, record: Mapping[str, Any] | None) -> None:
    """Remove the folder of a finished output; meanwhile its record is a file of its own, which is removed last.

    The output is whole, so what cannot be removed now is left for the next run.
    """
    with suppress(OSError, OutputError):
        if record is not None:
            write_text(done_file(out), json.dumps(record))
        if folder.exists():
            shutil.rmtree(folder)
        done_file(out).unlink()


def _lock(file: IO[bytes], folder: Path) -> None:
    """Hold the journal for this process."""
    if not try_lock(file):
        file.close()
        raise OutputError(f"Another process is building in '{folder}': wait for it, or choose another --out.")
