"""Labelling a run: the faces in their order, labels of several people on the disk, and what they say so far.

The labels of the run, which its verdict rests on, are those of ``label/given.jsonl``. A second person's are in
``labellers/NAME``, laid out alike. Nothing is kept in memory that is not on the disk: a server that was killed goes on.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcdan.adaptation.extraction import ANSWERS, Answers, read_answers
from dcdan.adaptation.folder import read_run
from dcdan.adaptation.job import start_model
from dcdan.adaptation.sheet import (
    GIVEN,
    LABEL,
    SKIP,
    add_labels,
    given_labels,
    label_of,
    labelled,
    read_sample,
    withdraw,
    write_table,
)
from dcdan.app.thumbnails import Thumbnails
from dcdan.core.errors import UsageError
from dcdan.core.limits import text_lines
from dcdan.correction.labels import UNANSWERED, LabelSettings, Sample, measured_accuracy
from dcdan.metrics.agreement import cohen_kappa
from dcdan.metrics.classification import confusion_matrix

LABELLERS = "labellers"
NOT_FACES = "not_faces.jsonl"
NOT_A_FACE = "not a face"
HALF_WIDTH = 0.1
"""The interval of the accuracy is narrow enough for a verdict at ten points to either side."""
_NAME = re.compile(r"[\w][\w .-]{0,39}")


class LabelSession:
    """The labelling of one run.

    Args:
        folder: the run folder.
        threads: of ONNX Runtime and OpenCV.

    Raises:
        UsageError: when the folder holds no finished run.
        DataError: when its files are damaged.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.folder = folder
        settings, _ = read_run(folder)
        recogniser, inputs = start_model(settings, threads)
        self.classes = recogniser.classes
        self.answers = read_answers(folder / ANSWERS, self.classes)
        self.thumbnails = Thumbnails(folder, recogniser, inputs, self.answers)
        self._lock = threading.Lock()

    @property
    def sample(self) -> Sample:
        """The drawn faces."""
        return read_sample(self.folder, self.answers, self.classes)

    def order(self) -> list[int]:
        """Return the drawn faces in the order in which they are shown.

        The order is random within the sample, the same for everyone: so the faces that are labelled when somebody
        stops early are a random part of each predicted class, and the accuracy so far is unbiased. Faces that are
        drawn later come last.
        """
        return shown_order(self.sample.rows.tolist(), len(self.answers))

    def given(self, labeller: str = "") -> dict[int, int]:
        """Return row -> label of one person; the empty name is the run's own labels."""
        return given_labels(self._home(labeller), self.answers, self.classes)

    def not_faces(self, labeller: str = "") -> set[int]:
        """Return the rows that a person called no face."""
        return _read_not_faces(self._home(labeller) / LABEL / NOT_FACES, self.answers)

    def give(self, row: int, label: str | None, labeller: str = "", *, whole_group: bool = False) -> list[int]:
        """Record a label on the disk before returning.

        Args:
            row: which face.
            label: an expression, ``skip``, ``not a face``, or None to take the last one back.
            labeller: who says so; empty for the run's own labels.
            whole_group: the same label for all drawn faces of this face's group that have none yet.

        Returns:
            The rows that changed.

        Raises:
            UsageError: when the face was not drawn, or has no group.
            DataError: when the label is no expression of the model.
        """
        rows = self.sample.rows.tolist()
        if row not in rows:
            raise UsageError(f"Face {row} was not drawn in this run: reload the page.")
        home = self._home(labeller)
        with self._lock:
            changed = [row]
            if whole_group:
                group = self.answers.groups[row]
                if not group:
                    raise UsageError("This face belongs to no known person: label it alone.")
                known = self.given(labeller)
                changed += [each for each in rows if self.answers.groups[each] == group and each not in {row, *known}]
            nothing = label == NOT_A_FACE
            before = self.not_faces(labeller)
            moved = [each for each in changed if nothing != (each in before)]
            if moved:
                _append_not_faces(home / LABEL / NOT_FACES, moved, nothing, self.answers)
            if label is None:
                withdraw(home, row, self.answers)
            else:
                found = UNANSWERED if nothing else label_of(label, self.classes)
                if found is None:
                    raise UsageError("No label was given: press a key from 1 on.")
                add_labels(home, dict.fromkeys(changed, found), self.answers, self.classes)
        return changed

    def names(self, labeller: str = "") -> dict[int, str]:
        """Return row -> what a person said: an expression, ``skip`` or ``not a face``."""
        nothing = self.not_faces(labeller)
        return {
            row: NOT_A_FACE if row in nothing and label == UNANSWERED else label_name(label, self.classes)
            for row, label in self.given(labeller).items()
        }

    def labellers(self) -> list[str]:
        """Return the names of the people beside the first who have labelled faces of this run."""
        return sorted(each.parent.parent.name for each in self.folder.glob(f"{LABELLERS}/*/{LABEL}/{GIVEN}"))

    def statistics(self, labeller: str = "") -> dict[str, Any]:
        """Return what one person's labels say so far, and how far they agree with the run's own."""
        sample, own = self.sample, self.given(labeller)
        found = statistics(self.answers, sample, self.classes, own)
        if labeller:
            first = self.given()
            both = [row for row in own if own[row] != UNANSWERED and first.get(row, UNANSWERED) != UNANSWERED]
            agreed = cohen_kappa([first[row] for row in both], [own[row] for row in both], len(self.classes))
            kappa = None if np.isnan(agreed.kappa) else round(agreed.kappa, 4)
            found["agreement"] = {"kappa": kappa, "faces": agreed.faces}
        return found

    def update_table(self) -> None:
        """Write ``label/labels.csv`` anew from the labels that were given."""
        with self._lock:
            write_table(self.folder, self.answers, self.sample, self.classes)

    def _home(self, labeller: str) -> Path:
        if not labeller:
            return self.folder
        if not _NAME.fullmatch(labeller):
            raise UsageError("A name has letters, digits, spaces, dots and dashes only, 40 at most.")
        return self.folder / LABELLERS / labeller


