"""Pictures through extraction and the network, in one piece and in many."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcdan.core.errors import DataError, ModelError, UsageError
from dcdan.expressions import EXPRESSIONS
from dcdan.images.status import Status
from dcdan.inference import recogniser as module
from dcdan.inference.recogniser import Recogniser, load
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
    assert [len(faces) for faces in results] == [1] * 7
    assert [faces[0].status for faces in results] == ["ok", "empty", "ok", "missing", "not_an_image", "ok", "ok"]
    names = [faces[0].expression for faces in results]
    assert names == [EXPRESSIONS[5], None, EXPRESSIONS[1], None, None, EXPRESSIONS[7], EXPRESSIONS[0]]
    assert [faces[0].recognised for faces in results] == [name is not None for name in names]
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
    (result,) = load(run, threads=1, align="mtcnn").recognise(coloured(4, side=120))
    assert (result.status, result.face, result.expression) == (Status.NO_FACE, None, None)


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
    assert model.recognise(np.zeros((0, 5, 3), np.uint8))[0].status is Status.EMPTY


@pytest.mark.parametrize(
    ("options", "told"),
    [({"threads": 0}, "threads"), ({"max_faces": 0}, "max_faces"), ({"align": "mtcn"}, "Did you mean 'mtcnn'")],
)
def test_impossible_options_are_refused(run: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load(run, **options)  # type: ignore[arg-type]


def test_faces_that_are_too_small_are_left_out(run: Path) -> None:
    model = load(run, threads=1, min_side=40)
    results = model.recognise([coloured(1, side=40), coloured(1, side=39)])
    assert [own[0].status for own in results] == [Status.OK, Status.NO_FACE]
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
