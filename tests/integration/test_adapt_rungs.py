"""`dcdan adapt --rungs` without a source set: a real tiny network, drawn pictures, kills, and what `predict` reads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dcdan as package
from dcdan.adaptation.folder import read_run
from dcdan.adaptation.rungs import ANSWERS, answers_of
from dcdan.cli.main import run as dcdan
from dcdan.correction.memory import MEMORY
from dcdan.inference.model_card import read_model_info, write_model_info
from source_free_batch import SIZE, random_faces
from source_free_model import write_source_model
from source_memory import add_noise_memory

COUNT = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_noise_memory(write_source_model(tmp_path_factory.mktemp("models") / "tïny model"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos") / "mit Lücke ü"
    folder.mkdir()
    for number, face in enumerate(random_faces(COUNT, 3)):
        Image.fromarray(face).save(folder / f"{number:02}.png")
    return folder


def adapt(*arguments: object) -> int:
    return dcdan(["adapt", *map(str, arguments), "--threads", "1"])


def files(folder: Path) -> dict[str, str]:
    return dict(read_model_info(folder).files)


def test_both_rungs_are_written_and_what_predicts_is_what_the_verdict_names(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    ask = ["--target", photos, "--model", model, "--shares", "balanced", "--rungs", "output,statistics,training"]
    assert adapt(*ask, "--out", out) == 0
    told = capsys.readouterr()
    assert "statistics of the network, training of the network" in told.err
    settings, content = read_run(out)
    assert settings.rungs == "output,statistics,training"
    assert {"statistics", "training", "training and shares"} <= set(content["tried"])
    assert not (out / "faces.u8").exists()
    notes = json.loads((out / "rungs" / "training" / "rung.json").read_text())["notes"]
    assert notes["finished"]
    assert notes["steps"] == notes["planned"] == 40
    start = np.load(out / "rungs" / "statistics" / ANSWERS)
    trained = np.load(out / "rungs" / "training" / ANSWERS)
    assert start.shape == trained.shape
    assert np.abs(start - trained).max() > 1e-3
    named = content["verdict"]["model"]
    for rung in ("statistics", "training"):
        assert (files(out) == files(out / "rungs" / rung)) == named.startswith(rung)

    before = (out / "rungs" / "training" / "model.onnx").stat().st_mtime_ns
    assert adapt(*ask, "--out", out) == 0
    assert "known from the last run" in capsys.readouterr().err
    assert (out / "rungs" / "training" / "model.onnx").stat().st_mtime_ns == before


def test_python_has_the_same_rungs_and_a_verdict(model: Path, photos: Path, tmp_path: Path) -> None:
    found = package.adapt(
        target=photos, out=tmp_path / "out", model=model, shares="balanced", rungs="output,statistics", progress=False
    )
    assert found.verdict is not None
    assert read_run(tmp_path / "out")[1]["verdict"]["model"] == found.verdict.model


def test_killed_in_the_training_goes_on_to_the_same_weights(model: Path, photos: Path, tmp_path: Path) -> None:
    ask = ["adapt", "--target", str(photos), "--model", str(model), "--shares", "balanced", "--threads", "1"]
    ask += ["--rungs", "output,training"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert dcdan([*ask, "--out", str(whole)]) == 0
    code = (
        "import sys, dcdan.training.source_free as loop\n"
        "loop.AdaptSettings.model_fields['save_seconds'].default = 0.0\n"
        "loop.AdaptSettings.model_rebuild(force=True)\n"
        "from dcdan.cli.main import run\n"
        "raise SystemExit(run(sys.argv[1:]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *ask, "--out", str(broken)], env=dict(os.environ))
    checkpoint = broken / "rungs" / "training" / "adaptation.safetensors"
    ends = time.monotonic() + 120
    while not checkpoint.is_file() and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.is_file()
    assert read_run(broken)[1]["verdict"]["answer"]  # rung 1 is there already
    assert dcdan([*ask, "--out", str(broken)]) == 0
    assert not checkpoint.exists()
    one, two = (np.load(out / "rungs" / "training" / ANSWERS) for out in (whole, broken))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_killed_while_pictures_are_looked_at_keeps_the_faces(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dcdan.adaptation import extraction, job

    class Killed(BaseException):
        pass

    monkeypatch.setattr(extraction, "CHUNK_PICTURES", 8)
    out, seen = tmp_path / "out", []
    whole = job.extract_answers

    def dying(recogniser, inputs, group_of, path, state, advance, *rest):  # type: ignore[no-untyped-def]
        def told(count: int) -> None:
            seen.append(count)
            if len(seen) == 3:
                with (out / "faces.u8").open("ab") as file:
                    file.write(b"half a face")
                raise Killed
            advance(count)

        whole(recogniser, inputs, group_of, path, state, told, *rest)

    ask = ["--target", photos, "--model", model, "--rungs", "output,statistics", "--out", out]
    monkeypatch.setattr(job, "extract_answers", dying)
    with pytest.raises(Killed):
        adapt(*ask)
    assert seen == [0, 8, 8]
    monkeypatch.setattr(job, "extract_answers", whole)
    calls: list[int] = []

    def counted(recogniser, inputs, group_of, path, state, advance, *rest):  # type: ignore[no-untyped-def]
        whole(recogniser, inputs, group_of, path, state, lambda n: (calls.append(n), advance(n)), *rest)

    monkeypatch.setattr(job, "extract_answers", counted)
    assert adapt(*ask) == 0
    assert calls[0] == 16
    assert sum(calls) == COUNT
    straight = tmp_path / "straight"
    assert adapt(*ask[:-1], straight) == 0
    np.testing.assert_allclose(
        np.load(out / "rungs/statistics" / ANSWERS), np.load(straight / "rungs/statistics" / ANSWERS), atol=1e-5
    )


def test_few_faces_stop_at_the_output(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert adapt("--target", photos, "--model", model, "--rungs", "output,training", "--limit", 31, "--out", out) == 0
    assert "31 different faces are too few to change the network: 32 are needed" in capsys.readouterr().err
    assert not (out / "rungs").exists()
    assert not (out / "faces.u8").exists()


def test_models_without_weights_or_memory_say_so(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(model, bare)
    info = read_model_info(bare)
    write_model_info(bare, info.model_copy(update={"files": {k: v for k, v in info.files.items() if k != MEMORY}}))
    assert adapt("--target", photos, "--model", bare, "--rungs", "output,training", "--out", tmp_path / "a") == 0
    assert "'training' needs a source memory, and this model has none" in capsys.readouterr().err
    write_model_info(bare, info.model_copy(update={"files": {"model.onnx": info.files["model.onnx"]}}))
    assert adapt("--target", photos, "--model", bare, "--rungs", "output,statistics", "--out", tmp_path / "b") == 0
    assert "'statistics' needs weights, and this model has none" in capsys.readouterr().err


@pytest.mark.parametrize(("rungs", "said"), [("output,magic", "rung"), ("training", "must name 'output'")])
def test_wrong_rungs(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rungs: str, said: str
) -> None:
    assert adapt("--target", photos, "--model", model, "--rungs", rungs, "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_answers_of_a_rung_are_those_of_its_graph(model: Path, photos: Path) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    expected = np.log(package.load(model, threads=1).recognise_faces(faces).probabilities)
    np.testing.assert_allclose(answers_of(model, faces, 1), expected, atol=1e-5)
