"""The faces to be labelled: drawn by predicted class with known rates, as a table to fill in and a contact sheet.

``label/`` holds ``labels.csv`` (path, face, expression; the last to be filled in), ``faces.png`` with the same faces in
the same order, ``sample.json`` (which faces, and at what rates they were drawn) and ``given.jsonl``, to which every
label that was ever given is added.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from dcdan.adaptation.extraction import Answers
from dcdan.core.atomic_io import atomic_text, write_bytes, write_text
from dcdan.core.errors import DataError, nearest
from dcdan.core.limits import read_json, read_text
from dcdan.correction.labels import UNANSWERED, Labelled, Sample, answered, draw_faces
from dcdan.expressions import canonical
from dcdan.images.inputs import Input, Picture, read_picture
from dcdan.inference.recogniser import Recogniser

LABEL = "label"
TABLE = "labels.csv"
SHEET = "faces.png"
SAMPLE = "sample.json"
GIVEN = "given.jsonl"
SKIP = "skip"
COUNT = 40
_HEAD = ["path", "face", "expression"]
_SKIPPED = {"skip", "?", "-", "none", "unknown"}


def write_sample(folder: Path, answers: Answers, classes: Sequence[str], count: int, seed: int = 0) -> Sample:
    """Draw the faces to be labelled and write ``sample.json`` and ``labels.csv``; labels given before are filled in.

    Args:
        folder: the run folder.
        answers: of the start model.
        classes: K names.
        count: how many faces; with a larger one later, all faces of the smaller are among them.
        seed: of the drawing.

    Returns:
        The sample.
    """
    sample = draw_faces(answers.predicted, len(classes), count, seed)
    content = {
        "count": count,
        "seed": seed,
        "rows": sample.rows.tolist(),
        "predicted": [classes[stratum] for stratum in sample.strata.tolist()],
        "rates": [round(rate, 9) for rate in sample.inclusion.tolist()],
        "faces_by_predicted": dict(zip(classes, sample.sizes.tolist(), strict=True)),
    }
    write_text(folder / LABEL / SAMPLE, json.dumps(content, indent=1) + "\n")
    write_table(folder, answers, sample, classes)
    return sample


def read_sample(folder: Path, answers: Answers, classes: Sequence[str]) -> Sample:
    """Return the sample that :func:`write_sample` drew last.

    Raises:
        DataError: when its file is missing, damaged, or of other faces.
    """
    path = folder / LABEL / SAMPLE
    try:
        content = read_json(path)
        sample = draw_faces(answers.predicted, len(classes), int(content["count"]), int(content["seed"]))
        if content["rows"] != sample.rows.tolist():
            raise ValueError("other faces")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"'{path}' does not fit the faces of this run: adapt again with --target.") from error
    return sample


def write_table(folder: Path, answers: Answers, sample: Sample, classes: Sequence[str]) -> None:
    """Write ``labels.csv`` with the labels that are known by now."""
    given = given_labels(folder, answers, classes)
    with atomic_text(folder / LABEL / TABLE, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEAD)
        for row in sample.rows.tolist():
            label = given.get(row)
            name = "" if label is None else SKIP if label == UNANSWERED else classes[label]
            writer.writerow([answers.paths[row], answers.faces[row], name])


def write_sheet(
    folder: Path,
    recogniser: Recogniser,
    inputs: Callable[[], Iterator[Input]],
    answers: Answers,
    sample: Sample,
) -> None:
    """Draw ``faces.png``: the faces of the sample with their number and the end of their file's name.

    Above them are the classes and their numbers; what the model thinks is not shown, so that nobody is led by it.
    """
    from dcdan.plots.contact_sheet import Mark, SheetCell, SheetRow, sheet_png

    if len(sample) == 0:
        return
    pixels = face_pixels(recogniser, inputs, answers, sample.rows.tolist())
    side = recogniser.info.face.size
    grey = np.full((side, side), 128, np.uint8)
    cells = tuple(
        SheetCell(pixels.get(row, grey), (Mark(f"{number}  {_short(str(answers.paths[row]))}"),))
        for number, row in enumerate(sample.rows.tolist(), 1)
    )
    heading = "   ".join(f"{number} {name}" for number, name in enumerate(recogniser.classes, 1))
    write_bytes(folder / LABEL / SHEET, sheet_png([SheetRow(heading, cells)], columns=8))


def face_pixels(
    recogniser: Recogniser, inputs: Callable[[], Iterator[Input]], answers: Answers, rows: Iterable[int]
) -> dict[int, np.ndarray]:
    """Return row -> (S, S, 3) uint8 of some faces, whose pictures are read again."""
    wanted: dict[int, list[int]] = {}
    for row in rows:
        wanted.setdefault(int(answers.inputs[row]), []).append(row)
    found: dict[int, np.ndarray] = {}
    for number, each in enumerate(islice(inputs(), max(wanted, default=-1) + 1)):
        if number in wanted:
            source = each.source
            picture = source if isinstance(source, Picture) else read_picture(source)
            (faces,) = recogniser.faces([picture])
            for row in wanted[number]:
                index = int(answers.faces[row])
                if index < len(faces):
                    found[row] = faces[index].pixels
    return found


def label_of(text: str, classes: Sequence[str]) -> int | None:
    """Return the class that a person wrote: its index, ``UNANSWERED`` for "skip", None for nothing.

    Args:
        text: a name, in any spelling that :mod:`dcdan.expressions` knows, a number from 1, or skip.
        classes: K names.

    Raises:
        DataError: when it is none of these.

    Example:
        >>> [label_of(text, ["anger", "happiness"]) for text in ("Happy", "1", "skip")]
        [1, 0, -1]
    """
    word = text.strip().lower()
    if not word:
        return None
    if word in _SKIPPED:
        return UNANSWERED
    if word.isdecimal() and 1 <= int(word) <= len(classes):
        return int(word) - 1
    name = word if word in classes else canonical(word)
    if name in classes:
        return list(classes).index(str(name))
    raise DataError(
        f"'{text.strip()}' is no expression of this model.{nearest(word, classes)} Write one of"
        f" {', '.join(classes)}, a number from 1 to {len(classes)}, skip, or nothing."
    )


def read_table(path: Path, answers: Answers, sample: Sample, classes: Sequence[str]) -> dict[int, int]:
    """Return row -> label of a table that was filled in; blanks are left out.

    Raises:
        DataError: when the table cannot be read, lacks a column, or names another face or expression.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff"))))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"'{path}' cannot be read: give the labels.csv of this run, filled in.") from error
    if not lines or not set(_HEAD) <= set(lines[0]):
        raise DataError(f"'{path}' must have the columns {', '.join(_HEAD)}: fill in the labels.csv of this run.")
    places: dict[tuple[str, str], list[int]] = {}
    for row in sample.rows.tolist():
        places.setdefault((str(answers.paths[row]), str(answers.faces[row])), []).append(row)
    found: dict[int, int] = {}
    for number, line in enumerate(lines, 2):
        key = ((line["path"] or ""), (line["face"] or "").strip())
        waiting = places.get(key)
        if not waiting:
            raise DataError(
                f"Line {number} of '{path}' names '{key[0]}' (face {key[1]}), which was not drawn in this run:"
                " only the faces of its own labels.csv can be used."
            )
        row = waiting.pop(0)
        try:
            label = label_of(line["expression"] or "", classes)
        except DataError as error:
            raise DataError(f"Line {number} of '{path}': {error}") from None
        if label is not None:
            found[row] = label
    return found


