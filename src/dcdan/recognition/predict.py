"""Files and folders in, a row for every face out: to a CSV table, to JSON lines, or to whatever takes a result."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from dcdan.errors import DataError
from dcdan.faces.status import Status
from dcdan.recognition.pictures import find_sources
from dcdan.recognition.recogniser import Recogniser
from dcdan.recognition.results import FaceResult, columns

Sink = Callable[[FaceResult], None]

# Statuses of a picture that was read, whether or not a face was in it.
READ: frozenset[Status] = frozenset({Status.OK, Status.NOT_ALIGNED, Status.NO_FACE})

_REASONS: dict[Status, str] = {
    Status.MISSING: "does not exist",
    Status.EMPTY: "is empty or holds no picture",
    Status.NOT_AN_IMAGE: "is no JPEG, PNG, WebP, BMP or TIFF",
    Status.TOO_LARGE: "has too many pixels",
    Status.UNREADABLE: "is damaged or cannot be read",
}


@dataclass
class Tally:
    """Counts of a run: inputs, faces, rows by status and faces by expression."""

    inputs: int = 0
    faces: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    expressions: Counter[str] = field(default_factory=Counter)
    first_failure: FaceResult | None = None

    def add(self, results: Sequence[FaceResult]) -> None:
        """Count the results of one picture."""
        self.inputs += 1
        for result in results:
            self.statuses[result.status] += 1
            if result.expression is not None:
                self.faces += 1
                self.expressions[result.expression] += 1
            if result.status not in READ and self.first_failure is None:
                self.first_failure = result

    @property
    def nothing_read(self) -> bool:
        """Whether not one input was a picture that could be read."""
        return not any(status in READ for status in self.statuses)

    def sentence(self) -> str:
        """Return the counts in words, the common statuses first."""
        rows = ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())
        return f"{_plural(self.inputs, 'input')}, {_plural(self.faces, 'face')} recognised ({rows or 'nothing'})"


def predict(recogniser: Recogniser, paths: Iterable[Path], sink: Sink) -> Tally:
    """Recognise every picture that the paths lead to and hand each result to ``sink`` as soon as it is known.

    Folders are walked through; a path that does not exist or is no picture gives one result with its status, and the
    others are still done. Memory does not grow with the number of pictures.

    Raises:
        DataError: after the last result, when not one input could be read.
    """
    tally = Tally()
    for results in recogniser.stream(find_sources(paths)):
        tally.add(results)
        for result in results:
            sink(result)
    if tally.nothing_read:
        raise DataError(_why_nothing(tally))
    return tally


def csv_sink(file: IO[str], classes: Sequence[str]) -> Sink:
    """Write the header of a CSV table (RFC 4180) and return the sink that adds a row per result."""
    writer = csv.writer(file)
    writer.writerow(columns(classes))

    def write(result: FaceResult) -> None:
        writer.writerow(result.to_row(classes))

    return write


def json_sink(file: IO[str]) -> Sink:
    """Return the sink that writes each result as one line of JSON."""

    def write(result: FaceResult) -> None:
        file.write(json.dumps(result.to_dict()) + "\n")

    return write


def _why_nothing(tally: Tally) -> str:
    first = tally.first_failure
    if first is None:
        return "There is nothing to recognise: give a picture or a folder of pictures."
    told = f"'{first.path}' {_REASONS.get(first.status, 'cannot be read')}"
    if tally.inputs == 1:
        return f"{told}: give a picture or a folder of pictures."
    counts = ", ".join(f"{count} {status}" for status, count in tally.statuses.most_common())
    return f"None of the {tally.inputs} inputs could be read ({counts}); the first, {told}."


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
