"""Statuses: every input and every face gets exactly one, and no input ends a run."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What became of one input or face.

    Attributes:
        OK: a face that was found, aligned and recognised.
        NOT_ALIGNED: a face crop in which no landmarks were found; it is used as it is.
        TURNED: a face that was found only after the picture was turned by 90, 180 or 270 degrees.
        TOO_SMALL: a face below the smallest side asked for; it has a box and no expression.
        NO_FACE: a picture or frame that was read and in which no face was found.
        UNREADABLE: damaged, encrypted, or without permission.
        TRUNCATED: the data end before the last row of the picture.
        UNSUPPORTED: a known kind of file that cannot be read here; the reason says what helps.
        NOT_AN_IMAGE: not a picture or video of any known kind.
        TOO_LARGE: more pixels or bytes than the limits allow.
        EMPTY: a file without bytes, or a folder without pictures.
        MISSING: nothing is there.
        OUTSIDE: a path of a data set that leads out of its folder.
        TIMEOUT: a stream or server that did not answer in time.

    Example:
        >>> Status("no_face").was_read, Status.MISSING.was_read, Status.TURNED.has_face
        (True, False, True)
    """

    OK = "ok"
    NO_FACE = "no_face"
    TOO_SMALL = "too_small"
    TURNED = "turned"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    MISSING = "missing"
    OUTSIDE = "outside"
    TIMEOUT = "timeout"
    NOT_ALIGNED = "not_aligned"

    @property
    def has_face(self) -> bool:
        """Whether a row of this status comes with the pixels of a face."""
        return self in _WITH_FACE

    @property
    def was_read(self) -> bool:
        """Whether the picture was decoded, with or without a face in it."""
        return self in _WITH_FACE or self in (Status.NO_FACE, Status.TOO_SMALL)

    @property
    def reason(self) -> str:
        """The rest of a sentence that begins with the name of the input; empty where the picture was read."""
        return _REASONS.get(self, "")


_WITH_FACE = frozenset({Status.OK, Status.NOT_ALIGNED, Status.TURNED})
_REASONS: dict[Status, str] = {
    Status.MISSING: "does not exist",
    Status.EMPTY: "is empty or holds no picture",
    Status.NOT_AN_IMAGE: "is no picture or video of a known kind",
    Status.UNSUPPORTED: "is of a kind that cannot be read here",
    Status.TOO_LARGE: "has too many pixels or bytes",
    Status.UNREADABLE: "is damaged or cannot be read",
    Status.TRUNCATED: "is damaged: it ends before its last row",
    Status.OUTSIDE: "lies outside of the folder of its data set",
    Status.TIMEOUT: "did not answer in time",
}


class UndecodableImage(Exception):
    """A picture that cannot be read: ``status`` for the table, ``reason`` in words."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type[UndecodableImage], tuple[Status, str]]:
        return type(self), (self.status, self.reason)
