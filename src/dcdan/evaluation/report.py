"""The result of an evaluation, with all that is needed to interpret it, as JSON, table and image."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dcdan.evaluation.groups import ByColumn
from dcdan.metrics import classification
from dcdan.metrics.calibration import binned, expected_calibration_error
from dcdan.metrics.intervals import Interval, faces_needed, wilson

if TYPE_CHECKING:
    from rich.console import RenderableType

FEW_FACES = 100
"""Number of faces below which a report notes the width of its interval and how many faces narrow it."""


@dataclass(frozen=True)
class Report:
    """Scores of one model on one data set; all scores are 0..1.

    Attributes:
        model: name of the run; with ``model_sha256`` of its graph, or of its weights.
        data: the spec as it was given; with ``data_sha256`` of the faces.
        split: the split that was scored, ``all`` when every image was.
        classes: the classes that are scored, which model and data both have, in canonical order.
        confusion: (K, K) counts; row = label, column = prediction.
        confidence: (N,) probability of each prediction.
        correct: (N,) whether it is correct.
        masked: classes of the model that the data lacks; their probability was set to zero and the rest scaled to 1.
        unmasked_accuracy: accuracy when the model chooses among all its classes, 0..1; NaN where it was not counted.
        left_out: labelled images of classes that the model lacks, by class.
        unlabelled: images without a label.
        lost: images of the scored split that gave no face, by status (labelled or not).
        not_aligned: scored faces that could not be aligned and are used as cropped.
        alignments: how the faces were aligned for the model's training and in the data.
        decided_by: predictions by the head that chose; where a class was masked the choice is the masked arg-max.
        by: scores by group, one entry for each column that was asked for.
        provenance: versions and checksums.
    """

    model: str
    data: str
    split: str
    classes: tuple[str, ...]
    confusion: classification.ConfusionMatrix
    confidence: np.ndarray
    correct: np.ndarray
    masked: tuple[str, ...] = ()
    unmasked_accuracy: float = float("nan")
    left_out: dict[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    not_aligned: int = 0
    alignments: tuple[str, str] = ("mtcnn", "mtcnn")
    decided_by: dict[str, int] = field(default_factory=dict)
    by: tuple[ByColumn, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Number of scored faces, which is the number of images with a face and a label of a scored class."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""
        return classification.accuracy(self.confusion)

    @property
    def chance(self) -> float:
        """Accuracy of a uniformly random choice among the scored classes."""
        return classification.chance_accuracy(self.confusion)

    @property
    def majority(self) -> float:
        """Accuracy of always predicting the most common class of the data."""
        return classification.majority_share(self.confusion)

    @property
    def interval(self) -> Interval:
        """95 % Wilson interval of the accuracy."""
        return wilson(int(np.trace(self.confusion)), self.images)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes with samples."""
        return classification.macro_f1(self.confusion)

    @property
    def uar(self) -> float:
        """Mean recall of the classes with samples."""
        return classification.unweighted_average_recall(self.confusion)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error over 15 bins."""
        return expected_calibration_error(self.confidence, self.correct)

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """Scored classes without samples, which no mean includes."""
        return tuple(name for name, count in zip(self.classes, self.confusion.sum(axis=1), strict=True) if not count)

    @property
    def classes_with_faces(self) -> int:
        """Number of scored classes that have faces; UAR and macro-F1 are means over these."""
        return len(self.classes) - len(self.empty_classes)

    def notes(self) -> list[str]:
        """Return what a reader must know to interpret the scores and to compare them with others.

        Returns:
            Sentences; an empty list where nothing is unusual.
        """
        notes = self._notes_on_classes()
        if self.images < FEW_FACES:
            low, high = self.interval
            notes.append(
                f"{self.images} faces are few: the 95 % interval is {100 * (high - low):.0f} points wide."
                f" {faces_needed(0.1)} faces give +- 10 points, {faces_needed(0.05)} faces +- 5."
            )
        if self.left_out:
            counts = _list([f"{count} of {name}" for name, count in self.left_out.items()])
            notes.append(f"Left out, because the model does not know the class: {counts}.")
        if self.unlabelled:
            notes.append(f"{self.unlabelled} images have no label and are not scored.")
        if self.lost:
            counts = _list([f"{count} {status}" for status, count in self.lost.items()])
            notes.append(f"No face to score in some images: {counts}.")
        if self.not_aligned:
            notes.append(f"{self.not_aligned} faces could not be aligned and were scored as they are.")
        if self.alignments[0] != self.alignments[1]:
            trained, given = self.alignments
            notes.append(f"The model was trained on faces aligned by '{trained}', these are aligned by '{given}'.")
        if self.empty_classes:
            notes.append(f"No face of {_list(self.empty_classes)}: not in the means.")
        return notes

    def _notes_on_classes(self) -> list[str]:
        """Return the notes on masked and missing classes."""
        notes = []
        if self.masked:
            unmasked = self.unmasked_accuracy
            alone = (
                "" if math.isnan(unmasked) else f" Choosing among all its classes it reaches {100 * unmasked:.1f} %."
            )
            notes.append(f"The data has no {_list(self.masked)}: the model could not choose it.{alone}")
        count, total = self.classes_with_faces, len(self.classes) + len(self.masked)
        if count == 1:
            notes.append(
                f"Faces of 1 class only, of {total} that the model knows: accuracy is the recall of this class and says"
                " nothing of the others."
            )
        elif count == 2 < total:
            notes.append(f"Faces of 2 classes only, of {total} that the model knows: a random choice is often right.")
        if self.images and count > 1 and self.accuracy <= self.majority:
            notes.append(
                f"Accuracy is not above the {100 * self.majority:.1f} % of always answering the commonest class."
            )
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return everything except single predictions as JSON values.

        Returns:
            Values by name; a missing score is None.
        """
        scores = classification.class_scores(self.confusion)
        return {
            "schema": 1,
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "images": self.images,
            "accuracy": _number(self.accuracy),
            "accuracy_95": [_number(end) for end in self.interval],
            "chance": _number(self.chance),
            "majority": _number(self.majority),
            "unmasked_accuracy": _number(self.unmasked_accuracy),
            "classes_with_faces": self.classes_with_faces,
            "macro_f1": _number(self.macro_f1),
            "uar": _number(self.uar),
            "ece": _number(self.calibration_error),
            "classes": list(self.classes),
            "per_class": {
                name: {
                    "precision": _number(scores.precision[index]),
                    "recall": _number(scores.recall[index]),
                    "f1": _number(scores.f1[index]),
                    "support": int(scores.support[index]),
                }
                for index, name in enumerate(self.classes)
            },
            "confusion": self.confusion.tolist(),
            "masked": list(self.masked),
            "left_out": self.left_out,
            "unlabelled": self.unlabelled,
            "lost": self.lost,
            "not_aligned": self.not_aligned,
            "alignments": {"model": self.alignments[0], "data": self.alignments[1]},
            "decided_by": self.decided_by,
            **({"by": [each.to_dict() for each in self.by]} if self.by else {}),
            "notes": self.notes(),
            "provenance": self.provenance,
        }

    def headline(self) -> str:
        """Return the scores in one line.

        Returns:
            Accuracy with its interval, macro-F1, UAR and the number of faces.
        """
        low, high = self.interval
        return (
            f"accuracy {100 * self.accuracy:.1f} % ({100 * low:.1f} to {100 * high:.1f}) · macro-F1 {self.macro_f1:.3f}"
            f" · UAR {self.uar:.3f} · {self.images:,} faces"
        )

    def confusion_png(self) -> bytes:
        """Draw the confusion matrix; needs matplotlib.

        Returns:
            The bytes of a PNG file.
        """
        from dcdan.plots.confusion import confusion_png

        return confusion_png(self.confusion, self.classes, title=self._title(), subtitle=self.headline())

    def _title(self) -> str:
        """Return the title of a figure."""
        data = self.data if len(self.data) <= 48 else "…" + self.data[-47:]
        return f"{self.model} on {data}" + ("" if self.split == "all" else f" · {self.split}")

    def reliability_png(self) -> bytes:
        """Draw the reliability diagram; needs matplotlib.

        Returns:
            The bytes of a PNG file.
        """
        from dcdan.plots.reliability import reliability_png

        subtitle = f"calibration error {self.calibration_error:.3f} · {self.images:,} faces"
        bins = binned(self.confidence, self.correct)
        return reliability_png(bins, title=self._title(), subtitle=subtitle)

    def groups_png(self) -> bytes:
        """Draw the accuracy of every group with its interval; needs matplotlib.

        Returns:
            The bytes of a PNG file.

        Raises:
            ValueError: the report has no groups.
        """
        from dcdan.plots.groups import GroupBar, groups_png

        panels = {
            each.sentence(): [GroupBar(s.name, s.faces, s.accuracy, s.interval, s.few) for s in each.scores]
            for each in self.by
        }
        return groups_png(panels, overall=self.accuracy, title=self._title())

    def worst_group_pngs(self) -> dict[str, bytes]:
        """Draw the confusion matrix of the worst group of each column that has a gap; needs matplotlib.

        Returns:
            Column -> the bytes of a PNG file.
        """
        from dcdan.plots.confusion import confusion_png

        return {
            each.column: confusion_png(
                each.worst.confusion,
                self.classes,
                title=f"{self.model}, {each.column} {each.worst.name}",
                subtitle=f"accuracy {100 * each.worst.accuracy:.1f} % of {each.worst.faces:,} faces",
            )
            for each in self.by
            if each.worst is not None
        }

    def table(self) -> RenderableType:
        """Return headline, per-class table and notes for a rich console.

        Returns:
            The renderable.
        """
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        low, high = self.interval
        head = Table.grid(padding=(0, 2))
        head.add_row("accuracy", Text(f"{100 * self.accuracy:.2f} %", style="bold"), _dim(f"95 % {_range(low, high)}"))
        head.add_row("always the commonest class", f"{100 * self.majority:.2f} %", "")
        head.add_row("chance", f"{100 * self.chance:.2f} %", _dim(f"one of {len(self.classes)} classes by lot"))
        over = f"the {self.classes_with_faces} classes with faces"
        head.add_row("macro-F1", _share(self.macro_f1), _dim(f"mean over {over}"))
        head.add_row("UAR", _share(self.uar), _dim(f"mean recall of {over}"))
        head.add_row("calibration error", _share(self.calibration_error), _dim("15 bins"))
        head.add_row("faces", f"{self.images:,}", _dim("" if self.split == "all" else f"split {self.split}"))
        body = Table(box=SIMPLE_HEAD)
        body.add_column("expression")
        for column in ("precision", "recall", "F1", "faces"):
            body.add_column(column, justify="right")
        scores = classification.class_scores(self.confusion)
        for name, precision, recall, f1, support in zip(self.classes, *scores, strict=True):
            body.add_row(name, _share(precision), _share(recall), _share(f1), f"{support:,}")
        title = Text(f"{self.model} on {self.data}", style="bold")
        notes = (Text(note, style="yellow") for note in self.notes())
        return Group(title, head, body, *notes, *(each.renderable(self.classes) for each in self.by))


def _number(value: float) -> float | None:
    """Round a number for JSON; NaN becomes None."""
    return None if math.isnan(value) else round(float(value), 6)


def _share(value: float) -> str:
    """Format a score in [0, 1]."""
    return "–" if math.isnan(value) else f"{value:.3f}"


def _range(low: float, high: float) -> str:
    """Format an interval in per cent."""
    return f"{100 * low:.2f} to {100 * high:.2f}"


def _dim(text: str) -> Any:
    """Return dimmed text."""
    from rich.text import Text

    return Text(text, style="dim")


def _list(words: Iterable[str]) -> str:
    """Join words with commas."""
    return ", ".join(words)
