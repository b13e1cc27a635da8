"""`dcdan adapt --method` without a source set: drawn faces, a real tiny network, from the command to `predict`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import dcdan
from dcdan.cli.main import run as command
from dcdan.core.errors import DataError, ModelError, UsageError
from dcdan.export.source_free import CHECKPOINT, adapt_by_method, parse_settings, probabilities_of
from dcdan.inference.model_card import read_model_info
from dcdan.inference.session import Session
from dcdan.methods.source_free.base import find_source_free
from dcdan.packs.pack import Pack
from dcdan.training.pretrained import network_of_model
from dcdan.training.source_free import AdaptSettings
from source_free_batch import CLASSES
from source_free_model import write_source_model
from tiny_training import drawn

COUNT = 42


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source_model(tmp_path_factory.mktemp("models") / "tïny model")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("faces"), "street", COUNT)


def table(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_that_predict_reads(
    model: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ein Läuf"
    arguments = ["adapt", "--target", str(target), "--method", "shot_im", "--model", str(model), "--out", str(out)]
    assert command([*arguments, "--set", "steps=3", "--set", "device=cpu", "--seed", "4"]) == 0
    told = capsys.readouterr()
    assert f"{COUNT} faces, 3 steps" in told.out
    assert "cannot be told without labels" in told.out
    assert "Next: dcdan predict" in told.err
    faces = np.asarray(Pack.open(target, labelled=False).faces)
    info = read_model_info(out)
    graph = Session(out / "model.onnx", info, 1).run(faces).probabilities
    network, _ = network_of_model(out)
    np.testing.assert_allclose(probabilities_of(network, info, faces), graph, atol=1e-4)
    assert not np.allclose(Session(model / "model.onnx", read_model_info(model), 1).run(faces).probabilities, graph)
    rows = table(out)
    assert [CLASSES.index(row["expression"]) for row in rows] == graph.argmax(1).tolist()
    assert [[float(row[f"p_{name}"]) for name in CLASSES] for row in rows] == pytest.approx(graph, abs=1e-4)
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert (run["finished"], run["settings"]["method"], run["settings"]["loop"]["seed"]) == (True, "shot_im", 4)
    assert not (out / CHECKPOINT).exists()
    assert info.training["source_free_method"] == "shot_im"
    assert len(dcdan.load(out).classes) == len(CLASSES)
    assert command([*arguments, "--set", "steps=3"]) == 6
    assert "holds another run" in capsys.readouterr().err
    assert command([*arguments, "--set", "steps=0", "--set", "device=cpu", "--force", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_answers_of_a_method_without_a_model(model: Path, target: Path, tmp_path: Path) -> None:
    done = adapt_by_method(target, tmp_path / "run", "lame", model=model)
    assert done.joint
    assert "answers these faces only" in " ".join(done.lines())
    rows = table(tmp_path / "run")
    given = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in rows])
    np.testing.assert_allclose(given.sum(1), 1, atol=1e-4)
    faces = np.asarray(Pack.open(target, labelled=False).faces)
    own = Session(tmp_path / "run/model.onnx", read_model_info(tmp_path / "run"), 1).run(faces).probabilities
    theirs = Session(model / "model.onnx", read_model_info(model), 1).run(faces).probabilities
    np.testing.assert_allclose(own, theirs, atol=1e-5)
    assert not np.allclose(given, own, atol=1e-3)


def test_from_python(model: Path, target: Path, tmp_path: Path) -> None:
    loaded = dcdan.adapt(
        target=target,
        out=tmp_path / "run",
        model=model,
        method="eata",
        steps=1,
        options={"margin": 2.0},
        progress=False,
    )
    assert loaded.classes == CLASSES
    run = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert run["settings"]["options"]["margin"] == 2.0
    with pytest.raises(UsageError, match="have no meaning for a method without a source"):
        dcdan.adapt(target=target, out=tmp_path / "other", model=model, method="tent", labels="labels.csv")
    with pytest.raises(UsageError, match="needs target and out"):
        dcdan.adapt(target=target, method="tent")


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        (["--method", "tentt"], 2, "Did you mean 'tent'?"),
        (["--method", "tent", "--shares", "most"], 2, "most"),
        (["--method", "tent", "--threads", "1"], 2, "--threads has no meaning for a --method without --source"),
        (["--method", "tent", "--preset", "paper"], 2, "--preset has no meaning for a --method without --source"),
        (["--method", "tent", "--set", "learning=1"], 2, "learning"),
        (["--method", "eata", "--set", "options.margin=-1"], 2, "margin"),
        (["--method", "tent", "--set", "lr=0"], 2, "lr"),
        (["--method", "tent", "--limit", "1"], 3, "1 faces are too few"),
    ],
)
def test_wrong_use(
    model: Path,
    target: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    sentence: str,
) -> None:
    arguments = ["adapt", "--target", str(target), "--model", str(model), "--out", str(tmp_path / "out")]
    assert command([*arguments, *more]) == code
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


def test_a_method_needs_faces(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["adapt", "--method", "tent", "--out", str(tmp_path / "out")]) == 2
    assert "--method needs your faces: give --target." in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        adapt_by_method(tmp_path / "empty", tmp_path / "out", "tent", model=model)
    assert not (tmp_path / "out/model.json").exists()


def test_a_damaged_model_is_refused(target: Path, tmp_path: Path) -> None:
    broken = write_source_model(tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\x80\x7f")
    with pytest.raises(ModelError):
        adapt_by_method(target, tmp_path / "out", "tent", model=broken)
    weights.unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        adapt_by_method(target, tmp_path / "out", "tent", model=broken)


def test_settings_of_the_loop_and_of_the_method() -> None:
    found, options = parse_settings(find_source_free("eata"), ["lr=0.5", "options.margin=.3"], seed=2, passes=None)
    assert found == AdaptSettings(lr=0.5, seed=2)
    assert options == {"margin": 0.3}
    assert parse_settings(find_source_free("eata"), [], options__margin=0.2)[1] == {"margin": 0.2}
