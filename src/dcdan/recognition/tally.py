"""Counts of a run, and what is said when nothing could be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from dcdan.errors import DataError
from dcdan.faces.status import Status
from dcdan.recognition.steps import Step

# Statuses of a picture that was read, whether or not a face was in it.
READ: frozenset[Status] = frozenset({Status.OK, Status.NOT_ALIGNED, Status.NO_FACE})

_REASONS: dict[Status, str] = {
    Status.MISSING: "does not exist",
    Status.EMPTY: "is empty or holds no picture",
    Status.NOT_AN_IMAGE: "is no JPEG, PNG, WebP, BMP or TIFF",
    Status.TOO_LARGE: "has too many pixels or bytes",
    Status.UNREADABLE: "is damaged or cannot be read",
}


@dataclass
class Tally:
    """Counts of a run: inputs, faces, rows by status and faces by expression; and what was wrong first, in words."""

    inputs: int = 0
    faces: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    expressions: Counter[str] = field(default_factory=Counter)
    failure: str = ""

    def add(self, step: Step) -> None:
        """Count a piece of work."""
        self.inputs += len(step.inputs)
        for result in step.rows():
            self.statuses[result.status] += 1
            if result.expression is not None:
                self.faces += 1
                self.expressions[result.expression] += 1
            if result.status not in READ and not self.failure:
                reason = _REASONS.get(result.status, "cannot be read")
                self.failure = step.note or f"'{result.path}' {reason}: give a picture or a folder of pictures."

    @property
    def nothing_read(self) -> bool:
        """Whether not one input was a picture that could be read."""
        return not any(status in READ for status in self.statuses)

    def sentence(self) -> str:
        """Return the counts in words, the common statuses first."""
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
        return {
            "inputs": self.inputs,
            "faces": self.faces,
            "statuses": dict(self.statuses),
            "expressions": dict(self.expressions),
            "failure": self.failure,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave; an empty mapping is no counts yet."""
        if not values:
            return cls()
        statuses = Counter({Status(name): count for name, count in values["statuses"].items()})
        return cls(values["inputs"], values["faces"], statuses, Counter(values["expressions"]), values["failure"])

    def _rows(self) -> str:
        return ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
