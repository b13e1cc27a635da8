"""The interface of face detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Framing = Literal["photo", "crop"]


@dataclass(frozen=True)
class Detections:
    """The n faces of one image, sorted by box area times score in descending order.

    Coordinates are pixels from the top left corner of the image; the first pixel covers 0 to 1.

    Attributes:
        boxes: ``(n, 4) float32`` x0, y0, x1, y1; may extend beyond the image.
        landmarks: ``(n, 5, 2) float32`` x, y of left eye, right eye, nose, left and right mouth corner; left is left in
            the image.
        scores: ``(n,) float32`` in 0..1.
    """

    boxes: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """Return the result for an image without a face.

        Example:
            >>> len(Detections.none())
            0
        """
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros((0, 5, 2), np.float32),
            np.zeros(0, np.float32),
        )


class FaceDetector(Protocol):
    """A face detector for batches of images; results are in the order of the images."""

    def detect(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """Return the faces of each image.

        Args:
            images: Images ``(H, W, 3) uint8`` RGB.

        Returns:
            One result per image.
        """
        ...

    def detect_near(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        places: Sequence[npt.NDArray[np.float32]],
        search_from: float | None = None,
    ) -> list[Detections]:
        """Return the faces of each image near given boxes.

        Args:
            images: Images ``(H, W, 3) uint8`` RGB.
            places: ``(n, 4) float32`` boxes for each image.
            search_from: Also search the whole image for faces of at least this size in pixels; None does not.

        Returns:
            One result per image.
        """
        ...

    def at_least(self, side: float) -> FaceDetector:
        """Return a faster detector that may miss faces whose box is narrower than about ``side`` pixels."""
        ...