def add_labels(folder: Path, labels: dict[int, int], answers: Answers, classes: Sequence[str]) -> None:
    """Add labels to ``given.jsonl`` and force them onto the disk; ``UNANSWERED`` is a skip."""
    lines = [
        json.dumps(
            {
                "path": str(answers.paths[row]),
                "face": int(answers.faces[row]),
                "row": row,
                "label": SKIP if label == UNANSWERED else classes[label],
            }
        )
        for row, label in labels.items()
    ]
    _append(folder, lines)


def withdraw(folder: Path, row: int, answers: Answers) -> None:
    """Take back the last label of a face, by one more line in ``given.jsonl``."""
    line = {"path": str(answers.paths[row]), "face": int(answers.faces[row]), "row": row, "label": None}
    _append(folder, [json.dumps(line)])


def given_labels(folder: Path, answers: Answers, classes: Sequence[str]) -> dict[int, int]:
    """Return row -> label of all labels given so far, the last of each face; ``UNANSWERED`` for skipped ones."""
    path = folder / LABEL / GIVEN
    if not path.is_file():
        return {}
    found: dict[int, int] = {}
    for line in read_text(path).splitlines():
        try:
            row = json.loads(line)
            number, label = int(row["row"]), row["label"]
            same = (answers.paths[number], answers.faces[number]) == (row["path"], row["face"])
        except (ValueError, KeyError, TypeError, IndexError):
            continue  # the last line of a process that was killed
        if not same:
            continue
        if label is None:
            found.pop(number, None)
        else:
            known = label_of(label, classes)
            found[number] = UNANSWERED if known is None else known
    return found


def labelled(sample: Sample, labels: dict[int, int]) -> Labelled:
    """Return the labelled part of a sample."""
    return answered(sample, [labels.get(row, UNANSWERED) for row in sample.rows.tolist()])


def _append(folder: Path, lines: Sequence[str]) -> None:
    path = folder / LABEL / GIVEN
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a process was killed within a line
                file.write(b"\n")
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())


def _short(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    return name if len(name) <= 16 else f"…{name[-15:]}"