def shown_order(rows: Sequence[int], faces: int, seed: int = 0) -> list[int]:
    """Return drawn rows by a random number that each face of the set has.

    Example:
        >>> small, large = shown_order([1, 4, 7], 9), shown_order([1, 4, 7, 8], 9)
        >>> sorted(small), [row for row in large if row != 8] == small
        ([1, 4, 7], True)
    """
    place = np.random.default_rng([seed, faces]).permutation(faces)
    return sorted(rows, key=lambda row: int(place[row]))


def label_name(label: int, classes: Sequence[str]) -> str:
    """Return what a label is called.

    Example:
        >>> label_name(1, ("anger", "fear")), label_name(-1, ("anger", "fear"))
        ('fear', 'skip')
    """
    return SKIP if label == UNANSWERED else classes[label]


def statistics(answers: Answers, sample: Sample, classes: Sequence[str], given: dict[int, int]) -> dict[str, Any]:
    """Return what labels say of the start model.

    Args:
        answers: of the start model.
        sample: the drawn faces.
        classes: K names.
        given: row -> label, ``UNANSWERED`` for skipped faces.

    Returns:
        JSON values: ``labelled``, ``answered`` (with skipped ones), ``drawn``; ``accuracy`` with its interval, None
        without labels; ``confusion``, rows are labels and columns predictions; ``enough`` for a verdict, and ``why``.
    """
    found = labelled(sample, given)
    rows = found.sample.rows
    predicted = answers.predicted[rows]
    answered = sum(row in given for row in sample.rows.tolist())
    content: dict[str, Any] = {
        "labelled": len(rows),
        "answered": answered,
        "drawn": len(sample),
        "accuracy": None,
        "confusion": np.asarray(confusion_matrix(found.labels, predicted, len(classes))).tolist(),
        "enough": False,
        "why": "",
    }
    if not len(rows):
        return content
    accuracy = measured_accuracy(predicted == found.labels, found.sample)
    content["accuracy"] = {name: round(float(getattr(accuracy, name)), 4) for name in ("value", "low", "high")}
    few = LabelSettings().fewest
    missing = (sample.drawn > 0) & (found.sample.drawn == 0)
    if len(rows) < few:
        content["why"] = f"A verdict needs {few} labels."
    elif answered == len(sample):
        content |= {"enough": True, "why": "All drawn faces are answered: enough for a verdict."}
    elif missing.any():
        names = ", ".join(name for name, lacks in zip(classes, missing.tolist(), strict=True) if lacks)
        content["why"] = f"No face that the model calls {names} is labelled yet."
    elif accuracy.high - accuracy.low <= 2 * HALF_WIDTH:
        content |= {"enough": True, "why": "The interval is within ten points: enough for a verdict."}
    else:
        content["why"] = "The interval is still wide."
    return content


def _read_not_faces(path: Path, answers: Answers) -> set[int]:
    found: set[int] = set()
    if not path.is_file():
        return found
    for line in text_lines(path):
        try:
            content = json.loads(line)
            row = int(content["row"])
            same = (answers.paths[row], int(answers.faces[row])) == (content["path"], content["face"])
        except (ValueError, KeyError, TypeError, IndexError):
            continue  # the last line of a process that was killed
        if same:
            (found.add if content.get("not_a_face") else found.discard)(row)
    return found


def _append_not_faces(path: Path, rows: Sequence[int], value: bool, answers: Answers) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"path": str(answers.paths[row]), "face": int(answers.faces[row]), "row": row, "not_a_face": value})
        for row in rows
    ]
    with path.open("ab") as file:
        # The first line break ends what a killed process left.
        file.write(("\n" + "\n".join(lines) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
