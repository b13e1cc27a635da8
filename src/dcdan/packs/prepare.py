"""The preparation of faces: what a process does with a chunk of samples, from pictures to rows and aligned faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from dcdan.corruptions.shifts import shifted
from dcdan.datasets.reader import Reader, Sample
from dcdan.faces.align import TEMPLATE, align, aligned_landmarks
from dcdan.faces.extract import Alignment, Extractor, Face
from dcdan.images.decode import UndecodableImage
from dcdan.images.status import Status
from dcdan.packs.format import utf8_text

TableRow = dict[str, Any]
"""The values for JSON of one row of a pack's table, as `_row` makes them."""

# A batch ends at this many pictures or pixels, so that photographs do not fill the memory.
_BATCH_PICTURES = 64
_BATCH_PIXELS = 24_000_000


class Preparer:
    """Turns samples of one reader into aligned faces.

    A sample with landmarks is aligned by them. A sample with only a box is cropped to it and treated as a crop. In all
    other pictures faces are detected. With the alignment "none" nothing is detected, and crops are resized. A shift of
    the reader's options is applied to the aligned faces, so that the same faces are detected with and without it.

    Args:
        reader: the data set.
        size: side of the faces in pixels.
        alignment: "mtcnn" or "none".
    """

    def __init__(self, reader: Reader, size: int, alignment: Alignment) -> None:
        self.reader = reader
        self.size = size
        self.alignment = alignment
        self._extractors: dict[bool, Extractor] = {}

    def prepare(self, samples: Sequence[Sample]) -> tuple[np.ndarray, list[TableRow]]:
        """Load, detect and align.

        Args:
            samples: a chunk of the reader's samples.

        Returns:
            Faces `(n, S, S, 3)` or `(n, S, S)`, uint8, and the rows of all samples in their order. The faces belong to
            the rows that have a box, in the same order.
        """
        rows: list[TableRow] = []
        faces: list[np.ndarray] = []
        for batch in self._batches(samples):
            found = self._faces([(sample, picture) for sample, picture in batch if isinstance(picture, np.ndarray)])
            for sample, picture in batch:
                if isinstance(picture, Status):
                    rows.append(_row(sample, picture))
                    continue
                kept = next(found)
                faces.extend(self._stored(face.pixels) for face in kept)
                rows.extend(_row(sample, face.status, number, face) for number, face in enumerate(kept))
                if not kept:
                    rows.append(_row(sample, Status.NO_FACE))
        shape = (0, self.size, self.size) if self.reader.channels == 1 else (0, self.size, self.size, 3)
        pixels = np.stack(faces) if faces else np.zeros(shape, np.uint8)
        return self._shifted(pixels, [row for row in rows if row["box"] is not None]), rows

    def _shifted(self, faces: np.ndarray, rows: Sequence[TableRow]) -> np.ndarray:
        """Apply the shift of the options."""
        shift = self.reader.options.known_shift
        if shift is None:
            return faces
        return shifted(faces, shift, [row["path"] for row in rows], [row["face"] for row in rows])

    def _batches(self, samples: Iterable[Sample]) -> Iterator[list[tuple[Sample, np.ndarray | Status]]]:
        """Load samples in batches of limited size."""
        batch: list[tuple[Sample, np.ndarray | Status]] = []
        pixels = 0
        for sample in samples:
            picture = loaded(self.reader, sample)
            if isinstance(picture, np.ndarray):
                pixels += picture.shape[0] * picture.shape[1]
            batch.append((sample, picture))
            if len(batch) >= _BATCH_PICTURES or pixels >= _BATCH_PIXELS:
                yield batch
                batch, pixels = [], 0
        if batch:
            yield batch

    def _faces(self, batch: Sequence[tuple[Sample, np.ndarray]]) -> Iterator[list[Face]]:
        """Yield the chosen faces of each picture of a batch; detection runs on the whole batch at once."""
        if self.alignment == "none":
            return iter([[self._resized(sample, picture)] for sample, picture in batch])
        kept: dict[int, list[Face]] = {}
        for index, (sample, picture) in enumerate(batch):
            if sample.landmarks is not None:
                kept[index] = [self._by_landmarks(sample, picture)]
        for cropped in (True, False):
            chosen = [
                index
                for index, (sample, _) in enumerate(batch)
                if index not in kept and (self.reader.cropped or sample.box is not None) == cropped
            ]
            if not chosen:
                continue
            cuts = [inside_box(picture, sample.box) for sample, picture in (batch[index] for index in chosen)]
            extracted = self._extractor(cropped).extract([cut for cut, _ in cuts])
            for index, (cut, origin), faces in zip(chosen, cuts, extracted, strict=True):
                kept[index] = _moved(self._best(faces, cut), origin)
        return iter([kept[index] for index in range(len(batch))])

    def _extractor(self, cropped: bool) -> Extractor:
        """Return the extractor for crops or for photographs."""
        if cropped not in self._extractors:
            most = 1 if cropped else None
            self._extractors[cropped] = Extractor(self.size, align="mtcnn", cropped=cropped, max_faces=most, threads=1)
        return self._extractors[cropped]

    def _best(self, faces: list[Face], picture: np.ndarray) -> list[Face]:
        """Choose the reader's number of faces; of several, the most prominent."""
        most = self.reader.max_faces
        if most is None or len(faces) <= most:
            return faces
        height, width = picture.shape[:2]
        return sorted(faces, key=lambda face: -prominence(face.box, width, height))[:most]

    def _by_landmarks(self, sample: Sample, picture: np.ndarray) -> Face:
        """Align a face by its annotated landmarks."""
        points = np.array(sample.landmarks, np.float32)
        pixels = align(picture, points, self.size)
        return Face(pixels, _box(sample, picture), aligned_landmarks(points), 1.0, Status.OK)

    def _resized(self, sample: Sample, picture: np.ndarray) -> Face:
        """Resize a crop without alignment."""
        cut, origin = inside_box(picture, sample.box)
        shrinks = cut.shape[0] > self.size or cut.shape[1] > self.size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(cut, (self.size, self.size), interpolation=how), np.uint8)
        points = TEMPLATE.copy()
        if sample.landmarks is not None:
            inside = np.array(sample.landmarks, np.float32) - np.array(origin, np.float32)
            points = (inside / np.array([cut.shape[1], cut.shape[0]], np.float32)).astype(np.float32)
        return Face(pixels, _box(sample, picture), points, 1.0, Status.OK)

    def _stored(self, pixels: np.ndarray) -> np.ndarray:
        # The weights of OpenCV's conversion sum to one exactly, so a grey face is unchanged.
        """Convert a face to grey where the data set is grey."""
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)) if self.reader.channels == 1 else pixels


