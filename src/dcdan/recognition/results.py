"""One answer: a face and its expression, or a picture and the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dcdan.errors import no_formula
from dcdan.faces.status import Status

FIXED_COLUMNS: tuple[str, ...] = ("path", "face", "status", "expression", "probability", "unsure", "decided_by")
BOX_COLUMNS: tuple[str, ...] = ("x0", "y0", "x1", "y1")
QUALITY_COLUMNS: tuple[str, ...] = ("side", "sharpness", "yaw", "roll", "score")
VIDEO_COLUMNS: tuple[str, ...] = ("frame", "time", "track")


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a face can be seen.

    Attributes:
        side: shorter side of its box in pixels of the picture.
        sharpness: 0 (blurred) .. 1 (sharp), of the aligned face; comparable between faces of one model only.
        yaw: degrees by which the head is turned, -90..90, from the five landmarks; positive to the right in the
            picture, None where no landmarks were found.
        roll: degrees by which the line through the eyes is turned, -180..180, clockwise in the picture; None likewise.
        score: the face detector's, 0..1; 1 where none was asked, 0 where it found nothing.
    """

    side: float
    sharpness: float
    yaw: float | None
    roll: float | None
    score: float


@dataclass(frozen=True, slots=True)
class FaceResult:
    """The answer for one face, or for one picture without a face (then everything after ``status`` is empty).

    Attributes:
        path: the picture as it was given; empty for an array.
        face: index of the face in the picture, the largest first; None without a face.
        status: ``ok``, ``not_aligned`` (recognised on the crop as it was) or why there is no answer.
        expression: name of the chosen class.
        probability: calibrated probability of that class, 0..1.
        decided_by: which head chose: ``fused``, ``global`` or ``sum``.
        probabilities: every class of the model and its probability; they sum to 1.
        box: x0, y0, x1, y1 in pixels of the picture.
        landmarks: five points x, y in units of the aligned face side (0..1).
        region_weights: weight that the network gave to each of the five regions; they sum to 1.
        unsure: whether the probability is below the model's ``unsure_below``; ``expression`` is the likeliest anyway.
        candidates: the classes of the conformal set, the likeliest first, where one was asked for.
        quality: how well the face can be seen; None for faces that are cut already.
        frame: index of the frame in its video, from 0; None for a picture.
        time: seconds from the beginning of the video.
        track: number of the person's track in the video, from 1; None for a picture.
    """

    path: str
    face: int | None
    status: Status
    expression: str | None = None
    probability: float | None = None
    decided_by: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    region_weights: dict[str, float] = field(default_factory=dict)
    unsure: bool = False
    candidates: tuple[str, ...] = ()
    quality: Quality | None = None
    frame: int | None = None
    time: float | None = None
    track: int | None = None

    @property
    def recognised(self) -> bool:
        """Whether there is an expression."""
        return self.expression is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain JSON types."""
        return {
            "path": self.path,
            "face": self.face,
            "status": str(self.status),
            "expression": self.expression,
            "probability": _rounded(self.probability),
            "unsure": self.unsure,
            "decided_by": self.decided_by,
            "probabilities": {name: _rounded(value) for name, value in self.probabilities.items()},
            "box": None if self.box is None else [round(value, 2) for value in self.box],
            "landmarks": None if self.landmarks is None else [[_rounded(x), _rounded(y)] for x, y in self.landmarks],
            "region_weights": {name: _rounded(value) for name, value in self.region_weights.items()},
            "candidates": list(self.candidates),
            "quality": None
            if self.quality is None
            else {name: _rounded(getattr(self.quality, name), 3) for name in QUALITY_COLUMNS},
            "frame": self.frame,
            "time": _rounded(self.time, 3),
            "track": self.track,
        }

    def to_row(self, classes: Sequence[str]) -> list[str]:
        """Return the cells of a table row in the order of ``columns(classes)``; empty where there is no value."""
        box = self.box or (None,) * len(BOX_COLUMNS)
        quality = [None if self.quality is None else getattr(self.quality, name) for name in QUALITY_COLUMNS]
        return [
            no_formula(self.path),
            "" if self.face is None else str(self.face),
            str(self.status),
            self.expression or "",
            _number(self.probability, 6),
            "yes" if self.unsure else "no" if self.recognised else "",
            self.decided_by or "",
            *(_number(self.probabilities.get(name), 6) for name in classes),
            *(_number(value, 2) for value in box),
            " ".join(self.candidates),
            *(_number(value, 3) for value in quality),
            "" if self.frame is None else str(self.frame),
            _number(self.time, 3),
            "" if self.track is None else str(self.track),
        ]


def columns(classes: Sequence[str]) -> list[str]:
    """Return the names of a table's columns for a model with these classes."""
    of_classes = [f"p_{name}" for name in classes]
    return [*FIXED_COLUMNS, *of_classes, *BOX_COLUMNS, "candidates", *QUALITY_COLUMNS, *VIDEO_COLUMNS]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(value, digits)
