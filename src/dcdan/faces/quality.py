"""Visual quality of faces: size, sharpness, pose and colour, measured for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dcdan.faces.extract import Face

Floats = npt.NDArray[np.float32]

# Distance of the tip of the nose from the plane of eyes and mouth, in halves of the distance between the eyes, for the
# mean head of the Basel Face Model (Paysan et al., AVSS 2009).
_NOSE = 1.2

# Spatial frequency in radians per face side at which sharpness is 0.5: between a face in a photograph that fills the
# aligned face (about 42) and the same face blurred by a fiftieth of its side (25).
_HALF_SHARP = 32.0

# In squared grey levels: the variance that rounding to integers (1/12 per pixel) adds to the Laplacian, and a constant
# that prevents a flat face from being sharp because of such noise.
_ROUNDING = 20 / 12
_FLAT = 25.0

# Larger faces are reduced to this side first, because rounding errors would dominate their weak high frequencies.
_MOST = 64

_AT_A_TIME = 64

_COLOURED = 2.0
"""Minimum mean difference between the strongest and the weakest channel of a face with colour, in levels."""


@dataclass(frozen=True, slots=True)
class Qualities:
    """Quality of N faces; each field is ``(N,) float32`` unless noted otherwise.

    Attributes:
        side: Shorter side of the box in pixels of the image.
        sharpness: 0 (blurred) .. 1 (sharp), of the aligned face.
        yaw: Degrees, -90..90, positive if the head is turned to the right in the image; NaN without landmarks.
        roll: Degrees, -180..180, clockwise angle of the line through the eyes; NaN without landmarks.
        score: Score of the detector, 0..1.
        grey: ``(N,) bool``, whether the face has no colour.
    """

    side: Floats
    sharpness: Floats
    yaw: Floats
    roll: Floats
    score: Floats
    grey: npt.NDArray[np.bool_]


def qualities(faces: Sequence[Face]) -> Qualities:
    """Measure the quality of faces.

    Args:
        faces: N faces of one size.

    Returns:
        The measurements; empty arrays for no faces.

    Example:
        >>> qualities([]).side.shape
        (0,)
    """
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
    """Return whether faces have no colour: their strongest and weakest channel differ by less than 2 levels.

    Args:
        faces: ``(N, S, S, 3) uint8`` RGB.

    Returns:
        ``(N,) bool``.

    Example:
        >>> grey = np.full((1, 4, 4, 3), 90, np.uint8)
        >>> greyness(np.concatenate([grey, grey + np.array([40, 10, 0], np.uint8)])).tolist()
        [True, False]
    """
    spread = faces.max(axis=3).astype(np.float32) - faces.min(axis=3)
    return np.asarray(spread.mean(axis=(1, 2)) < _COLOURED)


def sharpness(faces: npt.NDArray[np.uint8]) -> Floats:
    """Return the sharpness of faces; any blur lowers it, contrast does not change it.

    The variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) divided by the variance of the face is the mean
    fourth power of its spatial frequency. Frequency is measured per side of the face, so faces of 64 and of 112 pixels
    compare.

    Args:
        faces: ``(N, S, S, 3) uint8`` RGB.

    Returns:
        ``(N,) float32`` in 0..1.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
        >>> flat = np.full((1, 64, 64, 3), 128, np.uint8)
        >>> sharpness(np.concatenate([noise, flat])).round(2).tolist()
        [1.0, 0.0]
    """
    count, side = faces.shape[:2]
    # All faces as one tall picture: one call of OpenCV for the batch.
    grey = cv2.cvtColor(faces.reshape(count * side, side, 3), cv2.COLOR_RGB2GRAY)
    grey = grey.reshape(count, side, side).astype(np.float32)
    seen = min(side, _MOST)
    if seen < side:
        # Area averaging of a column of pixels, as a matrix for the whole batch.
        average = cv2.resize(np.eye(side, dtype=np.float32), (side, seen), interpolation=cv2.INTER_AREA)
        grey = average @ grey @ average.T
    middle = grey[:, 1:-1, 1:-1]
    beside = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    detail = np.maximum((4 * middle - beside).var(axis=(1, 2)) - _ROUNDING * (seen / side) ** 2, 0)
    waves = detail / (grey.var(axis=(1, 2)) + _FLAT) * (seen / _HALF_SHARP) ** 4
    return np.asarray(waves / (waves + 1), np.float32)


def yaw(points: npt.ArrayLike) -> Floats:
    """Estimate the yaw of heads from landmarks.

    Under orthographic projection, a rotation by an angle shortens the distance between the eyes by its cosine and moves
    the nose off the midline of the face by its sine.

    Args:
        points: ``(N, 5, 2)`` landmarks in any unit.

    Returns:
        ``(N,) float32`` degrees in -90..90, positive to the right in the image; NaN where a landmark is NaN.

    Example:
        >>> from dcdan.faces.align import TEMPLATE
        >>> abs(round(float(yaw(TEMPLATE[None])[0])))
        0
    """
    turned = _upright(points)
    eyes, nose, mouth = turned[:, :2].mean(axis=1), turned[:, 2], turned[:, 3:].mean(axis=1)
    length = mouth[:, 1] - eyes[:, 1]
    # The midline is evaluated at the height of the nose, because it is slanted if eyes and mouth are not aligned.
    share = np.clip((nose[:, 1] - eyes[:, 1]) / np.where(length == 0, 1.0, length), 0.0, 1.0)
    off = nose[:, 0] - (eyes[:, 0] + share * (mouth[:, 0] - eyes[:, 0]))
    half = (turned[:, 1, 0] - turned[:, 0, 0]) / 2
    return np.asarray(np.degrees(np.arctan2(off / _NOSE, half)), np.float32)


def roll(points: npt.ArrayLike) -> Floats:
    """Return the clockwise angle of the line through the eyes.

    Args:
        points: ``(N, 5, 2)`` landmarks in any unit.

    Returns:
        ``(N,) float32`` degrees in -180..180.

    Example:
        >>> roll(np.array([[[0, 0], [1, 1], [0, 0], [0, 0], [0, 0]]])).tolist()
        [45.0]
    """
    line = np.asarray(points, np.float64)
    across = line[:, 1] - line[:, 0]
    return np.asarray(np.degrees(np.arctan2(across[:, 1], across[:, 0])), np.float32)


def _upright(points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return landmarks (N, 5, 2) rotated about the origin so that both eyes are at the same height."""
    given = np.asarray(points, np.float64)
    angle = np.radians(roll(given).astype(np.float64))[:, None]
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = given[..., 0], given[..., 1]
    return np.stack([x * cos + y * sin, y * cos - x * sin], axis=-1)
