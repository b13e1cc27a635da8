"""Two models on one folder: what both say of each face, those first where they differ most."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dcdan.adaptation.extraction import pictures
from dcdan.core.errors import DataError
from dcdan.datasets.listing import chunks
from dcdan.images.inputs import Input, find_inputs
from dcdan.inference.recogniser import CHUNK_PICTURES, Recogniser
from dcdan.inference.table import FaceResult, FaceResults, utf8_path
from dcdan.packs.data_inputs import data_inputs

MOST_PICTURES = 2000


@dataclass(frozen=True, slots=True)
class ComparedFace:
    """One face and what two models say of it.

    Attributes:
        path: its picture.
        face: which face of its picture.
        first: expression and probability by the first model.
        second: by the second.
        gap: half the sum of the absolute differences of their probabilities, 0..1 (total variation).
    """

    path: str
    face: int
    first: tuple[str, float]
    second: tuple[str, float]
    gap: float

    def to_dict(self, label: str | None = None) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "path": utf8_path(self.path),
            "face": self.face,
            "first": self.first[0],
            "first_probability": self.first[1],
            "second": self.second[0],
            "second_probability": self.second[1],
            "gap": round(self.gap, 6),
            "differs": self.first[0] != self.second[0],
            "label": label,
        }


def gap(first: FaceResult, second: FaceResult) -> float:
    """Return the total variation between the probabilities of two results; a class that one lacks has 0.

    Example:
        >>> from dcdan.images.status import Status
        >>> one = FaceResult("a", 0, Status.OK, probabilities={"fear": 0.75, "anger": 0.25})
        >>> gap(one, FaceResult("a", 0, Status.OK, probabilities={"fear": 0.25, "anger": 0.75}))
        0.5
    """
    names = first.probabilities.keys() | second.probabilities.keys()
    return sum(abs(first.probabilities.get(name, 0.0) - second.probabilities.get(name, 0.0)) for name in names) / 2


def compare(
    first: Recogniser,
    second: Recogniser,
    target: str,
    advance: Callable[[int, int], None],
    stop: threading.Event,
) -> tuple[list[ComparedFace], dict[str, int]]:
    """Recognise the faces of a folder with two models.

    Args:
        first: one model.
        second: the other.
        target: the folder, at most 2000 of its pictures.
        advance: told the pictures that are done, and all.
        stop: set to end early, with the faces so far.

    Returns:
        The faces, those where the models differ first, then by gap, the largest first; and how many pictures were
        looked at, were left out beyond the limit, have no face, and how many faces one of the models did not find.

    Raises:
        DataError: when there is no face.
    """
    found = pictures(iter(find_inputs([target], resolvers=[data_inputs])))
    inputs = list(islice(found, MOST_PICTURES))
    more = sum(1 for _ in found)
    if not inputs:
        raise DataError(f"There are no pictures in '{target}': give a folder of photographs.")
    faces: list[ComparedFace] = []
    counts = {"pictures": 0, "left_out": more, "without_face": 0, "unmatched": 0}
    for piece in chunks(iter(inputs), CHUNK_PICTURES):
        for one, other in zip(_results(first, piece), _results(second, piece), strict=True):
            counts["without_face"] += not one and not other
            counts["unmatched"] += abs(len(one) - len(other))
            for left, right in zip(one, other, strict=False):
                faces.append(_compared(left, right))
        counts["pictures"] += len(piece)
        advance(counts["pictures"], len(inputs))
        if stop.is_set():
            break
    if not faces and not stop.is_set():
        raise DataError(f"There is no face in '{target}': give a folder of photographs that show faces.")
    return sorted(faces, key=lambda face: (face.first[0] == face.second[0], -face.gap)), counts


def _results(recogniser: Recogniser, piece: list[Input]) -> Iterator[FaceResults]:
    return recogniser.stream(each.source for each in piece)


def _compared(left: FaceResult, right: FaceResult) -> ComparedFace:
    return ComparedFace(left.path, left.face or 0, _answer(left), _answer(right), gap(left, right))


def _answer(result: FaceResult) -> tuple[str, float]:
    return result.expression or "", round(result.probability or 0.0, 6)
