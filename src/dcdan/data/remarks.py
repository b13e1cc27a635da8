"""What is odd about a pack, in words: classes without a sample, pictures without a face."""

from __future__ import annotations

from collections.abc import Iterator

from dcdan.data.pack_info import Counts
from dcdan.faces.status import Status


def odd(counts: Counts, crops_option: bool) -> Iterator[str]:
    """Yield a warning for classes without a sample, and one when most pictures gave no face.

    crops_option: whether the reader can be told that the pictures are face crops, and was not.
    """
    absent = [name for name, count in counts.classes.items() if count == 0]
    if absent:
        yield f"no sample of: {', '.join(absent)}"
    missed = counts.statuses.get(Status.NO_FACE, 0)
    if 2 * missed > counts.rows:
        yield f"no face was found in {missed} of {counts.rows} pictures{_crops_hint(counts, crops_option)}"


def no_faces(counts: Counts, place: object, crops_option: bool) -> str:
    """Return the sentence for a pack that would have no face at all."""
    statuses = ", ".join(f"{count} {status}" for status, count in counts.statuses.items())
    text = f"No face was found in the {counts.rows} pictures of '{place}' ({statuses})"
    return f"{text}{_crops_hint(counts, crops_option)}."


def _crops_hint(counts: Counts, crops_option: bool) -> str:
    seen = counts.statuses.get(Status.NO_FACE, 0) > 0
    return "; if they are face crops already, add the option faces=crops" if crops_option and seen else ""
