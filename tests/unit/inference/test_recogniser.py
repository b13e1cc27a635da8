"""Pictures through extraction and the network, in one piece and in many."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dcdan.core import onnx_runtime
from dcdan.core.errors import DataError, ModelError, UsageError
from dcdan.expressions import EXPRESSIONS
from dcdan.images.status import Status
from dcdan.inference import recogniser as module
from dcdan.inference.model_card import read_model_info, write_model_info
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.table import to_columns
from drawn import photo
from tiny_model import coloured, write_run


@pytest.fixture
def model(run: Path) -> Recogniser:
    return load(run, threads=1)


def test_an_array_and_its_file_get_the_same_answer(model: Recogniser, tmp_path: Path) -> None:
    Image.fromarray(coloured(3)).save(tmp_path / "a.png")
    (array,) = model.recognise(coloured(3))
    for source in (tmp_path / "a.png", str(tmp_path / "a.png")):
        (file,) = model.recognise(source)
        assert file.path == str(source)
        assert file.to_dict() | {"path": ""} == array.to_dict()
    assert (array.expression, array.status, array.face) == (EXPRESSIONS[3], Status.OK, 0)
    assert array.probability == pytest.approx(array.probabilities[EXPRESSIONS[3]])
    assert list(array.probabilities) == list(EXPRESSIONS)
    assert array.box == (0.0, 0.0, 40.0, 40.0)
    assert sum(array.region_weights.values()) == pytest.approx(1.0)


def test_class_names_come_from_the_file(tmp_path: Path) -> None:
    order = ("neutral", "happiness", "anger")
    model = load(write_run(tmp_path / "run", classes=order), threads=1)
    assert [faces[0].expression for faces in model.recognise([coloured(i) for i in range(3)])] == list(order)


def test_every_picture_of_a_list_gets_its_own_answer_in_order(
    model: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_PICTURES", 3)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    sources = [
        coloured(5),
        tmp_path / "empty.png",
        coloured(1),
        tmp_path / "nix.png",
        tmp_path / "text.png",
        coloured(7),
        coloured(2)[..., 0],
    ]
    results = model.recognise(sources)
    assert [len(faces) for faces in results] == [1, 0, 1, 0, 0, 1, 1]
    assert [faces.status for faces in results] == ["ok", "empty", "ok", "missing", "not_an_image", "ok", "ok"]
    names = [faces.rows[0].expression for faces in results]
    assert names == [EXPRESSIONS[5], None, EXPRESSIONS[1], None, None, EXPRESSIONS[7], EXPRESSIONS[0]]
    assert [faces.rows[0].recognised for faces in results] == [name is not None for name in names]
    assert model.recognise([]) == []


def test_sources_are_drawn_chunk_by_chunk(model: Recogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_PICTURES", 4)
    drawn = 0

    def sources() -> Iterator[np.ndarray]:
        nonlocal drawn
        for _ in range(40):
            drawn += 1
            yield coloured(1)

    results = model.stream(sources())
    next(results)
    assert drawn == 4
    monkeypatch.setattr(module, "CHUNK_PIXELS", 2 * 40 * 40)
    for _ in range(4):
        next(results)
    assert drawn == 6


def test_a_photograph_without_a_face_says_so(run: Path) -> None:
    """V12: an empty list whose status is reachable, and a row in tables."""
    found = load(run, threads=1, align="mtcnn").recognise(coloured(4, side=120))
    assert (len(found), found.status) == (0, Status.NO_FACE)
    (row,) = found.rows
    assert (row.status, row.face, row.expression) == (Status.NO_FACE, None, None)
    assert to_columns(found)["status"] == to_columns([found])["status"] == ["no_face"]


def test_a_crop_without_landmarks_is_recognised_as_it_is(run: Path) -> None:
    (result,) = load(run, threads=1, align="mtcnn", cropped=True).recognise(coloured(4, side=48))
    assert (result.status, result.expression) == (Status.NOT_ALIGNED, EXPRESSIONS[4])


def test_aligned_faces_need_no_detector(model: Recogniser) -> None:
    outputs = model.recognise_faces(np.stack([coloured(6, 32), coloured(0, 32)]))
    assert outputs.expression.tolist() == [6, 0]
    with pytest.raises(ModelError, match="48 x 48"):
        model.recognise_faces(np.zeros((1, 48, 48, 3), np.uint8))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)]
)
def test_an_array_that_is_no_picture_is_refused(model: Recogniser, image: np.ndarray) -> None:
    with pytest.raises(DataError, match="uint8 array"):
        model.recognise(image)


def test_an_array_without_pixels_has_a_status(model: Recogniser) -> None:
    assert model.recognise(np.zeros((0, 5, 3), np.uint8)).status is Status.EMPTY


@pytest.mark.parametrize(
    ("options", "told"),
    [({"threads": 0}, "threads"), ({"max_faces": 0}, "max_faces"), ({"align": "mtcn"}, "Did you mean 'mtcnn'")],
)
def test_impossible_options_are_refused(run: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load(run, **options)  # type: ignore[arg-type]


def test_faces_that_are_too_small_are_left_out(run: Path) -> None:
    """V10: below the smallest side asked for, a face is ``too_small``, with its box."""
    model = load(run, threads=1, min_side=40)
    results = model.recognise([coloured(1, side=40), coloured(1, side=39)])
    assert [own.status for own in results] == [Status.OK, Status.TOO_SMALL]
    assert (len(results[1]), results[1].rows[0].box) == (0, (0.0, 0.0, 39.0, 39.0))
    assert results[0][0].quality is not None
    assert results[0][0].quality.side == 40


def test_quality_is_filled_in_without_a_pose_where_there_are_no_landmarks(model: Recogniser) -> None:
    (result,) = model.recognise(coloured(1, side=50))
    assert result.quality is not None
    assert (result.quality.side, result.quality.score) == (50, 1)
    assert (result.quality.yaw, result.quality.roll) == (None, None)
    assert result.to_dict()["quality"]["yaw"] is None


def test_several_threads_get_the_answers_of_one(run: Path) -> None:
    rng = np.random.default_rng(0)
    photographs = [photo([[int(rng.integers(6))], [int(rng.integers(6))]]) for _ in range(4)]
    pictures = [*photographs, *(coloured(index) for index in range(8))]
    model = load(run, threads=1, align="mtcnn")
    expected = [model.recognise(picture) for picture in pictures]
    assert sum(face.recognised for own in expected for face in own) >= 8
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(model.recognise, pictures * 3))
    assert found == expected * 3


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photograph_is_recognised_and_says_so(run: Path, quarters: int) -> None:
    """V9: without EXIF, a face is found after turning; its box lies where the face is in the picture as given."""
    picture = photo([[0]], border=60)
    model = load(run, threads=1, align="mtcnn")
    (upright,) = model.recognise(picture)
    assert upright.status is Status.OK
    turned = np.ascontiguousarray(np.rot90(picture, quarters))
    found = model.recognise(turned)
    assert found.status is Status.TURNED
    assert upright.box is not None
    assert found[0].box is not None
    wanted = upright.box
    for _ in range(quarters):  # a quarter turn counter-clockwise of a square picture: (x, y) -> (y, side - x)
        x0, y0, x1, y1 = wanted
        wanted = (y0, len(picture) - x1, y1, len(picture) - x0)
    np.testing.assert_allclose(found[0].box, wanted, atol=1)
    assert found[0].expression == upright.expression
    assert found[0].quality is not None
    assert found[0].quality.roll is not None
    assert abs((found[0].quality.roll + 90 * quarters + 180) % 360 - 180) < 10


def test_only_pictures_without_a_face_are_turned(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(run, threads=1, align="mtcnn")
    searched: list[int] = []
    real = model._extractor.extract_turned
    monkeypatch.setattr(model._extractor, "extract_turned", lambda images: searched.append(len(images)) or real(images))
    found = model.recognise([photo([[0]]), coloured(3, side=100)])
    assert searched == [1]
    assert [own.status for own in found] == [Status.OK, Status.NO_FACE]


def test_a_picture_comes_in_many_forms_and_a_folder_is_refused(model: Recogniser, tmp_path: Path) -> None:
    """V11: bytes, an open file and a Pillow picture are accepted; a folder is a sentence that names predict."""
    picture = Image.fromarray(coloured(5))
    file = io.BytesIO()
    picture.save(file, "png")
    file.seek(0)
    for source in (file.getvalue(), file, picture):
        (result,) = model.recognise(source)
        assert (result.expression, result.path) == (EXPRESSIONS[5], "")
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(DataError, match=r"is a folder.*dcdan predict"):
            model.recognise(folder)


def test_int8_runs_the_int8_graph(run: Path) -> None:
    """Section T: ``load(precision="int8")`` must not run the float graph."""
    other = write_run(run.parent / "other", sharpness=3.0)
    content = (other / "model.onnx").read_bytes()
    (run / "model-int8.onnx").write_bytes(content)
    info = read_model_info(run)
    files = {**info.files, "model-int8.onnx": hashlib.sha256(content).hexdigest()}
    write_model_info(run, info.model_copy(update={"files": files}))
    faces = coloured(3, 32)[None]
    full, small = (load(run, threads=1, precision=precision) for precision in ("fp32", "int8"))
    wanted = load(other, threads=1).recognise_faces(faces).probabilities
    np.testing.assert_array_equal(small.recognise_faces(faces).probabilities, wanted)
    assert np.abs(full.recognise_faces(faces).probabilities - wanted).max() > 0.05
    assert small.provenance["model_sha256"] == files["model-int8.onnx"]
    assert (full.precision, small.precision) == ("fp32", "int8")
    named = load(run / "model-int8.onnx", threads=1)
    np.testing.assert_array_equal(named.recognise_faces(faces).probabilities, wanted)


def test_max_faces_and_the_index_of_a_face(run: Path) -> None:
    """Section T: ``max_faces`` is not ignored, and faces are numbered from 0, the largest first."""
    picture = photo([[0, 1], [2, 3]])
    every = load(run, threads=1, align="mtcnn").recognise(picture)
    assert [face.face for face in every] == list(range(len(every)))
    assert len(every) == 4
    few = load(run, threads=1, align="mtcnn", max_faces=2).recognise(picture)
    assert [(face.face, face.box) for face in few] == [(face.face, face.box) for face in every[:2]]


def test_threads_govern_the_networks_and_opencv(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V14, section T: one setting for ONNX Runtime and OpenCV alike."""
    given: list[int] = []
    real = onnx_runtime.ort.InferenceSession

    def recorded(graph: object, options: Any, **rest: Any) -> Any:
        given.append(options.intra_op_num_threads)
        return real(graph, options, **rest)

    monkeypatch.setattr(onnx_runtime.ort, "InferenceSession", recorded)
    before = cv2.getNumThreads()
    try:
        load(run, threads=2, align="mtcnn")
        assert given == [2] * 4
        assert cv2.getNumThreads() == 2
        load(run, threads=1, align="mtcnn")
        assert (given[4:], cv2.getNumThreads()) == ([1] * 4, 1)
    finally:
        cv2.setNumThreads(before)


def test_the_device_is_reported(run: Path) -> None:
    """P3: the run says what it used."""
    model = load(run, threads=1, device="cpu")
    assert (model.device, model.provenance["device"]) == ("cpu", "cpu")
    with pytest.raises(UsageError, match="Did you mean 'cuda'"):
        load(run, device="cudda")
    with pytest.raises(UsageError, match="cannot use the device 'coreml'"):
        load(run, device="coreml")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_recogniser_works_in_forked_processes(run: Path) -> None:
    """P2: loaded before the fork, used after it, as pre-forking web servers do."""
    model = load(run, threads=2, align="mtcnn")
    picture = photo([[0]])
    wanted = model.recognise(picture)[0].expression
    with multiprocessing.get_context("fork").Pool(2, initializer=_adopt, initargs=(model,)) as pool:
        found = pool.map_async(_recognised, [picture] * 4).get(timeout=120)
    assert found == [wanted] * 4


_ADOPTED: list[Recogniser] = []


def _adopt(model: Recogniser) -> None:
    _ADOPTED.append(model)


def _recognised(picture: np.ndarray) -> str | None:
    return _ADOPTED[0].recognise(picture)[0].expression
