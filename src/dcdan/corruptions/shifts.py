"""Known shifts: aligned faces degraded in one way, in five severities, to measure adaptation under a known cause.

They follow ImageNet-C (Hendrycks & Dietterich, ICLR 2019), which has blur, noise, contrast and JPEG, with lengths and
noise in units of the face: a severity means the same at 48 and at 112 pixels. Every shift is a function of faces
`(N, S, S[, 3]) uint8`, the strength of a severity, and the keys of the faces `(N,)`, and returns new faces of the same
shape. The result depends on a face, its name and the seed, not on its batch. A higher severity uses the same random
numbers.

A new shift is a function, an entry in `Kind` and one in `SHIFTS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from dcdan.corruptions.keyed_random import Keys, bits, face_keys, normals, uniforms
from dcdan.corruptions.pose_warp import pose_maps
from dcdan.faces.align import TEMPLATE

Faces = npt.NDArray[np.uint8]
ShiftKind = Literal["blur", "lowlight", "occlusion", "jpeg", "noise", "pose", "contrast"]
SHIFT_KINDS: tuple[ShiftKind, ...] = get_args(ShiftKind)
SEVERITIES = (1, 2, 3, 4, 5)
RECIPE = 1
"""Version of the shifts, raised when one of them changes, so that packs of old and new shifts are distinguished."""

# Averaging pixels reduces their noise, so its deviation is stated for faces of this side.
_NOISE_SIDE = 64
_GAMMA = 2.2
_PHOTONS = 1500.0
_JPEG_SIDE = 112
_BLOCK = 32


class Shift(BaseModel):
    """A shift, its severity and the seed of its random numbers, as pack.json records them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ShiftKind
    severity: int = Field(ge=1, le=5)
    seed: int = 0
    recipe: int = RECIPE


