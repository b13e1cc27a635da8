"""What a run of `dcdan predict` found, in counts and in a few lines, with hints on faces that a model does not know.

All of it is pure: results in, numbers and sentences out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from dcdan.core.errors import DataError
from dcdan.images.status import Status
from dcdan.inference.model_card import ModelInfo
from dcdan.inference.table import FaceResult

if TYPE_CHECKING:
    from dcdan.inference.predict import Step

READ: frozenset[Status] = frozenset(status for status in Status if status.was_read)
"""Statuses of a picture that was read, whether or not a face was in it."""

BLURRED_BELOW = 0.25
"""Sharpness below which a face counts as blurred: about .75 is a good photograph, .2 is out of focus."""

TURNED_FROM = 35.0
"""Yaw in degrees, to either side, from which on a head counts as turned away."""

HINT_SHARE = 0.25
"""Share of faces from which on a difference is worth a hint."""

HINT_FACES = 20
"""Faces below which no share is taken to say anything."""


@dataclass
class RunSummary:
    """Counts of a run.

    Attributes:
        inputs: pictures, videos and cameras that are done.
        faces: faces with an expression.
        statuses: rows by status.
        expressions: faces by expression.
        unsure: faces whose probability is below the model's ``unsure_below``.
        measured: faces whose quality was measured.
        small: of these, faces smaller than the side that the model takes.
        blurred: of these, faces less sharp than ``BLURRED_BELOW``.
        turned: of these, faces turned by ``TURNED_FROM`` degrees or more.
        grey: of these, faces without colour.
        failure: the first thing that was wrong, as a sentence; empty when nothing was.
        face_size: side in pixels that the model takes; 0 counts no small faces.
    """

    inputs: int = 0
    faces: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    expressions: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    unsure: int = 0
    measured: int = 0
    small: int = 0
    blurred: int = 0
    turned: int = 0
    grey: int = 0
    face_size: int = 0

    def add(self, step: Step) -> None:
        """Count a piece of work."""
        self.inputs += len(step.inputs)
        for result in step.rows():
            self.count(result)
            if result.status not in READ and not self.failure:
                reason = result.status.reason or "cannot be read"
                self.failure = step.note or f"'{result.path}' {reason}: give a picture or a folder of pictures."

    def count(self, result: FaceResult) -> None:
        """Count one row."""
        self.statuses[result.status] += 1
        if result.expression is None:
            return
        self.faces += 1
        self.expressions[result.expression] += 1
        self.unsure += result.unsure
        quality = result.quality
        if quality is not None:
            self.measured += 1
            self.small += quality.side < self.face_size
            self.blurred += quality.sharpness < BLURRED_BELOW
            self.turned += quality.yaw is not None and abs(quality.yaw) >= TURNED_FROM
            self.grey += quality.grey

    @property
    def nothing_read(self) -> bool:
        """Whether not one input was a picture that could be read."""
        return not any(status in READ for status in self.statuses)

    def sentence(self) -> str:
        """Return the counts in one line, the common statuses first."""
        return (
            f"{_plural(self.inputs, 'input')}, {_plural(self.faces, 'face')} recognised ({self._rows() or 'nothing'})"
        )

    def refuse_nothing(self) -> None:
        """Raise DataError when not one input could be read."""
        if not self.nothing_read:
            return
        if self.inputs > 1:
            raise DataError(
                f"None of the {self.inputs} inputs could be read ({self._rows()}); the first: {self.failure}"
            )
        raise DataError(self.failure or "There is nothing to recognise: give a picture or a folder of pictures.")

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        counts = ("inputs", "faces", "failure", "unsure", "measured", "small", "blurred", "turned", "grey", "face_size")
        return {
            **{name: getattr(self, name) for name in counts},
            "statuses": dict(self.statuses),
            "expressions": dict(self.expressions),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], face_size: int = 0) -> Self:
        """Return what ``to_dict`` gave; an empty mapping is no counts yet, for a model that takes ``face_size``."""
        if not values:
            return cls(face_size=face_size)
        statuses = Counter({Status(name): count for name, count in values["statuses"].items()})
        return cls(**{**values, "statuses": statuses, "expressions": Counter(values["expressions"])})

    def _rows(self) -> str:
        return ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())


def overview(summary: RunSummary, info: ModelInfo, left_out: str = "") -> list[str]:
    """Return what a run found, as lines for one screen.

    Args:
        summary: the counts of the run.
        info: the contents of the model's ``model.json``.
        left_out: the sentence on files of other kinds, as ``Inputs.left_out_sentence()`` gives it.

    Returns:
        Faces and inputs; the share of each expression, the commonest first; how many are unsure; what was left out; the
        hints of :func:`shift_hints`.

    Example:
        >>> from dcdan.inference.model_card import read_model_info
        >>> from dcdan.inference.resolver import model_folder
        >>> found = RunSummary(inputs=4, faces=4, expressions=Counter(happiness=3, fear=1), unsure=1)
        >>> for line in overview(found, read_model_info(model_folder())):
        ...     print(line)
        4 inputs, 4 faces recognised (nothing)
        happiness 75 %, fear 25 %
        unsure: 1 of 4 faces (25 %)
    """
    lines = [summary.sentence()]
    if summary.faces:
        shares = (f"{name} {_percent(count, summary.faces)}" for name, count in summary.expressions.most_common())
        lines.append(", ".join(shares))
        unsure = _percent(summary.unsure, summary.faces)
        lines.append(f"unsure: {summary.unsure} of {_plural(summary.faces, 'face')} ({unsure})")
    if left_out:
        lines.append(left_out)
    return lines + shift_hints(summary, info)


def shift_hints(summary: RunSummary, info: ModelInfo) -> list[str]:
    """Return in which ways many faces differ from those that a model knows, and the command that helps.

    The figures need no labels and cost nothing: size, sharpness and yaw are columns of the table. A model that was
    trained on grey faces is never told that faces are grey.

    Args:
        summary: the counts of the run.
        info: the contents of the model's ``model.json``.

    Returns:
        One sentence a difference, and one on what to do; nothing on fewer than ``HINT_FACES`` faces, or where no
        difference concerns ``HINT_SHARE`` of them.
    """
    if summary.measured < HINT_FACES:
        return []
    differences = [
        (summary.small, f"are smaller than the {info.face.size} pixels that the model takes"),
        (summary.blurred, "are blurred"),
        (summary.turned, f"are turned by {TURNED_FROM:.0f} degrees or more"),
        (0 if info.architecture.get("grey") else summary.grey, "have no colour, and the model was trained on colour"),
    ]
    told = [
        f"{_percent(count, summary.measured)} of the faces {what}."
        for count, what in differences
        if count >= HINT_SHARE * summary.measured
    ]
    if told:
        told.append("A model adapted to such faces does better: dcdan adapt --target FACES --out RUN.")
    return told


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.0f} %"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
