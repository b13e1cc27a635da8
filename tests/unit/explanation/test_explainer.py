"""Explanations of a real, tiny model: reasons where it has actions, places where it has not, and `dcdan.explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dcdan
from acting_model import write_acting
from dcdan.core.errors import DataError, ModelError, UsageError
from dcdan.explanation.explainer import explain_sources, load_explainer
from dcdan.explanation.sources import FRAMES, Source, sources
from dcdan.expressions import EXPRESSIONS
from dcdan.images.inputs import Picture, find_inputs, read_picture
from dcdan.images.status import Status
from dcdan.inference.annotated_output import video_file
from tiny_model import coloured


@pytest.fixture
def acting(tmp_path: Path) -> Path:
    return write_acting(tmp_path / "acting")


def patterned(index: int) -> np.ndarray:
    """A face of one colour with a black square where the right eye is."""
    face = coloured(index, 32)
    face[7:13, 18:26] = 0
    return face


def test_a_face_is_explained(acting: Path) -> None:
    (found,) = dcdan.explain(patterned(4), acting, threads=1)
    assert found.result.expression == EXPRESSIONS[4]
    assert found.reasons is not None
    assert found.reasons.answer == EXPRESSIONS[4]
    assert found.occlusion is not None
    assert found.occlusion.shape == (5, 5)
    assert found.maps.keys() == {"occlusion"}
    assert found.maps["occlusion"].shape == (32, 32)
    np.testing.assert_array_equal(found.pixels, patterned(4))
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["sentences"] == found.sentences
    assert content["reasons"]["agrees"] is found.reasons.agrees
    assert set(content["reasons"]["actions"]) == {"browDown", "mouthSmile"}
    assert content["actions"] == {} if "actions" in content else True


def test_occlusion_is_that_of_the_model(acting: Path) -> None:
    """The tiny model looks at the mean colour alone: with the square away, the face is nearer to its class."""
    explainer = load_explainer(acting, threads=1)
    (found,) = explainer.explain([read_picture(patterned(4))])[0]
    assert found.occlusion is not None
    face = patterned(4)
    mean = np.round(face.mean((0, 1))).astype(np.uint8)
    covered = face.copy()
    covered[5:14, 18:27] = mean  # row 2 and column 4 of five: 3.2 +- 4.8 pixels around 9.6 and 22.4
    index = EXPRESSIONS.index(str(found.result.expression))
    p, q = (float(explainer.answer(each[None])[0, index]) for each in (face, covered))
    wanted = np.log(p / (1 - p)) - np.log(q / (1 - q))
    assert found.occlusion[1, 3] == pytest.approx(wanted, abs=0.05)


def test_lists_and_unreadable_pictures(acting: Path, tmp_path: Path) -> None:
    Image.fromarray(coloured(1)).save(tmp_path / "1.png")
    given: list[Any] = [tmp_path / "1.png", tmp_path / "missing.png", coloured(3)]
    found = dcdan.explain(given, acting, threads=1, maps=())
    assert [len(own) for own in found] == [1, 0, 1]
    assert found[0][0].result.expression == EXPRESSIONS[1]
    assert found[0][0].occlusion is None
    assert found[0][0].maps == {}
    with pytest.raises(DataError, match="is a folder"):
        dcdan.explain(tmp_path, acting)


def test_a_model_without_actions_says_so(run: Path, tmp_path: Path) -> None:
    explainer = load_explainer(run, threads=1)
    (found,) = dcdan.explain(coloured(2), explainer)
    assert found.reasons is None
    assert found.occlusion is not None
    (note,) = explainer.notes()
    assert "does not estimate facial actions: only where it looks" in note
    (unmapped,) = load_explainer(write_acting(tmp_path / "bare", mapped=False), threads=1).notes()
    assert "has no map from facial actions" in unmapped


def test_the_agreement_is_told(acting: Path) -> None:
    assert load_explainer(acting, threads=1).notes() == [
        "The map from actions to expressions gives the network's answer for 75 % of held-out faces."
    ]


def test_wrong_options_are_sentences(acting: Path) -> None:
    with pytest.raises(UsageError, match="grad-cam"):
        load_explainer(acting, maps=("grad-kam",))
    with pytest.raises(UsageError, match="cropped"):
        dcdan.explain(coloured(1), acting, crop=True)
    with pytest.raises(UsageError, match="load_explainer"):
        dcdan.explain(coloured(1), load_explainer(acting, threads=1), threads=1)
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        load_explainer(acting, maps=("grad-cam",))


def test_faces_are_counted_and_the_rest_is_not_read(acting: Path) -> None:
    read = []

    def given() -> Any:
        for index in range(9):
            read.append(index)
            yield Source(Picture(f"{index}", coloured(index % 8)))

    found = list(explain_sources(load_explainer(acting, threads=1, maps=()), given(), 4))
    assert [len(each.faces) for each in found] == [1] * 4
    assert read == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="at least 1"):
        next(explain_sources(load_explainer(acting, threads=1, maps=()), given(), 0))


def test_videos_are_explained_at_even_distances(acting: Path, tmp_path: Path) -> None:
    with video_file(tmp_path / "talk.mp4", 10.0) as write:
        for index in range(60):
            write(coloured(index // 30, 64))
    found = list(sources(find_inputs([str(tmp_path / "talk.mp4")])))
    assert [each.frame for each in found] == list(range(0, 60, 60 // FRAMES))
    assert [each.frame for each in sources(find_inputs([str(tmp_path / "talk.mp4")]), every=25)] == [0, 25, 50]
    explained = list(explain_sources(load_explainer(acting, threads=1, maps=()), found, 100))
    assert [each.faces[0].result.expression for each in explained] == [EXPRESSIONS[0]] * 6 + [EXPRESSIONS[1]] * 6
    assert explained[6].faces[0].result.time == pytest.approx(3.0, abs=0.1)
    assert explained[6].faces[0].result.frame == 30


def test_a_damaged_video_and_a_camera(tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(b"no video")
    (found,) = sources(find_inputs([str(tmp_path / "cut.mp4")]))
    assert found.picture.pixels is None
    assert found.picture.status is not Status.OK
    with pytest.raises(UsageError, match="is a camera"):
        next(sources(find_inputs(["camera:0"])))


def test_the_last_picture_is_cut(acting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three faces a picture and room for four: one of the second picture is left."""
    explainer = load_explainer(acting, threads=1, maps=())
    (one,) = explainer.explain([Picture("a", coloured(1))])[0]
    monkeypatch.setattr(explainer, "explain", lambda pictures: [[one] * 3 for _ in pictures])
    found = list(explain_sources(explainer, [Source(Picture(name, coloured(1))) for name in "abc"], 4))
    assert [len(each.faces) for each in found] == [3, 1]
