"""Statuses: every input and every face gets exactly one, and no input ends a run."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Outcome of one input or face.

    Attributes:
        OK: The face was found, aligned and recognised.
        NOT_ALIGNED: No landmarks were found in the face crop; it was recognised without alignment.
        TURNED: The face was found only after the image was rotated by 90, 180 or 270 degrees.
        TOO_SMALL: The face is smaller than the requested minimum; it has a box and no expression.
        NO_FACE: The image or frame was read, but no face was found.
        UNREADABLE: The file is damaged, encrypted, or cannot be read for lack of permission.
        TRUNCATED: The data end before the last row of the image.
        UNSUPPORTED: The format is known but cannot be read here; the reason names a remedy.
        NOT_AN_IMAGE: The file is not an image or video of a known format.
        TOO_LARGE: The file has more pixels or bytes than the limits allow.
        EMPTY: The file has no bytes, or the folder has no images.
        MISSING: The path does not exist.
        OUTSIDE: The path of a data set leads out of its folder.
        TIMEOUT: The stream or server did not answer in time.

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
        """Whether a row with this status includes the pixels of a face."""
        return self in _WITH_FACE

    @property
    def was_read(self) -> bool:
        """Whether the image was decoded, with or without a face in it."""
        return self in _WITH_FACE or self in (Status.NO_FACE, Status.TOO_SMALL)

    @property
    def reason(self) -> str:
        """A clause that follows the name of the input in a message; empty if the image was read."""
        return _REASONS.get(self, "")


_WITH_FACE = frozenset({Status.OK, Status.NOT_ALIGNED, Status.TURNED})
_REASONS: dict[Status, str] = {
    Status.MISSING: "does not exist",
    Status.EMPTY: "is empty or holds no picture",
    Status.NOT_AN_IMAGE: "is no picture or video of a known kind",
    Status.UNSUPPORTED: "has a format that cannot be read here",
    Status.TOO_LARGE: "has too many pixels or bytes",
    Status.UNREADABLE: "is damaged or cannot be read",
    Status.TRUNCATED: "is damaged: it ends before its last row",
    Status.OUTSIDE: "lies outside of the folder of its data set",
    Status.TIMEOUT: "did not answer in time",
}


class UndecodableImage(Exception):
    """An image that cannot be read.

    Attributes:
        status: The status for the table of results.
        reason: The reason in words.
    """

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type[UndecodableImage], tuple[Status, str]]:
        return type(self), (self.status, self.reason)
