"""Extract aligned faces of one size from images, for packs and for recognition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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

# MTCNN finds most faces in a 48-pixel crop that is enlarged three times with a border of 24 (82 % without the border).
_CROP_SIDE = 144
_CROP_BORDER = 24

_SMALLER = 0.7

_TURNED_SCORE = 0.95
"""Minimum score of a face in a rotated image: three additional searches would otherwise find more false faces."""


@dataclass(frozen=True)
class Face:
    """One extracted face.

    Attributes:
        pixels: ``(S, S, 3) uint8`` RGB.
        box: ``(4,) float32`` x0, y0, x1, y1 in pixels of the original image.
        landmarks: ``(5, 2) float32`` x, y in ``pixels``, in units of the face side; order as in ``Detections``.
        score: Score of the detector, 0..1; 1 without a detector, 0 if the detector found nothing.
        status: OK, TURNED, or NOT_ALIGNED for a crop without landmarks.
        points: ``(5, 2) float32`` landmarks in pixels of the original image; None if there are none.
    """

    pixels: Image
    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    score: float
    status: Status
    points: npt.NDArray[np.float32] | None = None


class Extractor:
    """Finds and aligns the faces of a batch of images; apart from the detector it has no state."""

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
            size: Side of the extracted faces in pixels.
            align: ``mtcnn`` finds landmarks and aligns to them; ``none`` uses the whole image as the face.
            cropped: Whether the images are face crops; then each yields exactly one face.
            max_faces: Maximum number of faces per photograph, the largest first; None for all.
            threads: Threads of the detector, and of OpenCV in this process; None for all cores.
            detector: Replaces the built-in detector.

        Raises:
            UsageError: The alignment is unknown.
        """
        if align not in ALIGNMENTS:
            raise unknown("alignment", align, ALIGNMENTS)
        self.size = size
        self.align: Alignment = align
        self.cropped = cropped
        self.max_faces = max_faces
        self._made_of = (size, align, cropped, max_faces, threads, detector)
        self._detector = detector
        if threads is not None:
            cv2.setNumThreads(threads)
        if detector is None and align != "none":
            self._detector = create_detector(align, threads=threads, framing="crop" if cropped else "photo")

    def __reduce__(self) -> tuple[type[Extractor], tuple[object, ...]]:
        # The detector's networks cannot be pickled: another process loads its own.
        return Extractor, self._made_of

    def at_least(self, side: float) -> Extractor:
        """Return a faster extractor that may miss faces of photographs whose box is smaller than ``side`` pixels.

        Args:
            side: Side of the smallest faces that matter, in pixels.

        Returns:
            A new extractor, or this one if it does not search for faces by size.
        """
        if self._detector is None or self.cropped or side <= 0:
            return self
        # Boxes are slightly smaller or larger than the size that the detector searches for.
        detector = self._detector.at_least(_SMALLER * side)
        return Extractor(self.size, self.align, max_faces=self.max_faces, detector=detector)

    def extract(self, images: Sequence[Image]) -> list[list[Face]]:
        """Return the faces of each image.

        Args:
            images: Images ``(H, W, 3) uint8`` RGB.

        Returns:
            One list per image; empty for a photograph without a face.

        Example:
            >>> faces = Extractor(32, align="none").extract([np.zeros((48, 40, 3), np.uint8)])
            >>> faces[0][0].pixels.shape, faces[0][0].box.tolist()
            ((32, 32, 3), [0.0, 0.0, 40.0, 48.0])
        """
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

    def detect_near(
        self,
        images: Sequence[Image],
        places: Sequence[npt.NDArray[np.float32]],
        search_from: float | None = None,
    ) -> list[list[Face]]:
        """Return the faces of each photograph near given boxes; other faces may be missed.

        An extractor without a detector, or for crops, does the same as :meth:`extract`.

        Args:
            images: Images ``(H, W, 3) uint8`` RGB.
            places: ``(n, 4) float32`` boxes for each image, in its pixels.
            search_from: Also search the whole image for faces of at least this size in pixels; None does not.

        Returns:
            One list per image.
        """
        if self._detector is None or self.cropped:
            return self.extract(images)
        found = self._detector.detect_near(images, places, search_from)
        return [self._of_photo(image, faces) for image, faces in zip(images, found, strict=True)]

    def extract_turned(self, images: Sequence[Image]) -> list[list[Face]]:
        """Return the faces of photographs that were taken sideways or upside down.

        Each image is searched in the three other orientations, and the orientation with the highest face score is used.
        Boxes, points and roll refer to the image as given.

        Args:
            images: Images ``(H, W, 3) uint8`` RGB in which :meth:`extract` found no face.

        Returns:
            One list per image of faces with the status TURNED; empty if there is none, for crops, and without a
            detector.
        """
        if self._detector is None or self.cropped:
            return [[] for _ in images]
        best: list[list[Face]] = [[] for _ in images]
        for quarters in (1, 2, 3):
            turned = [np.ascontiguousarray(np.rot90(image, quarters)) for image in images]
            for place, found in enumerate(self._detector.detect(turned)):
                faces = [face for face in self._of_photo(turned[place], found) if face.score >= _TURNED_SCORE]
                if max((face.score for face in faces), default=0.0) > max((f.score for f in best[place]), default=0.0):
                    best[place] = [turned_back(face, quarters, images[place].shape) for face in faces]
        return best

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
    """Return the faces whose box has no side shorter than ``min_side`` pixels, in the given order."""
    return [face for face in faces if float((face.box[2:] - face.box[:2]).min()) >= min_side]


def scaled(face: Face, scale: float) -> Face:
    """Convert the box and points of a face that was found in a reduced image to pixels of the file.

    Args:
        face: A face.
        scale: Pixels of the file per pixel of the reduced image.

    Returns:
        The converted face.
    """
    if scale == 1:
        return face
    points = None if face.points is None else face.points * np.float32(scale)
    return replace(face, box=face.box * np.float32(scale), points=points)


def turned_back(face: Face, quarters: int, shape: tuple[int, ...]) -> Face:
    """Convert the box and points of a face that was found in ``np.rot90(image, quarters)`` to pixels of the image.

    Args:
        face: The face found in the rotated image.
        quarters: Number of counter-clockwise quarter turns, 1 to 3.
        shape: Shape of the image: height and width first.

    Returns:
        The converted face, with the status TURNED.
    """
    height, width = shape[:2]

    def back(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        x, y = points[..., 0], points[..., 1]
        moved = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarters]
        return np.stack(moved, axis=-1).astype(np.float32)

    corners = back(face.box.reshape(2, 2))
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    points = None if face.points is None else back(face.points)
    return replace(face, box=box, points=points, status=Status.TURNED)


def frame_crop(image: Image) -> tuple[Image, tuple[float, float]]:
    """Resize a face crop to a longer side of 144 pixels and add a border that repeats its edge pixels.

    Args:
        image: ``(H, W, 3) uint8``.

    Returns:
        (the framed crop, (x scale, y scale) from the crop to the resized crop).
    """
    height, width = image.shape[:2]
    factor = _CROP_SIDE / max(height, width)
    new = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image, new, interpolation=how)
    border = _CROP_BORDER
    framed = cv2.copyMakeBorder(resized, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.asarray(framed, np.uint8), (new[0] / width, new[1] / height)
