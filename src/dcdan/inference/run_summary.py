"""Summary of a `dcdan predict` run: counts, a few lines of text, and hints on faces that differ from the training data.

All functions are pure: results in, numbers and sentences out.
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
"""Statuses of an image that was read, with or without a face."""

BLURRED_BELOW = 0.25
"""Sharpness below which a face counts as blurred; a good photograph has about .75, one out of focus .2."""

TURNED_FROM = 35.0
"""Absolute yaw in degrees from which a head counts as turned away."""

HINT_SHARE = 0.25
"""Minimum share of faces for a hint on a difference."""

HINT_FACES = 20
"""Minimum number of faces for any hint."""


@dataclass
class RunSummary:
    """Counts of a run.

    Attributes:
        inputs: Processed images, videos and cameras.
        faces: Faces with an expression.
        statuses: Status -> number of rows.
        expressions: Expression -> number of faces.
        failure: The first fault as a sentence; empty if there was none.
        unsure: Faces whose probability is below the model's ``unsure_below``.
        measured: Faces whose quality was measured.
        small: Measured faces that are smaller than the input of the model.
        blurred: Measured faces with a sharpness below ``BLURRED_BELOW``.
        turned: Measured faces with a yaw of ``TURNED_FROM`` degrees or more.
        grey: Measured faces without colour.
        face_size: Side of the model's input in pixels; 0 disables the count of small faces.
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
        """Count the results of a step."""
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
        """Whether no input could be read as an image."""
        return not any(status in READ for status in self.statuses)

    def sentence(self) -> str:
        """Return the counts in one line, the most frequent statuses first.

        Example:
            >>> RunSummary(inputs=1, faces=2, statuses=Counter({Status.OK: 2})).sentence()
            '1 input, 2 faces recognised (2 ok)'
        """
        return (
            f"{_plural(self.inputs, 'input')}, {_plural(self.faces, 'face')} recognised ({self._rows() or 'nothing'})"
        )

    def refuse_nothing(self) -> None:
        """Raise an error if no input could be read.

        Raises:
            DataError: No input could be read.
        """
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
        """Restore a summary from :meth:`to_dict`.

        Args:
            values: The result of :meth:`to_dict`; an empty mapping gives an empty summary.
            face_size: Side of the model's input in pixels, for an empty summary.

        Returns:
            The summary.
        """
        if not values:
            return cls(face_size=face_size)
        statuses = Counter({Status(name): count for name, count in values["statuses"].items()})
        return cls(**{**values, "statuses": statuses, "expressions": Counter(values["expressions"])})

    def _rows(self) -> str:
        return ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())


def overview(summary: RunSummary, info: ModelInfo, left_out: str = "") -> list[str]:
    """Return a summary of a run as lines for one screen.

    Args:
        summary: The counts of the run.
        info: The content of the model's ``model.json``.
        left_out: The sentence on skipped files from ``Inputs.left_out_sentence()``.

    Returns:
        Inputs and faces; the share of each expression, the most frequent first; the number of unsure faces; skipped
        files; and the hints of :func:`shift_hints`.

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
    """Return how many faces differ from the training data, and the command that helps.

    The measurements need no labels: size, sharpness and yaw are columns of the table. A model that was trained on grey
    faces gives no hint about colour.

    Args:
        summary: The counts of the run.
        info: The content of the model's ``model.json``.

    Returns:
        One sentence per difference and one with the remedy; empty with fewer than ``HINT_FACES`` faces, or if no
        difference applies to a share of at least ``HINT_SHARE``.
    """
    if summary.measured < HINT_FACES:
        return []
    differences = [
        (summary.small, f"are smaller than the {info.face.size} pixels that the model takes"),
        (summary.blurred, "are blurred"),
        (summary.turned, f"are turned by {TURNED_FROM:.0f} degrees or more"),
        (0 if info.architecture.get("grey") else summary.grey, "have no colour, and the model was trained on colour"),
    ]
    hints = [
        f"{_percent(count, summary.measured)} of the faces {what}."
        for count, what in differences
        if count >= HINT_SHARE * summary.measured
    ]
    if hints:
        hints.append("A model adapted to such faces does better: dcdan adapt --target FACES --out RUN.")
    return hints


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.0f} %"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
