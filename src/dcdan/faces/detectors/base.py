"""What a face detector takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Framing = Literal["photo", "crop"]


@dataclass(frozen=True)
class Detections:
    """The n faces of one picture, the largest and surest first (box area times score).

    Coordinates are pixels from the picture's top left corner, so that the first pixel covers 0 to 1.

    Attributes:
        boxes: (n, 4) float32, x0, y0, x1, y1; may reach over the picture's edge.
        landmarks: (n, 5, 2) float32, x, y of left eye, right eye, nose, left and right mouth corner, where left is
            left in the picture.
        scores: (n,) float32 in 0..1.
    """

    boxes: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """Return the result for a picture without a face."""
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros((0, 5, 2), np.float32),
            np.zeros(0, np.float32),
        )


class FaceDetector(Protocol):
    """Finds the faces of a batch of pictures, each (H, W, 3) uint8 RGB; one result a picture, in order."""

    def detect(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """Return the faces of each picture."""
        ...

    def detect_near(
        self, images: Sequence[npt.NDArray[np.uint8]], places: Sequence[npt.NDArray[np.float32]]
    ) -> list[Detections]:
        """Return the faces of each picture that are about where one of its ``places`` (n, 4) is, without a search."""
        ...

    def at_least(self, side: float) -> FaceDetector:
        """Return one that need not find faces whose box is narrower than about ``side`` pixels, to save time."""
        ...
