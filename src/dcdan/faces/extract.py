"""Pictures -> faces of one size, aligned: what packs are built from and what a recogniser is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from dcdan.core.errors import unknown
from dcdan.faces.align import TEMPLATE, align, aligned_landmarks
from dcdan.faces.detectors.base import Detections, FaceDetector
from dcdan.faces.detectors.registry import create_detector
from dcdan.images.status import Status

Image = npt.NDArray[np.uint8]
Alignment = Literal["mtcnn", "none"]
ALIGNMENTS: tuple[Alignment, ...] = ("mtcnn", "none")

# A 48 pixel crop enlarged three times with a border of 24 is where MTCNN finds most (82 % without the border).
_CROP_SIDE = 144
_CROP_BORDER = 24

_SMALLER = 0.7


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        box: (4,) float32, x0, y0, x1, y1 in pixels of the picture that it came from.
        landmarks: (5, 2) float32, x, y in units of the face side, within ``pixels`` (order as in ``Detections``).
        score: the detector's, 0..1; 1 where no detector was asked, 0 where it found nothing.
        status: OK, or NOT_ALIGNED for a crop kept as it was.
        points: (5, 2) float32, the landmarks in pixels of the picture that it came from; None where none were found.
    """

    pixels: Image
    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    score: float
    status: Status
    points: npt.NDArray[np.float32] | None = None


class Extractor:
    """Finds and aligns the faces of pictures, a batch at a time; holds a detector and no other state."""

    def __init__(
        self,
        size: int,
        align: Alignment = "mtcnn",
        cropped: bool = False,
        max_faces: int | None = None,
        threads: int | None = None,
        detector: FaceDetector | None = None,
    ) -> None:
        """Set up the extraction.

        Args:
            size: side of the faces in pixels.
            align: ``mtcnn`` finds landmarks and aligns to them; ``none`` takes the whole picture as the face.
            cropped: the pictures are face crops already: one face each, always.
            max_faces: of photographs, keep only so many of the largest faces; None keeps all.
            threads: threads of the detector; None for all cores.
            detector: one to use instead of the built-in one.

        Raises:
            UsageError: an unknown alignment.
        """
        if align not in ALIGNMENTS:
            raise unknown("alignment", align, ALIGNMENTS)
        self.size = size
        self.align: Alignment = align
        self.cropped = cropped
        self.max_faces = max_faces
        self._made_of = (size, align, cropped, max_faces, threads, detector)
        self._detector = detector
        if detector is None and align != "none":
            self._detector = create_detector(align, threads=threads, framing="crop" if cropped else "photo")

    def __reduce__(self) -> tuple[type[Extractor], tuple[object, ...]]:
        # The nets of the detector cannot be pickled: another process loads its own.
        return Extractor, self._made_of

    def at_least(self, side: float) -> Extractor:
        """Return one that need not find faces of photographs whose box is below ``side`` pixels, to save time."""
        if self._detector is None or self.cropped or side <= 0:
            return self
        # Boxes are a little smaller or larger than the size that was searched for.
        detector = self._detector.at_least(_SMALLER * side)
        return Extractor(self.size, self.align, max_faces=self.max_faces, detector=detector)

    def extract(self, images: Sequence[Image]) -> list[list[Face]]:
        """Return the faces of each picture, (H, W, 3) uint8 RGB; an empty list where a photograph has none."""
        if self._detector is None:
            return [[self._whole(image, 1.0, Status.OK)] for image in images]
        if self.cropped:
            framed = [frame_crop(image) for image in images]
            found = self._detector.detect([picture for picture, _ in framed])
            return [
                [self._of_crop(image, picture.shape, scale, faces)]
                for image, (picture, scale), faces in zip(images, framed, found, strict=True)
            ]
        found = self._detector.detect(images)
        return [self._of_photo(image, faces) for image, faces in zip(images, found, strict=True)]

    def detect_near(self, images: Sequence[Image], places: Sequence[npt.NDArray[np.float32]]) -> list[list[Face]]:
        """Return the faces of each photograph about where its ``places`` (n, 4) are; other faces may be missed.

        Where pictures are not searched for faces anyway, this is :meth:`extract`.
        """
        if self._detector is None or self.cropped:
            return self.extract(images)
        found = self._detector.detect_near(images, places)
        return [self._of_photo(image, faces) for image, faces in zip(images, found, strict=True)]

    def _of_photo(self, image: Image, found: Detections) -> list[Face]:
        count = len(found) if self.max_faces is None else min(len(found), self.max_faces)
        return [self._aligned(image, found.boxes[i], found.landmarks[i], float(found.scores[i])) for i in range(count)]

    def _of_crop(self, image: Image, shape: tuple[int, ...], scale: tuple[float, float], found: Detections) -> Face:
        if len(found) == 0:
            return self._whole(image, 0.0, Status.NOT_ALIGNED)
        middle = np.array([shape[1], shape[0]]) / 2
        away = np.linalg.norm((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - middle, axis=1)
        best = int(away.argmin())
        box = ((found.boxes[best].reshape(2, 2) - _CROP_BORDER) / scale).reshape(4)
        return self._aligned(image, box, (found.landmarks[best] - _CROP_BORDER) / scale, float(found.scores[best]))

    def _aligned(self, image: Image, box: npt.ArrayLike, landmarks: npt.ArrayLike, score: float) -> Face:
        pixels = align(image, landmarks, self.size)
        inside, points = aligned_landmarks(landmarks), np.asarray(landmarks, np.float32)
        return Face(pixels, np.asarray(box, np.float32), inside, score, Status.OK, points)

    def _whole(self, image: Image, score: float, status: Status) -> Face:
        height, width = image.shape[:2]
        how = cv2.INTER_AREA if min(height, width) > self.size else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(image, (self.size, self.size), interpolation=how), np.uint8)
        return Face(pixels, np.array([0, 0, width, height], np.float32), TEMPLATE.copy(), score, status)


def large_enough(faces: Sequence[Face], min_side: float) -> list[Face]:
    """Return the faces whose box has no side of fewer pixels, in their order."""
    return [face for face in faces if float((face.box[2:] - face.box[:2]).min()) >= min_side]


def frame_crop(image: Image) -> tuple[Image, tuple[float, float]]:
    """Return a crop brought to a longer side of 144 with a border of its own edge pixels, and the scales (x, y)."""
    height, width = image.shape[:2]
    factor = _CROP_SIDE / max(height, width)
    new = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image, new, interpolation=how)
    border = _CROP_BORDER
    framed = cv2.copyMakeBorder(resized, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.asarray(framed, np.uint8), (new[0] / width, new[1] / height)
