"""A trained run exported: the files, what is measured of them, and what stands in the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import dcdan.export.export as module
from dcdan.core.atomic_io import sha256
from dcdan.core.errors import ModelError, OutputError, UsageError
from dcdan.evaluation.torch_recogniser import TorchRecogniser
from dcdan.export.export import export, measure_latency
from dcdan.inference.model_card import INT8_NAME, read_model_info, verified
from dcdan.inference.recogniser import load
from dcdan.inference.session import Session
from dcdan.packs.pack import Pack
from tiny_model import write_run


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time little, and leave faces to compare on."""
    monkeypatch.setattr(module, "TIMED", {1: 2, 32: 1})
    monkeypatch.setattr(module, "CALIBRATED", 16)


@pytest.fixture
def trained(adapted: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a whole run."""
    return Path(shutil.copytree(adapted["dcdan"], tmp_path / "run"))


def test_a_run_gets_an_int8_graph_that_answers_alike(
    trained: Path, domains: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((trained / "model.json").read_text())
    found = export(trained, progress=False)
    info = read_model_info(trained)
    assert verified(trained, info, INT8_NAME) == trained / INT8_NAME
    assert info.files[INT8_NAME] == sha256(trained / INT8_NAME)
    after = json.loads((trained / "model.json").read_text())
    assert {**after, "files": before["files"], "checksum": before["checksum"]} == before
    assert {**before["files"], INT8_NAME: info.files[INT8_NAME]} == after["files"]

    faces = np.asarray(Pack.open(domains[1]).faces)
    one, other = (load(trained, threads=1, precision=kind).recognise_faces(faces) for kind in ("fp32", "int8"))
    assert 0 < np.abs(one.probabilities - other.probabilities).max() < 0.3
    assert (one.expression == other.expression).mean() > 0.8

    assert found.megabytes["int8"] < found.megabytes["fp32"]
    assert set(found.parity) == set(found.rounding) == {1, 2, 7}
    assert max(found.parity.values()) < 1e-4 < max(found.rounding.values())
    assert found.agreement is not None
    assert found.target_faces == len(faces) - 16
    assert found.source_faces > 0
    assert set(found.accuracy) == {"fp32", "int8"}
    assert all(value > 0 for speeds in found.milliseconds.values() for value in speeds.values())
    assert json.loads((trained / "export.json").read_text())["agreement"] == found.agreement

    from rich.console import Console

    Console(width=120).print(found.table())
    told = capsys.readouterr().out
    assert "target faces" in told
    assert "held-out source faces" in told


def test_a_run_without_a_graph_answers_as_its_graph_and_gets_one(
    trained: Path, domains: tuple[Path, Path], tmp_path: Path
) -> None:
    wanted = load(trained, threads=1)
    description = json.loads((trained / "model.json").read_text())
    checksum = description["files"].pop("model.onnx")
    del description["checksum"]
    (trained / "model.json").write_text(json.dumps(description))
    (trained / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"has no model\.onnx yet, .*: `dcdan export .*` makes it"):
        load(trained)
    for domain in domains:  # one grey, one in colour
        faces = Pack.open(domain).faces
        answers = wanted.recognise_faces(faces)
        found = TorchRecogniser(trained).recognise_faces(faces)
        for name in ("probabilities", "confidence", "region_weights"):
            np.testing.assert_allclose(getattr(found, name), getattr(answers, name), atol=1e-5, err_msg=name)
        assert (found.expression == answers.expression).all()
        assert (found.decided_by == answers.decided_by).all()
    export(trained, int8=False, progress=False)
    info = read_model_info(trained)
    assert verified(trained, info) == trained / "model.onnx"
    assert {**info.model_dump(), "files": 0} == {**wanted.info.model_dump(), "files": 0}
    assert info.files["model.onnx"] == checksum


def test_a_folder_of_its_own_holds_what_running_needs(trained: Path, tmp_path: Path) -> None:
    found = export(trained, tmp_path / "out", int8=False, progress=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["export.json", "model.json", "model.onnx"]
    assert not (trained / "export.json").exists()
    assert set(read_model_info(tmp_path / "out").files) == {"model.onnx"}
    assert load(tmp_path / "out", threads=1).classes == load(trained, threads=1).classes
    assert found.agreement is None
    assert list(found.megabytes) == ["fp32"]
    with pytest.raises(OutputError, match="exists already"):
        export(trained, tmp_path / "out", int8=False, progress=False)
    export(trained, tmp_path / "out", int8=False, force=True, progress=False)


def test_other_faces_may_set_the_ranges(trained: Path, domains: tuple[Path, Path], tmp_path: Path) -> None:
    (trained / "config.toml").unlink()
    with pytest.raises(UsageError, match="--faces"):
        export(trained, progress=False)
    with pytest.raises(UsageError, match="cannot be used"):
        export(trained, faces=str(tmp_path / "nix"), progress=False)
    found = export(trained, faces=str(domains[0]), progress=False)
    assert found.agreement is not None
    assert found.accuracy == {}
    assert any("does not record its source data" in note for note in found.notes)


def test_speeds_are_milliseconds_a_face(run: Path) -> None:
    info = read_model_info(run)
    sessions = [Session(run / "model.onnx", info, 1)] * 2
    for speeds in measure_latency(sessions, np.zeros((3, 32, 32, 3), np.uint8)):
        assert set(speeds) == {1, 32}
        assert 0 < speeds[32] < speeds[1]


def test_a_model_without_its_weights_is_exported_without_the_comparison_in_torch(tmp_path: Path) -> None:
    found = export(write_run(tmp_path / "run"), tmp_path / "out", int8=False, progress=False)
    assert found.parity == {}
    assert any("Not compared with the network in torch" in note for note in found.notes)
