"""What became of a picture or a face: every input gets one of these words, and no input ends a run."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The answer to one input. OK and NOT_ALIGNED come with a face, the others without one."""

    OK = "ok"
    NO_FACE = "no_face"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    MISSING = "missing"
    OUTSIDE = "outside"
    NOT_ALIGNED = "not_aligned"

    @property
    def has_face(self) -> bool:
        """Whether an input of this status has face pixels."""
        return self in (Status.OK, Status.NOT_ALIGNED)
