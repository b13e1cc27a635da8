"""Turning a drawn head: parallax from an ellipsoid's depth, then roll, size and place in the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dcdan.data.synthetic.action_units import FloatArray
from dcdan.data.synthetic.geometry import Geometry

_CENTRE = np.array([0.5, 0.55])
_RADII = np.array([0.42, 0.62])
_HEAD_DEPTH = 0.36
_RAISED = {"tip": 0.085, "wing": 0.05, "nostril": 0.05, "nose": 0.06, "glasses": 0.03, "ear": -0.06, "hair_back": -0.12}


@lru_cache(maxsize=512)
def _depth(part: str) -> float:
    """Return how far a part stands out of the head's ellipsoid, by the longest beginning of its name that is known."""
    return next(
        (_RAISED[start] for start in ("hair_back", part.split("_")[0]) if part.startswith(start) and start in _RAISED),
        0.0,
    )


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles in radians (yaw to the right, pitch down, roll clockwise), size as a factor, shift in face sides."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def project(self, points: FloatArray, raised: FloatArray | float = 0.0) -> FloatArray:
        """Move points (n, 2); `raised` (n,) or a number is how far they stand out of the head, in face sides."""
        offset = (points - _CENTRE) / _RADII
        depth = _HEAD_DEPTH * np.sqrt(np.clip(1.0 - (offset**2).sum(axis=1), 0.0, 1.0)) + raised
        # The plane of the features stays where it is, as it would after alignment by the landmarks.
        depth = depth - 0.9 * _HEAD_DEPTH
        turned = points + 0.0
        turned[:, 0] += (points[:, 0] - 0.5) * (np.cos(self.yaw) - 1.0) + depth * np.sin(self.yaw)
        turned[:, 1] += depth * np.sin(self.pitch)
        cos, sin = self.scale * np.cos(self.roll), self.scale * np.sin(self.roll)
        rotation = np.array([[cos, sin], [-sin, cos]])
        moved: FloatArray = (turned - _CENTRE) @ rotation + _CENTRE + np.asarray(self.shift)
        return moved

    def apply(self, geometry: Geometry) -> Geometry:
        """Return the geometry with every part and landmark projected."""
        names = list(geometry.parts)
        sizes = [len(geometry.parts[name]) for name in names]
        depths = [_depth(name) for name in names]
        points = np.concatenate([geometry.parts[name] for name in names] + [geometry.landmarks])
        raised = np.concatenate([np.repeat(depths, sizes), [0.0, 0.0, _RAISED["tip"], 0.0, 0.0]])
        moved = self.project(points, raised)
        ends = np.cumsum(sizes).tolist()
        parts = {name: moved[start:end] for name, start, end in zip(names, [0, *ends], ends, strict=False)}
        return geometry.moved(parts, moved[ends[-1] :])
