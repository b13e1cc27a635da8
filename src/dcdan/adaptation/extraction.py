"""The answers of the start model on every face of a target, written piece by piece: a stopped run goes on from there.

``answers.jsonl`` has one line for each face, and one for each picture without a face, with probabilities unrounded.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcdan.adaptation.groups import GroupOf
from dcdan.core.errors import DataError
from dcdan.core.signals import stoppable, stopped
from dcdan.correction.arrays import Floats, checked_log
from dcdan.datasets.listing import chunks
from dcdan.images.inputs import Input, InputKind
from dcdan.inference.recogniser import CHUNK_PICTURES, Recogniser
from dcdan.inference.resumable_table import ResumableTable
from dcdan.inference.table import FaceResult, utf8_path
from dcdan.jobs.resumable_job import flush, named_before, output_error

ANSWERS = "answers.jsonl"
FACES = "faces.u8"


@dataclass(frozen=True)
class Answers:
    """What the start model says of N faces of a target.

    Attributes:
        paths: (N,) str, the picture of each face.
        faces: (N,) int64, which face of its picture.
        inputs: (N,) int64, the place of its picture among the inputs.
        groups: (N,) str, the group of each face, '' for none.
        log_probabilities: (N, K) float64.
        without: path and status of each picture without a face.
    """

    paths: NDArray[np.str_]
    faces: NDArray[np.int64]
    inputs: NDArray[np.int64]
    groups: NDArray[np.str_]
    log_probabilities: Floats
    without: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) int64: the class that the start model names."""
        return np.asarray(self.log_probabilities.argmax(1), np.int64)

    @property
    def different(self) -> int:
        """Number of faces that do not look the same to the model: copies of one picture count once."""
        return len(np.unique(np.round(self.log_probabilities, 4), axis=0))


def extract_answers(
    recogniser: Recogniser,
    inputs: Callable[[], Iterator[Input]],
    group_of: GroupOf,
    out: Path,
    state: Mapping[str, Any],
    advance: Callable[[int], None],
    ends: float | None = None,
    faces: Path | None = None,
) -> None:
    """Write ``out``: what the model says of each face of all pictures; what an earlier run has done is kept.

    Args:
        recogniser: the start model.
        inputs: yields the pictures, each time the same.
        group_of: names the group of an input.
        out: the file, which appears when it is whole.
        state: what it depends on, as JSON values.
        advance: told the number of pictures that are done.
        ends: time of the monotonic clock from which on no more pictures are begun.
        faces: file for the aligned faces, one after the other in the order of the answers; None to keep none.

    Raises:
        Interrupted: when SIGINT or SIGTERM asked to stop; the last whole piece is saved.
        OutputError: when the file cannot be written, or another process is at work on it.
    """
    if named_before(out, state) is not None:
        return
    try:
        with closing(ResumableTable(out, state)) as table, ExitStack() as files, stoppable() as stop:
            todo, notes = table.rest(inputs)
            done = int(notes.get("inputs", 0))
            kept = files.enter_context(closing(_KeptFaces(faces, int(notes.get("bytes", 0)))))
            advance(done)
            for piece in chunks(todo, CHUNK_PICTURES):
                if ends is not None and done and time.monotonic() > ends:
                    break
                results = recogniser.stream((each.source for each in piece), kept.add)
                for number, (each, found) in enumerate(zip(piece, results, strict=True)):
                    table.write("".join(_line(row, done + number, group_of(each)) for row in found.rows))
                done += len(piece)
                table.commit(piece, {"inputs": done, "bytes": kept.flushed()})
                advance(len(piece))
                if stop.is_set():
                    raise stopped(out.parent)
            table.finish()
    except OSError as error:
        raise output_error(error, out) from error


class _KeptFaces:
    """The file of aligned faces; what was written after the last whole piece is cut off."""

    def __init__(self, path: Path | None, size: int) -> None:
        self.file = None if path is None else path.open("r+b" if size else "wb")
        self.size = size
        if self.file is not None:
            self.file.truncate(size)
            self.file.seek(size)

    def add(self, faces: NDArray[np.uint8]) -> None:
        if self.file is not None:
            self.file.write(faces.tobytes())
            self.size += faces.nbytes

    def flushed(self) -> int:
        if self.file is not None:
            flush(self.file)
        return self.size

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


def open_faces(path: Path, count: int, side: int) -> NDArray[np.uint8] | None:
    """Return the kept faces of N answers, memory-mapped ``(N, S, S, 3) uint8``; None where they are not all there."""
    if count == 0 or not path.is_file() or path.stat().st_size != count * side * side * 3:
        return None
    return np.memmap(path, np.uint8, "r", shape=(count, side, side, 3))


def read_answers(path: Path, classes: tuple[str, ...]) -> Answers:
    """Read what :func:`extract_answers` has written.

    Raises:
        DataError: when the file is missing, damaged, or of a model with other classes.
    """
    try:
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        seen = [row for row in rows if row["p"]]
        probabilities = np.array([row["p"] for row in seen], np.float64).reshape(len(seen), len(classes))
        with np.errstate(divide="ignore"):
            z = checked_log(np.log(probabilities))
        return Answers(
            np.array([row["path"] for row in seen], np.str_),
            np.array([row["face"] for row in seen], np.int64),
            np.array([row["input"] for row in seen], np.int64),
            np.array([row["group"] for row in seen], np.str_),
            z,
            tuple((row["path"], row["status"]) for row in rows if not row["p"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{path}' cannot be read: delete it, and adapt again with --target.") from error


def pictures(found: Iterator[Input]) -> Iterator[Input]:
    """Yield the inputs that are pictures; videos and cameras are not adapted to."""
    return (each for each in found if each.kind is InputKind.PICTURE)


def nothing_found(answers: Answers) -> DataError:
    """Return the error for a target without one face."""
    counts = Counter(status for _, status in answers.without).most_common(4)
    seen = ", ".join(f"{count} {status}" for status, count in counts) or "no picture"
    return DataError(f"There is no face in the target ({seen}): give pictures that show faces.")


def _line(row: FaceResult, number: int, group: str) -> str:
    content = {
        "path": utf8_path(row.path),
        "face": row.face,
        "input": number,
        "group": utf8_path(group),
        "status": str(row.status),
        "p": list(row.probabilities.values()),
    }
    return json.dumps(content) + "\n"