def loaded(reader: Reader, sample: Sample) -> np.ndarray | Status:
    """Load the picture of a sample.

    Args:
        reader: the data set.
        sample: a sample of it.

    Returns:
        `(H, W, 3) uint8` RGB, or the status that gives the reason why there is none.
    """
    try:
        return reader.load(sample)
    except UndecodableImage as error:
        return error.status
    except FileNotFoundError:
        return Status.MISSING
    except OSError:
        return Status.UNREADABLE


def prominence(box: np.ndarray, width: int, height: int) -> float:
    """Return the prominence of a face: its area, reduced far from the centre of the picture.

    Args:
        box: x0, y0, x1, y1 in pixels.
        width: width of the picture in pixels.
        height: height of the picture in pixels.

    Returns:
        Square pixels.

    Example:
        >>> prominence(np.array([40, 40, 60, 60]), 100, 100), round(prominence(np.array([0, 0, 20, 20]), 100, 100), 1)
        (400.0, 65.4)
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    away = ((x0 + x1 - width) ** 2 + (y0 + y1 - height) ** 2) / (width**2 + height**2)
    return (x1 - x0) * (y1 - y0) / (1 + 8 * away)


def inside_box(
    picture: np.ndarray, box: tuple[float, float, float, float] | None
) -> tuple[np.ndarray, tuple[int, int]]:
    """Crop a picture to a box.

    Args:
        picture: `(H, W, 3) uint8`.
        box: x0, y0, x1, y1 in pixels, or None.

    Returns:
        The crop and the place (x, y) of its corner in the picture. Without a box, or with one of less than two pixels
        inside the picture, the whole picture.
    """
    if box is None:
        return picture, (0, 0)
    height, width = picture.shape[:2]
    x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return picture, (0, 0)
    return np.ascontiguousarray(picture[y0:y1, x0:x1]), (x0, y0)


def _moved(faces: list[Face], origin: tuple[int, int]) -> list[Face]:
    """Shift boxes by the origin of their crop."""
    if origin == (0, 0):
        return faces
    offset = np.array([*origin, *origin], np.float32)
    return [Face(face.pixels, face.box + offset, face.landmarks, face.score, face.status) for face in faces]


def _box(sample: Sample, picture: np.ndarray) -> np.ndarray:
    """Return the box of a sample, or that of the whole picture."""
    whole = (0.0, 0.0, float(picture.shape[1]), float(picture.shape[0]))
    return np.array(sample.box or whole, np.float32)


def _row(sample: Sample, status: Status, number: int = 0, face: Face | None = None) -> TableRow:
    """Return the row of a sample or of one of its faces."""
    return {
        "path": utf8_text(sample.path),
        "face": number,
        "status": str(status),
        "label": sample.label,
        "votes": None if sample.votes is None else list(sample.votes),
        "split": sample.split,
        "subject": sample.subject,
        "groups": dict(sample.groups),
        "values": {name: float(value) for name, value in sample.values.items()},
        "box": None if face is None else [float(value) for value in face.box],
        "score": None if face is None else float(face.score),
        "landmarks": None if face is None else [float(value) for value in face.landmarks.ravel()],
    }
