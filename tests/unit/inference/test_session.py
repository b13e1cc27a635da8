"""The network in ONNX Runtime: outputs, batches, and graphs that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from acting_model import with_actions
from dcdan.core.errors import ModelError
from dcdan.core.onnx_runtime import OnnxSession
from dcdan.inference.model_card import read_model_info
from dcdan.inference.session import MAX_BATCH, SELF_TEST_SECONDS, Session
from tiny_model import COLOURS, coloured, write_run


@pytest.fixture
def session(run: Path) -> Session:
    return Session(run / "model.onnx", read_model_info(run), threads=1)


def test_every_colour_gives_its_class(session: Session) -> None:
    outputs = session.run(np.stack([coloured(index, 32) for index in range(8)]))
    assert outputs.expression.tolist() == list(range(8))
    assert np.allclose(outputs.probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(outputs.confidence, outputs.probabilities.max(axis=1))
    assert np.allclose(outputs.region_weights.sum(axis=1), 1.0)
    assert len(outputs) == 8


@pytest.mark.parametrize("count", [0, 1, 2, 7, MAX_BATCH, 2 * MAX_BATCH + 5])
def test_batches_do_not_change_the_answers(session: Session, count: int) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
    together = session.run(faces)
    assert together.probabilities.shape == (count, 8)
    assert together.region_weights.shape == (count, 5)
    for index in {0, count // 2, count - 1} if count else set():
        alone = session.run(faces[index : index + 1])
        assert np.allclose(alone.probabilities[0], together.probabilities[index], atol=1e-6)


def test_grey_faces_are_read_as_rgb_of_equal_channels(session: Session) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (3, 32, 32), np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=3)
    assert np.array_equal(session.run(grey).probabilities, session.run(colour).probabilities)


def test_unsure_faces_are_decided_by_another_head(session: Session) -> None:
    black = np.array(COLOURS[0])
    mixed = np.stack([np.full((32, 32, 3), black + step, np.uint8) for step in (0, 90, 127)])
    assert session.run(mixed).decided_by.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("shape", "kind", "told"),
    [
        ((2, 48, 48, 3), np.uint8, "--size 32"),
        ((2, 32, 32, 4), np.uint8, "uint8"),
        ((2, 32, 32, 3), np.float32, "float32"),
    ],
)
def test_faces_that_do_not_fit_are_refused(
    session: Session, shape: tuple[int, ...], kind: type[np.generic], told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        session.run(np.zeros(shape, kind))


def test_a_graph_that_is_none_is_refused(run: Path) -> None:
    (run / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot be loaded: it is no ONNX file") as caught:
        Session(run / "model.onnx", read_model_info(run))
    assert "\n" not in str(caught.value)


def test_a_graph_of_another_size_or_number_of_classes_is_refused(tmp_path: Path, run: Path) -> None:
    other = write_run(tmp_path / "other", size=48)
    with pytest.raises(ModelError, match="faces of 32 pixels"):
        Session(other / "model.onnx", read_model_info(run))
    fewer = write_run(tmp_path / "fewer", classes=("fear", "anger"))
    with pytest.raises(ModelError, match="has 2 classes, its description names 8"):
        Session(fewer / "model.onnx", read_model_info(run))


def test_a_graph_without_an_output_is_refused(run: Path) -> None:
    graph = onnx.load(run / "model.onnx")
    kept = [output for output in graph.graph.output if output.name != "confidence"]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)
    onnx.save(graph, run / "model.onnx")
    with pytest.raises(ModelError, match="lacks confidence"):
        Session(run / "model.onnx", read_model_info(run))


def test_facial_actions_are_an_optional_output(run: Path, session: Session) -> None:
    assert session.run(np.zeros((1, 32, 32, 3), np.uint8)).actions is None
    info = read_model_info(run).model_copy(update={"actions": ("AU1", "AU12")})
    acting = Session(with_actions(run, 2), info, threads=1)
    faces = np.stack([coloured(index, 32) for index in range(3)])
    found = acting.run(faces)
    assert found.actions is not None
    np.testing.assert_array_equal(found.actions, found.probabilities[:, :2])
    empty = acting.run(faces[:0]).actions
    assert empty is not None
    assert empty.shape == (0, 2)
    with pytest.raises(ModelError, match="lacks actions"):
        Session(run / "model.onnx", info, threads=1)
    with pytest.raises(ModelError, match=r"actions of the shape \(2, 3\) for 2 faces and names 2 actions"):
        Session(with_actions(run, 3), info, threads=1)


def test_the_runtimes_own_format_is_refused(run: Path) -> None:
    """S16: a file that is protobuf and, by its bytes 4 to 8, the runtime's own format as well."""
    content = (run / "model.onnx").read_bytes()
    (run / "model.onnx").write_bytes(b"\xa2\x06\x04\x00ORTM"[:4] + b"ORTM" + content)
    with pytest.raises(ModelError, match="not plain ONNX"):
        Session(run / "model.onnx", read_model_info(run))


def test_a_graph_that_does_not_end_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S16: the self-test has a limit, which the session is given."""
    given: list[float | None] = []
    real = OnnxSession.run

    def recorded(self: OnnxSession, *values: Any, seconds: float | None = None) -> Any:
        given.append(seconds)
        return real(self, *values, seconds=seconds)

    monkeypatch.setattr(OnnxSession, "run", recorded)
    Session(run / "model.onnx", read_model_info(run), threads=1)
    assert given == [SELF_TEST_SECONDS]
