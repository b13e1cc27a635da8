"""Extraction: which face of which picture, at which size, with which status."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import pytest

from dcdan.core.errors import UsageError
from dcdan.faces.align import TEMPLATE, align
from dcdan.faces.detectors.base import Detections
from dcdan.faces.extract import Extractor
from dcdan.images.status import Status
from drawn import COUNT, face, photo


@cache
def extractor(cropped: bool = False, max_faces: int | None = None) -> Extractor:
    return Extractor(64, cropped=cropped, max_faces=max_faces, threads=1)


class Fixed:
    """A detector that always finds the same faces."""

    def __init__(self, boxes: list[list[float]], landmarks: list[np.ndarray]) -> None:
        self.result = Detections(
            np.array(boxes, np.float32), np.array(landmarks, np.float32), np.full(len(boxes), 0.9, np.float32)
        )
        self.seen: list[tuple[int, ...]] = []

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        self.seen += [image.shape for image in images]
        return [self.result for _ in images]


def test_all_faces_of_photos() -> None:
    results = extractor().extract([photo([[0, 1, 2]]), np.zeros((50, 80, 3), np.uint8), photo([[4]])])
    assert [len(faces) for faces in results] == [3, 0, 1]
    for one in (one for faces in results for one in faces):
        assert one.pixels.shape == (64, 64, 3)
        assert one.pixels.dtype == np.uint8
        assert one.box.shape == (4,)
        assert one.status is Status.OK
        assert 0.7 < one.score <= 1
        assert np.abs(one.landmarks - TEMPLATE).max() < 0.12


def test_max_faces_keeps_the_largest() -> None:
    large = photo([[1]], size=160)
    small = photo([[0]], size=80)
    small = cv2.copyMakeBorder(small, 0, large.shape[0] - small.shape[0], 0, 0, cv2.BORDER_REPLICATE)
    (faces,) = extractor(max_faces=1).extract([np.concatenate([small, large], axis=1)])
    assert len(faces) == 1
    assert faces[0].box[0] > small.shape[1]


def test_the_pixels_are_those_that_the_true_landmarks_give() -> None:
    for index in range(COUNT):
        picture, truth = face(index)
        padded = cv2.copyMakeBorder(picture, 40, 40, 40, 40, cv2.BORDER_REPLICATE)
        (faces,) = extractor().extract([padded])
        wanted = align(padded, truth + 40, 64).astype(float)
        raw = cv2.resize(padded, (64, 64), interpolation=cv2.INTER_AREA)
        error = np.abs(faces[0].pixels - wanted).mean()
        assert error < 0.5 * np.abs(raw - wanted).mean()
        assert faces[0].box[0] < truth[:, 0].min() + 40 < truth[:, 0].max() + 40 < faces[0].box[2]


@pytest.mark.parametrize("side", [48, 100, 300])
def test_crops_of_any_size_are_aligned(side: int) -> None:
    pictures = [face(index, side)[0] for index in range(COUNT)]
    for index, (picture, faces) in enumerate(zip(pictures, extractor(True).extract(pictures), strict=True)):
        assert len(faces) == 1
        assert faces[0].status is Status.OK
        eyes = face(index, side)[1][:2]
        assert faces[0].box[0] < eyes[0, 0] < eyes[1, 0] < faces[0].box[2]
        assert faces[0].box[2] - faces[0].box[0] < 1.3 * len(picture)


def test_a_crop_without_landmarks_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    ((kept,),) = extractor(True).extract([crop])
    assert kept.status is Status.NOT_ALIGNED
    np.testing.assert_array_equal(kept.pixels, crop)
    np.testing.assert_array_equal(kept.landmarks, TEMPLATE)
    np.testing.assert_array_equal(kept.box, [0, 0, 64, 64])
    assert kept.score == 0


def test_of_a_crops_faces_the_one_nearest_the_centre_is_kept() -> None:
    # Enlarged to 144 with a border of 24, the middle of the crop is at 96.
    marks = TEMPLATE * 60
    fixed = Fixed([[20, 20, 80, 80], [70, 70, 130, 130]], [marks + 20, marks + 70])
    ((kept,),) = Extractor(64, cropped=True, detector=fixed).extract([np.zeros((48, 48, 3), np.uint8)])
    assert fixed.seen == [(192, 192, 3)]
    np.testing.assert_allclose(kept.box, (np.array([70, 70, 130, 130]) - 24) / 3, rtol=1e-6)
    np.testing.assert_allclose(kept.landmarks, TEMPLATE, atol=1e-5)


def test_crop_landmarks_are_those_of_the_crop_itself() -> None:
    crop = np.random.default_rng(1).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    fixed = Fixed([[24, 24, 168, 168]], [TEMPLATE * 144 + 24])
    ((kept,),) = Extractor(48, cropped=True, detector=fixed).extract([crop])
    np.testing.assert_array_equal(kept.pixels, crop)


def test_oblong_crops() -> None:
    fixed = Fixed([[24, 24, 96, 168]], [TEMPLATE * 72 + 24])
    Extractor(48, cropped=True, detector=fixed).extract(
        [np.zeros((100, 50, 3), np.uint8), np.zeros((1, 400, 3), np.uint8)]
    )
    assert fixed.seen == [(192, 120, 3), (49, 192, 3)]


def test_no_alignment_takes_the_whole_picture() -> None:
    checks = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8).repeat(3).reshape(128, 128, 3)
    plain = Extractor(64, align="none")
    ((one,), (other,)) = plain.extract([checks, np.full((10, 30, 3), 7, np.uint8)])
    assert abs(one.pixels.astype(float) - 127.5).max() <= 1
    assert (other.pixels == 7).all()
    assert one.status is other.status is Status.OK
    np.testing.assert_array_equal(other.box, [0, 0, 30, 10])
    np.testing.assert_array_equal(one.landmarks, TEMPLATE)


def test_an_unknown_alignment() -> None:
    with pytest.raises(UsageError, match="Did you mean 'none'"):
        Extractor(64, align="non")  # type: ignore[arg-type]


def test_which_statuses_have_a_face() -> None:
    assert {status for status in Status if status.has_face} == {Status.OK, Status.NOT_ALIGNED, Status.TURNED}
    assert f"{Status.NO_FACE}" == "no_face"
