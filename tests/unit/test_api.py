"""The package from Python: adapt, and go on."""

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

import dcdan
from dcdan.api import flat
from dcdan.core.errors import ModelError, OutputError, UsageError
from dcdan.core.signals import Interrupted
from dcdan.inference.table import columns
from dcdan.packs.pack import Pack
from dcdan.training.settings import RunSettings
from tiny_training import quick

Domains = tuple[Path, Path]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_face_of_the_target_has_its_prediction(adapted: dict[str, Path], domains: Domains) -> None:
    for folder in map(adapted.__getitem__, ("source_only", "dcdan", "scn")):
        found = rows(folder)
        pack = Pack.open(domains[1], labelled=False)
        recogniser = dcdan.load(folder, threads=1)
        assert list(found[0]) == columns(recogniser.classes)
        assert [row["path"] for row in found] == pack.paths.tolist()
        assert {row["status"] for row in found} == {"ok"}
        expected = recogniser.recognise_faces(np.asarray(pack.faces))
        assert [row["expression"] for row in found] == [recogniser.classes[index] for index in expected.expression]
        probabilities = [[float(row[f"p_{name}"]) for name in recogniser.classes] for row in found]
        np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)


def test_a_report_is_written(adapted: dict[str, Path]) -> None:
    for folder in map(adapted.__getitem__, ("source_only", "dcdan", "scn")):
        assert (folder / "report.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


def test_a_trained_run_without_its_report_is_completed(
    adapted: dict[str, Path], domains: Domains, tmp_path: Path
) -> None:
    folder = shutil.copytree(adapted["dcdan"], tmp_path / "dcdan")
    expected = (folder / "predictions.csv").read_bytes()
    weights = (folder / "model.safetensors").stat().st_mtime_ns
    (folder / "report.html").unlink()
    (folder / "predictions.csv").unlink()
    recogniser = dcdan.adapt(*domains, folder, settings=quick())
    assert recogniser.info.method == "dcdan"
    assert (folder / "predictions.csv").read_bytes() == expected
    assert (folder / "report.html").is_file()
    assert (folder / "model.safetensors").stat().st_mtime_ns == weights
    with pytest.raises(OutputError, match="this very run, finished"):
        dcdan.adapt(*domains, folder, settings=quick())


def test_a_model_damaged_since_is_not_used(adapted: dict[str, Path], domains: Domains, tmp_path: Path) -> None:
    folder = shutil.copytree(adapted["dann"], tmp_path / "dann")
    (folder / "report.html").unlink()
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ModelError):
        dcdan.adapt(*domains, folder, settings=quick(method="dann"))
    assert not (folder / "report.html").exists()


def asked(monkeypatch: pytest.MonkeyPatch, *given: Any, **values: Any) -> tuple[Any, ...]:
    """Return what ``adapt`` asks of the training."""
    seen: list[tuple[Any, ...]] = []

    def noting(*arguments: Any, group: object) -> None:
        seen.append(arguments)
        raise ModelError("far enough")

    monkeypatch.setattr("dcdan.training.run.train_run", noting)
    with pytest.raises(ModelError, match="far enough"):
        dcdan.adapt(*given, **values)
    return seen[0]


def test_settings_may_be_given_one_by_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = asked(
        monkeypatch,
        "a",
        Path("b"),
        tmp_path / "run",
        method="dann",
        size=64,
        source__lr=0.5,
        adaptation={"epochs": 1, "batch": 8},
        options={"classification": {"label_smoothing": 0.3}},
        start=str(tmp_path),
    )
    source, target, out, settings, start, quiet, command = found
    assert (source, target, out, start) == ("a", "b", tmp_path / "run", tmp_path)
    assert not quiet, "U13: progress is shown unless progress=False"
    assert command
    assert isinstance(settings, RunSettings)
    assert (settings.method, settings.size) == ("dann", 64)
    assert settings.source == RunSettings().source.model_copy(update={"lr": 0.5})
    assert settings.adaptation == RunSettings().adaptation.model_copy(update={"epochs": 1, "batch": 8})
    assert settings.method_settings().classification.label_smoothing == 0.3


def test_settings_may_be_given_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = quick("seed=7")
    assert asked(monkeypatch, "a", "b", tmp_path / "run", settings=settings)[3] is settings
    assert asked(monkeypatch, "a", "b", tmp_path / "run")[3] == RunSettings()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"methd": "dann"}, "no setting 'methd'. Did you mean 'method'?"),
        ({"adaptation": {"epoch": 1}}, "no setting 'adaptation.epoch'. Did you mean 'epochs'?"),
        ({"settings": RunSettings(), "seed": 1, "size": 64}, r"not both \(here: seed, size\)"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_done(values: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        dcdan.adapt("a", "b", tmp_path / "run", **values)
    assert not list(tmp_path.iterdir())


def test_progress_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """U13."""
    assert asked(monkeypatch, "a", "b", tmp_path / "run", progress=False)[5]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"adaptation": {"lr": 1}, "adaptation__lr": 2},
            "given twice, as adaptation__lr=1 and as 2",
        ),
        ({"source__lr": 2, "source": {"lr": 1}}, "'source' of dcdan.adapt names the data, and here it holds settings"),
    ],
)
def test_a_key_that_is_also_a_setting_is_an_error_that_names_both(
    values: dict[str, Any], told: str, tmp_path: Path
) -> None:
    """D8."""
    with pytest.raises(UsageError, match=told):
        dcdan.adapt(**{"source": "a", "target": "b", "out": tmp_path / "run", **values})
    assert not list(tmp_path.iterdir())


def test_without_torch_adapt_names_the_extra(tmp_path: Path) -> None:
    """U2. Of a core install."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import dcdan\n"
        "from dcdan.core.errors import MissingExtraError\n"
        "try: dcdan.adapt('a', 'b', 'run')\n"
        "except MissingExtraError as error: print(error.exit_code, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.startswith("8 This needs the package 'torch', which is not installed: pip install"), done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["dcdan.training.run.train_run", "dcdan.api.answered"])
def test_an_interrupt_in_any_phase_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals, phase: str
) -> None:
    """S7, S19. Also while the model is exported and the report is written, at once."""
    monkeypatch.setattr("dcdan.training.run.train_run", lambda *_, **__: (tmp_path / "run").mkdir(exist_ok=True))
    began = time.perf_counter()

    def interrupted(*_: object, **__: object) -> None:
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "config.toml").touch()
        os.kill(os.getpid(), number)
        time.sleep(20)

    monkeypatch.setattr(phase, interrupted)
    with pytest.raises(
        Interrupted, match=r"Stopped; everything is saved in .*: run the same command to resume"
    ) as caught:
        dcdan.adapt("a", "b", tmp_path / "run")
    assert caught.value.exit_code == 130
    assert time.perf_counter() - began < 10


def test_nested_values_are_flattened() -> None:
    assert flat({"a": 1, "b": {"c": {"d": [2]}, "e": "x"}, "f__g": None}) == {
        "a": 1,
        "b__c__d": [2],
        "b__e": "x",
        "f__g": None,
    }


def test_the_model_works_on_pictures(adapted: dict[str, Path]) -> None:
    recogniser = dcdan.load(adapted["dcdan"], threads=1)
    picture = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    (face,) = recogniser.recognise(picture)
    assert face.expression in recogniser.classes
    about = json.loads((adapted["dcdan"] / "model.json").read_text())
    assert list(face.probabilities) == about["classes"]
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
