"""How well faces can be seen: size, sharpness and pose, measured on a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dcdan.faces.extract import Face

Floats = npt.NDArray[np.float32]

# How far the tip of the nose stands before the plane of eyes and mouth, in halves of the distance between the eyes, on
# the mean head of the Basel Face Model (Paysan et al., AVSS 2009).
_NOSE = 1.2

# Waves over a face, in radians a side, at which sharpness is a half: between a face of a photograph that fills the
# aligned face (about 42) and the same face blurred by a fiftieth of its side (25).
_HALF_SHARP = 32.0

# In grey levels squared: what rounding to whole levels (variance 1/12) adds to the variance of the Laplacian, and what
# keeps a flat face from being sharp by such noise alone.
_ROUNDING = 20 / 12
_FLAT = 25.0

# Larger faces are reduced to this side first: what is soft in them would drown in their rounding.
_MOST = 64

_AT_A_TIME = 64

_COLOURED = 2.0
"""Mean difference in levels between the strongest and the weakest channel of a face that has colour."""


@dataclass(frozen=True, slots=True)
class Qualities:
    """What can be said of N faces, each (N,) float32.

    Attributes:
        side: shorter side of the box in pixels of the picture.
        sharpness: 0 (blurred) .. 1 (sharp), of the aligned face.
        yaw: degrees, -90..90, positive when the head is turned to the right in the picture; NaN without landmarks.
        roll: degrees, -180..180, of the line through the eyes, clockwise in the picture; NaN without landmarks.
        score: the detector's, 0..1.
        grey: bool, whether the face has no colour.
    """

    side: Floats
    sharpness: Floats
    yaw: Floats
    roll: Floats
    score: Floats
    grey: npt.NDArray[np.bool_]


def qualities(faces: Sequence[Face]) -> Qualities:
    """Return the quality of N faces of one size."""
    if not faces:
        none = np.zeros(0, np.float32)
        return Qualities(none, none, none, none, none, np.zeros(0, np.bool_))
    boxes = np.stack([face.box for face in faces])
    unknown = np.full((5, 2), np.nan, np.float32)
    points = np.stack([unknown if face.points is None else face.points for face in faces])
    pieces = [faces[start : start + _AT_A_TIME] for start in range(0, len(faces), _AT_A_TIME)]
    return Qualities(
        (boxes[:, 2:] - boxes[:, :2]).min(axis=1).astype(np.float32),
        np.concatenate([sharpness(np.stack([face.pixels for face in piece])) for piece in pieces]),
        yaw(points),
        roll(points),
        np.array([face.score for face in faces], np.float32),
        np.concatenate([greyness(np.stack([face.pixels for face in piece])) for piece in pieces]),
    )


def greyness(faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return whether faces (N, S, S, 3) uint8 RGB have no colour, (N,): their channels differ by two levels on average.

    >>> grey = np.full((1, 4, 4, 3), 90, np.uint8)
    >>> greyness(np.concatenate([grey, grey + np.array([40, 10, 0], np.uint8)])).tolist()
    [True, False]
    """
    spread = faces.max(axis=3).astype(np.float32) - faces.min(axis=3)
    return np.asarray(spread.mean(axis=(1, 2)) < _COLOURED)


def sharpness(faces: npt.NDArray[np.uint8]) -> Floats:
    """Return how sharp faces (N, S, S, 3) uint8 RGB are, (N,) in 0..1; any blur lowers it, contrast does not matter.

    The variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) over the variance of the face is the mean fourth
    power of its waves; the waves are counted over the side of the face, so that faces of 64 and of 112 pixels compare.
    """
    count, side = faces.shape[:2]
    # All faces as one tall picture: one call of OpenCV for the batch.
    grey = cv2.cvtColor(faces.reshape(count * side, side, 3), cv2.COLOR_RGB2GRAY)
    grey = grey.reshape(count, side, side).astype(np.float32)
    seen = min(side, _MOST)
    if seen < side:
        # What averaging over areas does to a column of pixels, as a matrix for the whole batch.
        average = cv2.resize(np.eye(side, dtype=np.float32), (side, seen), interpolation=cv2.INTER_AREA)
        grey = average @ grey @ average.T
    middle = grey[:, 1:-1, 1:-1]
    beside = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    detail = np.maximum((4 * middle - beside).var(axis=(1, 2)) - _ROUNDING * (seen / side) ** 2, 0)
    waves = detail / (grey.var(axis=(1, 2)) + _FLAT) * (seen / _HALF_SHARP) ** 4
    return np.asarray(waves / (waves + 1), np.float32)


def yaw(points: npt.ArrayLike) -> Floats:
    """Return by how many degrees heads are turned, (N,) in -90..90, from landmarks (N, 5, 2) in any unit.

    Seen from afar, a turn by an angle shortens the distance between the eyes by its cosine and moves the nose off the
    middle of the face by its sine. Positive is to the right in the picture; NaN where a landmark is NaN.
    """
    turned = _upright(points)
    eyes, nose, mouth = turned[:, :2].mean(axis=1), turned[:, 2], turned[:, 3:].mean(axis=1)
    length = mouth[:, 1] - eyes[:, 1]
    # The middle of the face is taken at the height of the nose, should eyes and mouth not lie above each other.
    share = np.clip((nose[:, 1] - eyes[:, 1]) / np.where(length == 0, 1.0, length), 0.0, 1.0)
    off = nose[:, 0] - (eyes[:, 0] + share * (mouth[:, 0] - eyes[:, 0]))
    half = (turned[:, 1, 0] - turned[:, 0, 0]) / 2
    return np.asarray(np.degrees(np.arctan2(off / _NOSE, half)), np.float32)


def roll(points: npt.ArrayLike) -> Floats:
    """Return by how many degrees, clockwise, the line through the eyes is turned: (N,) in -180..180 of (N, 5, 2)."""
    line = np.asarray(points, np.float64)
    across = line[:, 1] - line[:, 0]
    return np.asarray(np.degrees(np.arctan2(across[:, 1], across[:, 0])), np.float32)


def _upright(points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return landmarks (N, 5, 2) turned about the origin so that the left eye lies level with the right one."""
    given = np.asarray(points, np.float64)
    angle = np.radians(roll(given).astype(np.float64))[:, None]
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = given[..., 0], given[..., 1]
    return np.stack([x * cos + y * sin, y * cos - x * sin], axis=-1)