def shifted(faces: np.ndarray, shift: Shift, paths: Sequence[str], numbers: Sequence[int]) -> Faces:
    """Apply a shift to faces.

    Args:
        faces: `(N, S, S) uint8` grey or `(N, S, S, 3) uint8` RGB.
        shift: which shift, how strong, and the seed.
        paths: the picture of each face; with `numbers` it selects the face's random numbers.
        numbers: which face of its picture each is.

    Returns:
        New faces of the same shape.

    Example:
        >>> faces = np.full((1, 8, 8), 100, np.uint8)
        >>> faces[0, 4:] = 200
        >>> np.unique(shifted(faces, Shift(kind="contrast", severity=1), ["a.jpg"], [0])).tolist()
        [125, 175]
    """
    keys = face_keys(paths, numbers, shift.seed, shift.kind)
    how = SHIFTS[shift.kind]
    strength = how.strengths[shift.severity - 1]
    out = np.empty(faces.shape, np.uint8)
    for start in range(0, len(faces), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = how.apply(np.asarray(faces[block]), strength, keys[block])
    return out


def blur(faces: Faces, strength: float, keys: Keys) -> Faces:  # noqa: ARG001
    """Blur with a Gaussian; border pixels are repeated.

    Args:
        faces: `(N, S, S[, 3]) uint8`.
        strength: standard deviation over the face side.
        keys: not used.

    Returns:
        New faces of the same shape.
    """
    deviation = strength * faces.shape[1]
    offsets = np.arange(-math.ceil(4 * deviation), math.ceil(4 * deviation) + 1)
    weights = np.exp(-0.5 * (offsets / deviation) ** 2)
    weights /= weights.sum()
    # cv2.GaussianBlur rounds the weights to a 256th.
    blurred = [cv2.sepFilter2D(face, cv2.CV_64F, weights, weights, borderType=cv2.BORDER_REPLICATE) for face in faces]
    return _bytes(np.stack(blurred))


def contrast(faces: Faces, strength: float, keys: Keys) -> Faces:  # noqa: ARG001
    """Reduce the deviations of each face from its mean, by channel.

    Args:
        faces: `(N, S, S[, 3]) uint8`.
        strength: remaining fraction of the contrast.
        keys: not used.

    Returns:
        New faces of the same shape.
    """
    planes = _planes(faces)
    side = faces.shape[1]
    mean = planes.sum((1, 2), keepdims=True, dtype=np.int64) / (side * side)
    return _bytes((planes - mean) * strength + mean).reshape(faces.shape)


def noise(faces: Faces, strength: float, keys: Keys) -> Faces:
    """Add Gaussian noise; its standard deviation grows with the face side.

    Args:
        faces: `(N, S, S[, 3]) uint8`.
        strength: standard deviation at 64 pixels over the full range.
        keys: `(N,)` keys of the random numbers.

    Returns:
        New faces of the same shape.
    """
    deviation = np.float32(255 * strength * faces.shape[1] / _NOISE_SIDE)
    return _bytes(faces + deviation * normals(keys, faces.shape[1:]))


def lowlight(faces: Faces, strength: float, keys: Keys) -> Faces:
    """Reduce the light (gamma 2.2) and add shot noise; 1,500 photons saturate a pixel of a face of 64 pixels.

    Args:
        faces: `(N, S, S[, 3]) uint8`.
        strength: remaining fraction of the light.
        keys: `(N,)` keys of the random numbers.

    Returns:
        New faces of the same shape.
    """
    light = (np.arange(256) / 255) ** _GAMMA * strength
    full = _PHOTONS * (_NOISE_SIDE / faces.shape[1]) ** 2
    expected = light[faces]
    seen = expected + np.sqrt(expected / full) * normals(keys, faces.shape[1:])
    return _bytes(255 * np.maximum(seen, 0) ** (1 / _GAMMA))


def jpeg(faces: Faces, strength: float, keys: Keys) -> Faces:  # noqa: ARG001
    """Add the change that JPEG compression makes at 112 pixels, where a block is a 14th of the side.

    Args:
        faces: `(N, S, S[, 3]) uint8`.
        strength: JPEG quality, 1 to 100.
        keys: not used.

    Returns:
        New faces of the same shape.
    """
    return np.stack([_compressed(face, int(strength)) for face in faces])


def occlusion(faces: Faces, strength: float, keys: Keys) -> Faces:
    """Cover a part of each face with a grey rectangle, near an eye, the nose or a corner of the mouth.

    Args:
        faces: `(N, S, S[, 3]) uint8`.
        strength: covered fraction of the area.
        keys: `(N,)` keys of the random numbers.

    Returns:
        New faces of the same shape.
    """
    part, dx, dy, shape, grey = uniforms(keys, 5).T
    centre = TEMPLATE[(part * len(TEMPLATE)).astype(int)] + 0.2 * (np.stack([dx, dy], 1) - 0.5)
    wide = 2 ** (1.2 * shape - 0.6)
    half = np.sqrt(strength) / 2 * np.stack([np.sqrt(wide), 1 / np.sqrt(wide)], 1)
    # Moved into the picture, the rectangle covers the stated area, and a larger one contains the smaller.
    centre = np.clip(centre, half, 1 - half)
    across, down = (_covered(centre[:, axis], half[:, axis], faces.shape[1]) for axis in (0, 1))
    mask = (down[:, :, None] * across[:, None, :])[..., None]
    planes = _planes(faces)
    return _bytes(planes + mask * (255 * grey[:, None, None, None] - planes)).reshape(faces.shape)


def pose(faces: Faces, strength: float, keys: Keys) -> Faces:
    """Rotate the head to a random side, and by a third of the angle up or down.

    Args:
        faces: `(N, S, S[, 3]) uint8`.
        strength: degrees to the side.
        keys: `(N,)` keys of the random numbers.

    Returns:
        New faces of the same shape.
    """
    signs = 1.0 - 2.0 * (bits(keys, 2) >> np.uint64(63))
    size = faces.shape[1]
    return np.stack(
        [
            cv2.remap(
                face,
                *pose_maps(size, float(side) * strength, float(way) * strength / 3),
                cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for face, (side, way) in zip(faces, signs, strict=True)
        ]
    )


@dataclass(frozen=True)
class Recipe:
    """The function and the strengths of a shift.

    Attributes:
        apply: the function of faces, strength and keys.
        strengths: the strength at severity 1 to 5.
        unit: what the strength measures.
    """

    apply: Callable[[Faces, float, Keys], Faces]
    strengths: tuple[float, float, float, float, float]
    unit: str


SHIFTS: Mapping[ShiftKind, Recipe] = MappingProxyType(
    {
        "blur": Recipe(blur, (0.01, 0.016, 0.024, 0.034, 0.044), "deviation, share of the face side"),
        "lowlight": Recipe(lowlight, (0.5, 0.28, 0.15, 0.08, 0.04), "share of the light"),
        "occlusion": Recipe(occlusion, (0.05, 0.09, 0.14, 0.2, 0.28), "share of the face's area"),
        "jpeg": Recipe(jpeg, (20, 13, 9, 6, 4), "quality"),
        "noise": Recipe(noise, (0.03, 0.05, 0.08, 0.115, 0.16), "deviation at 64 pixels, share of the range"),
        "pose": Recipe(pose, (10, 17, 24, 31, 38), "degrees"),
        "contrast": Recipe(contrast, (0.5, 0.36, 0.26, 0.18, 0.12), "share of the contrast"),
    }
)


def _planes(faces: Faces) -> Faces:
    """Return faces with a channel axis, `(N, S, S, 1 or 3)`."""
    return faces.reshape(*faces.shape[:3], -1)


def _bytes(values: np.ndarray) -> Faces:
    """Round to uint8."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _compressed(face: Faces, quality: int) -> Faces:
    """Add the change of JPEG compression to one face."""
    side = face.shape[0]
    there = _resized(face, _JPEG_SIDE)
    # OpenCV takes colours in the order blue, green, red.
    _, code = cv2.imencode(".jpg", there[..., ::-1] if face.ndim == 3 else there, [cv2.IMWRITE_JPEG_QUALITY, quality])
    back = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR if face.ndim == 3 else cv2.IMREAD_GRAYSCALE))
    change = (back[..., ::-1] if face.ndim == 3 else back).astype(np.float32) - there
    return _bytes(face + _resized(change, side))


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    """Resize a square picture."""
    if picture.shape[0] == side:
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how))


def _covered(centre: np.ndarray, half: np.ndarray, size: int) -> npt.NDArray[np.float64]:
    """Return the share `(N, size)` of each pixel of a line that lies between centre - half and centre + half."""
    edge = np.arange(size) / size
    low, high = (centre - half)[:, None], (centre + half)[:, None]
    inside = np.minimum(edge + 1 / size, high) - np.maximum(edge, low)
    return np.asarray(np.clip(inside * size, 0, 1))
