"""`dcdan adapt` from arguments to files and exit code."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcdan.cli.main import run as dcdan
from dcdan.core.errors import ModelError
from tiny_training import drawn, listed

Domains = tuple[Path, Path]
SETTINGS = ["pretrained=no", "precision=fp32", "device=cpu", "align=none", "source.batch=8", "adaptation.batch=8"]
NETWORK = ["network.trunk=test_byobnet", "network.width=32", "network.groups=4"]
TINY = ["--size", "32", "--quiet", *(word for text in (*SETTINGS, *NETWORK) for word in ("--set", text))]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCDAN_CACHE", str(tmp_path / "cache"))


TARGETS = 32
"""As many faces as an adaptation needs."""


def write_picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(value)
    picture = rng.integers(0, 80, (40, 36, 3)) + value
    Image.fromarray(picture.astype(np.uint8)).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Domains:
    """A folder of labelled pictures, and one of pictures without labels, one of them damaged and one empty."""
    for index in range(36):
        name = ("happy", "Sad", "fear")[index % 3]
        write_picture(tmp_path / "labelled" / name / f"{index}.png", 60 * (index % 3) + index)
    for index in range(TARGETS):
        write_picture(tmp_path / "mine" / "deep" / f"{index}.jpg", 5 * index)
    (tmp_path / "mine" / "damaged.jpg").write_bytes((tmp_path / "mine" / "deep" / "0.jpg").read_bytes()[:200])
    (tmp_path / "mine" / "empty.png").write_bytes(b"")
    (tmp_path / "mine" / "notes.txt").write_text("no picture")
    return tmp_path / "labelled", tmp_path / "mine"


def test_folders_of_pictures_become_a_model_and_its_predictions(
    pictures: Domains, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["adapt", "-s", str(pictures[0]), "-t", str(pictures[1]), "-o", str(out), *TINY, "--method", "adabn"]
    command += ["--seed", "3", "--set", "source.epochs=2", "--set", "source.lr=0.02"]
    assert dcdan(command) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    with (out / "predictions.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == {
        **{f"{index}.jpg": "ok" for index in range(TARGETS)},
        "damaged.jpg": "truncated",
        "empty.png": "empty",
    }
    assert {row["expression"] for row in rows.values()} <= {"happiness", "sadness", "fear", ""}
    assert rows["0.jpg"]["expression"]
    metadata = json.loads((out / "run.json").read_text())
    assert metadata["settings"]["seed"] == 3
    assert metadata["settings"]["method"] == "adabn"
    assert metadata["command"].startswith("dcdan adapt ")
    assert json.loads((out / "model.json").read_text())["classes"] == ["fear", "happiness", "sadness"]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert dcdan(command) == 6
    assert "holds this very run, finished" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert dcdan(["predict", str(pictures[1]), "--model", str(out), "--out", str(tmp_path / "again.csv"), "-q"]) == 0


def test_the_config_of_a_run_names_the_same_run(adapted: dict[str, Path], domains: Domains, tmp_path: Path) -> None:
    folder = shutil.copytree(adapted["dcdan"], tmp_path / "dcdan")
    config = shutil.copy(folder / "config.toml", tmp_path / "mine.toml")
    (folder / "report.html").unlink()
    data = ["--source", str(domains[0]), "--target", str(domains[1]), "--out", str(folder), "--quiet"]
    assert dcdan(["adapt", *data, "--config", str(config), "--seed", "1"]) == 6
    assert dcdan(["adapt", *data, "--config", str(config)]) == 0
    assert (folder / "report.html").is_file()


def test_what_to_do_next_is_said(
    adapted: dict[str, Path], domains: Domains, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(adapted["dann"], tmp_path / "dann")
    (folder / "report.html").unlink()
    data = ["--source", str(domains[0]), "--target", str(domains[1]), "--out", str(folder)]
    assert dcdan(["adapt", *data, "--config", str(folder / "config.toml")]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert str(folder / "report.html") in captured.err
    assert f"dcdan predict PATH... --model {folder}" in captured.err


def test_options_reach_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def noting(*arguments: Any, group: object) -> None:
        seen.extend(arguments)
        raise ModelError("far enough")

    monkeypatch.setattr("dcdan.training.run.train_run", noting)
    config = tmp_path / "a.toml"
    config.write_text("seed = 1\n[adaptation]\nlr = 0.5\nepochs = 9\n[network]\nwidth = 64\n")
    data = ["--source", "a?n=1", "--target", "b", "--out", str(tmp_path / "run"), "--start", str(tmp_path)]
    named = ["--preset", "paper", "--method", "dcdan", "--epochs", "0.5", "--trunk", "resnet50", "--size", "64"]
    assert dcdan(["adapt", *data, *named, "--config", str(config), "--set", "seed=4", "--set", "source.lr=.2"]) == 5
    source, target, out, settings, start, quiet, command = seen
    assert (source, target, out, start, quiet) == ("a?n=1", "b", tmp_path / "run", tmp_path, False)
    assert command.startswith("dcdan adapt --source ")
    assert (settings.seed, settings.preset, settings.teacher, settings.method) == (4, "paper", 0.0, "dcdan")
    assert (settings.size, settings.network.trunk, settings.network.width) == (64, "resnet50", 64)
    assert (settings.adaptation.epochs, settings.adaptation.lr, settings.source.lr) == (0.5, 0.5, 0.2)


@pytest.fixture
def bad(tmp_path: Path, pictures: Domains, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data of all the kinds that cannot be adapted from or to, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hollow").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"\xff\xd8 no picture")
    listed(tmp_path / "packs" / "surprised", ("surprise", "contempt"), [("surprise", ""), ("contempt", "")] * 4)
    listed(tmp_path / "packs" / "lacking", ("fear", "sadness"), [("fear", "")] * 4)
    listed(tmp_path / "packs" / "schema", ("fear", "sadness"), [("fear", "")] * 4)
    about = json.loads((tmp_path / "packs" / "schema" / "pack.json").read_text())
    (tmp_path / "packs" / "schema" / "pack.json").write_text(json.dumps({**about, "schema": 99}))
    drawn(tmp_path / "packs", "street", n=7, size=48)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"--source": "nix"}, 3, "nix"),
        ({"--target": "nix"}, 3, "nix"),
        ({"--source": "hollow"}, 3, "hollow"),
        ({"--target": "hollow"}, 3, "hollow"),
        ({"--target": "texts"}, 3, "texts"),
        ({"--target": "broken"}, 3, "1 not_an_image"),
        ({"--source": "feplus:labelled"}, 2, "Did you mean 'ferplus'?"),
        ({"--source": "ferplus:labelled"}, 3, "fer2013new.csv"),
        ({"--source": "class_folders:labelled?splitt=train"}, 2, "Did you mean 'split'?"),
        ({"--source": "mine"}, 3, "has no labels"),
        ({"--source": "packs/surprised", "--target": "labelled"}, 3, "share too few classes"),
        ({"--source": "packs/lacking"}, 3, "no training face of sadness"),
        ({"--source": "packs/schema"}, 4, "schema 99"),
        ({"--target": "packs/schema"}, 4, "schema 99"),
        ({"--target": "packs/street"}, 4, "48 pixels"),
        ({"--source": "packs/lacking?splitt=train"}, 2, "Did you mean 'split'?"),
        ({"--source": "packs/lacking?split=train"}, 4, "no split 'train'"),
        ({"--out": "full"}, 6, "'full' exists and holds something else"),
        ({"--out": "full/thesis.tex/run"}, 6, "cannot be made"),
        ({"--start": "nix"}, 5, "There is no model at 'nix'"),
        ({"--start": "full/thesis.tex"}, 5, "cannot be read"),
        ({"--config": "nix.toml"}, 2, "'nix.toml' cannot be read"),
        ({"--set": "source.lrr=1"}, 2, "Did you mean 'lr'?"),
        ({"--set": "source.lr"}, 2, "--set key=value"),
        ({"--method": "dcdn"}, 2, "Did you mean 'dcdan'?"),
        ({"--preset": "papper"}, 2, "Did you mean 'paper'?"),
        ({"--trunk": "resnt50"}, 2, "Did you mean 'resnet50'?"),
        ({"--size": "50"}, 2, "multiple of 16"),
        ({"--epochs": "-1"}, 2, "'adaptation.epochs' cannot be -1"),
    ],
)
def test_bad_input_is_one_sentence_and_a_code_and_leaves_nothing(
    bad: Path, changes: dict[str, str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"--source": "labelled", "--target": "mine", "--out": "run", **changes}
    before = {path: path.read_bytes() for path in bad.rglob("*") if path.is_file() and "cache" not in path.parts}
    tiny = TINY if "--trunk" not in changes else ["--quiet"]
    assert dcdan(["adapt", *tiny, *(text for pair in options.items() for text in pair)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("dcdan: ")
    assert captured.err.count("\n") == 1, captured.err
    assert told in captured.err
    assert not (bad / "run").exists()
    assert before == {p: p.read_bytes() for p in bad.rglob("*") if p.is_file() and "cache" not in p.parts}


def test_a_training_that_diverges_has_its_own_code(
    pictures: Domains, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["adapt", "-s", str(pictures[0]), "-t", str(pictures[1]), "-o", str(tmp_path / "run"), *TINY]
    assert dcdan([*command, "--set", "source.lr=1e30", "--set", "source.clip=1e30", "--set", "source.epochs=10"]) == 7
    told = capsys.readouterr().err
    assert "no longer a number at step 4 of the source stage" in told
    assert told.count("\n") == 1


def test_a_run_that_is_told_to_stop_saves_and_says_how_to_go_on(domains: Domains, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        "adapt",
        "-s",
        str(domains[0]),
        "-t",
        str(domains[1]),
        "-o",
        str(out),
        *TINY,
        "--set",
        "source.epochs=9999",
    ]
    code = "import sys; from dcdan.cli.main import run; sys.exit(run(sys.argv[1:]))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        until = time.monotonic() + 120
        while not ((out / "log.jsonl").exists() and '"source"' in (out / "log.jsonl").read_text()):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.startswith("dcdan: Stopped; everything is saved in")
    assert told.count("\n") == 1
    assert (out / "checkpoints" / "last.safetensors").is_file()
    assert not (out / "model.json").exists()
    assert not list(out.rglob("*partial*"))
