"""An output that is built in the folder `out.partial/` by one process at a time and renamed once it is complete."""

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
    """Return the folder in which an output is built.

    Example:
        >>> job_folder(Path("packs/faces")).name
        'faces.partial'
    """
    return out.with_name(out.name + ".partial")


class ResumableJob:
    """The folder `out.partial` of an unfinished output.

    `state.json` describes the output, `pack/` becomes `out`, and the locked `journal.jsonl` records the finished
    pieces.

    Args:
        out: The output.
        state: Describes the output in JSON values; an unfinished job with another state is discarded.

    Raises:
        OutputError: The folder contains unknown files, or another process is using it.
    """

    def __init__(self, out: Path, state: Mapping[str, Any]) -> None:
        """Open the folder of an unfinished job, or start a new one; see the class."""
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
        """Write the last file and rename the finished folder to ``out``, which replaces an older output.

        Args:
            name: Name of the last file.
            text: Its content.

        Raises:
            OSError: The file cannot be written or the folder cannot be renamed.
        """
        _write(self.pack / name, text)
        sync_folder(self.pack)
        if self.out.exists():
            shutil.rmtree(self.folder / OLD, ignore_errors=True)
            os.replace(self.out, self.folder / OLD)  # noqa: PTH105  (Path.replace is not documented for folders)
        self.name(self.pack)

    def name(self, whole: Path, notes: Mapping[str, Any] | None = None) -> None:
        """Rename a complete file or folder to ``out`` and remove the job folder.

        Args:
            whole: The complete file or folder.
            notes: JSON values that :func:`named_before` returns if the process is killed before the removal is
                complete.

        Raises:
            OSError: The rename failed.
        """
        record = {"named": whole.stat().st_ino, "notes": dict(notes or {})}
        self._journal.write(json.dumps(record).encode("ascii") + b"\n")
        flush(self._journal)
        self.close()
        os.replace(whole, self.out)  # noqa: PTH105
        sync_folder(self.out.parent)
        _clear(self.folder, self.out, {**record, "state": self._text})

    def discard(self) -> None:
        """Delete the job folder."""
        self.close()
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """Close the files; the folder remains, so that a later run can resume."""
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
    """Return the marker file that exists from the completion of an output until its job folder is removed.

    Args:
        out: The output.

    Returns:
        A hidden path beside the output.

    Example:
        >>> done_file(Path("faces.csv")).name
        '.faces.csv.done'
    """
    return out.with_name(fitting_name(f".{out.name}.done"))


def named_before(out: Path, state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Detect an output that a process completed before it was killed during cleanup, and finish the cleanup.

    Args:
        out: The output.
        state: The description of the output, as for :class:`ResumableJob`.

    Returns:
        The notes that were passed to :meth:`ResumableJob.name`, or None if there is no such output.
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
    """Convert the error of a failed write into one that explains what to do.

    Args:
        error: The error of the operating system.
        out: The output that was being written.

    Returns:
        The error to raise.

    Example:
        >>> str(output_error(OSError(errno.ENOSPC, "No space left on device"), Path("faces")))
        "No space is left for 'faces': free some space, then run the same command to resume."
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"No space is left for '{out}': free some space, then run the same command to resume.")
    return write_error(error, out)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        flush(file)


def flush(file: IO[Any]) -> None:
    """Write the buffered content of a file to the disk.

    Args:
        file: A file that is open for writing.
    """
    file.flush()
    os.fsync(file.fileno())


def _text(state: Mapping[str, Any]) -> str:
    return json.dumps(dict(state), sort_keys=True)


def _clear(folder: Path, out: Path, record: Mapping[str, Any] | None) -> None:
    """Remove the job folder of a finished output; the marker file protects this step and is removed last.

    The output is complete, so anything that cannot be removed now is left for the next run.
    """
    with suppress(OSError, OutputError):
        if record is not None:
            write_text(done_file(out), json.dumps(record))
        if folder.exists():
            shutil.rmtree(folder)
        done_file(out).unlink()


def _lock(file: IO[bytes], folder: Path) -> None:
    """Lock the journal for this process."""
    if not try_lock(file):
        file.close()
        raise OutputError(f"Another process is building in '{folder}': wait for it, or choose another --out.")
