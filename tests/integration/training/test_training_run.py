"""Whole runs: what they leave, how they go on after an interruption, what they refuse."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from dcdan.core.errors import DataError, DcdanError, ModelError, OutputError, PackError, UsageError
from dcdan.core.outputs import OUTPUTS
from dcdan.core.signals import Interrupted, stoppable
from dcdan.correction.memory import MEMORY
from dcdan.methods.base import find_method, methods
from dcdan.models.deploy import Deployed
from dcdan.models.network import Network, NetworkSettings
from dcdan.packs.pack import Pack
from dcdan.training import run
from dcdan.training.checkpoint import read_checkpoint, save_checkpoint
from dcdan.training.loop import Trainer
from dcdan.training.run import train_run
from dcdan.training.settings import RunSettings
from killed import killed_at
from tiny_training import SIZE, drawn, listed, quick, records, tiny

Domains = tuple[Path, Path]


def trained(domains: Domains, out: Path, settings: RunSettings, start: Path | None = None) -> Path:
    return train_run(str(domains[0]), str(domains[1]), out, settings, start, quiet=True, command="dcdan adapt ...")


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def rebuilt(folder: Path) -> tuple[Network, dict[str, Any]]:
    """Build the network of a run from its own description alone."""
    about = json.loads((folder / "model.json").read_text())
    settings = NetworkSettings.model_validate(about["architecture"])
    network = find_method(about["method"]).build_network(settings, len(about["classes"]), about["face"]["size"])
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval(), about


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_run_folder_is_complete(adapted: dict[str, Path], domains: Domains, method: str) -> None:
    folder = adapted[method]
    files = {path.name for path in folder.iterdir() if path.is_file()}
    model = {"model.json", "model.onnx", "model.safetensors"}
    assert files == {"config.toml", "run.json", "log.jsonl", *model, MEMORY, "predictions.csv", "report.html"}

    about = json.loads((folder / "model.json").read_text())
    assert (about["schema"], about["method"], about["name"]) == (1, method, method)
    assert about["classes"] == list(Pack.open(domains[0]).classes)
    assert about["face"] == {"size": SIZE, "align": "none", "channels": "rgb", "contrast": False}
    assert len(about["thresholds"]) == 7
    assert about["files"] == {name: sha256(folder / name) for name in ("model.safetensors", "model.onnx", MEMORY)}
    assert about["training"]["source"].startswith("synthetic:studio")
    assert about["training"]["target"].startswith("synthetic:street")

    metadata = json.loads((folder / "run.json").read_text())
    assert metadata["command"] == "dcdan adapt ..."
    assert metadata["settings"]["seed"] == 0
    assert metadata["settings"]["options"]["classification"]["label_smoothing"] >= 0
    assert metadata["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert all(metadata["versions"][name] for name in ("python", "dcdan", "torch", "timm", "numpy", "onnxruntime"))
    for side, pack in zip(("source", "target"), domains, strict=True):
        assert metadata[side]["sha256"]["faces.npy"] == sha256(pack / "faces.npy")
        assert metadata[side]["faces"] == 63
    assert metadata["source"]["train"] == sum(metadata["source"]["per_class"].values())
    assert metadata["precision"] == "fp32"
    assert metadata["machine"]["device"] == "cpu"

    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["data"] == {"source": str(domains[0]), "target": str(domains[1]), "start": ""}
    assert config == {**quick(method=method).whole(), "data": config["data"], "schema": 1}

    log = records(folder)
    kinds = {record["kind"] for record in log}
    assert kinds >= {"precision", "source", "source-epoch"}
    assert ("adaptation" in kinds) == methods()[method].sees_target
    names = {name for record in log for name in record}
    assert not {"target_accuracy", "target_validation"} & names


@pytest.mark.parametrize("method", sorted(methods()))
def test_graph_and_network_agree(adapted: dict[str, Path], domains: Domains, method: str) -> None:
    network, about = rebuilt(adapted[method])
    faces = np.array(Pack.open(domains[1]).faces[:9])
    with torch.no_grad():
        expected = Deployed(network, torch.tensor(about["thresholds"]))(torch.from_numpy(faces))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(adapted[method] / "model.onnx", options, ["CPUExecutionProvider"])
    for count in (9, 1):
        found = session.run(list(OUTPUTS), {"faces": faces[:count]})
        for name, value, other in zip(OUTPUTS, found, expected, strict=True):
            np.testing.assert_allclose(value, other.numpy()[:count], atol=1e-4, err_msg=name)
    assert len({tuple(row) for row in np.round(expected[0].numpy(), 6)}) == 9


def statistics(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the target's and the source's running means, joined."""
    state = load_file(folder / "model.safetensors")
    names = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    return torch.cat([state[f"{n}running_mean"] for n in names]), torch.cat([state[f"{n}source_mean"] for n in names])


def test_each_method_ends_with_the_statistics_that_it_promises(adapted: dict[str, Path]) -> None:
    target, source = statistics(adapted["source_only"])
    assert torch.equal(target, source)
    for name in ("adabn", "dann", "dcdan"):
        target, source = statistics(adapted[name])
        assert (target - source).abs().max() > 1e-3, name
    of_source = load_file(adapted["source_only"] / "model.safetensors")
    of_adabn = load_file(adapted["adabn"] / "model.safetensors")
    changed = {name.rpartition(".")[2] for name, value in of_adabn.items() if not torch.equal(value, of_source[name])}
    assert changed == {"running_mean", "running_var"}


def test_the_model_written_is_the_teacher_where_there_is_one(adapted: dict[str, Path]) -> None:
    for name, prefix in (("dcdan", "teacher"), ("dann", "network")):
        tensors, _ = read_checkpoint(adapted[name] / "checkpoints" / "last.safetensors")
        for key, value in load_file(adapted[name] / "model.safetensors").items():
            assert torch.equal(value, tensors[f"{prefix}.{key}"]), key
        assert any(key.startswith("teacher.") for key in tensors) == (name == "dcdan")


def same_run(one: Path, other: Path) -> None:
    """Assert that two runs left the same weights, thresholds and records, bit by bit."""
    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    for file in ("last.safetensors", "source.safetensors"):
        tensors, metadata = read_checkpoint(one / "checkpoints" / file)
        again, facts_again = read_checkpoint(other / "checkpoints" / file)
        assert tensors.keys() == again.keys()
        assert all(torch.equal(value, again[name]) for name, value in tensors.items())
        assert metadata == facts_again
    thresholds = [json.loads((folder / "model.json").read_text())["thresholds"] for folder in (one, other)]
    assert thresholds[0] == thresholds[1]
    assert records(one) == records(other)


@pytest.fixture(scope="module")
def through(domains: Domains, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of DCD-DAN that nothing interrupted, with a record every four steps and without a graph."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dcdan.training.loop.LOGGED_EVERY", 4)
        patch.setattr(run, "export_onnx", lambda _model, _size, path: path.write_bytes(b"no graph"))
        folder = trained(domains, tmp_path_factory.mktemp("through") / "run", quick())
    log = records(folder)
    assert {record["kind"] for record in log} >= {"source", "source-epoch", "adaptation", "adaptation-epoch"}
    assert any(record.get("pl", 0) > 0 for record in log)
    assert any(record.get("counted", 0) > 0 for record in log)
    return folder


@pytest.mark.usefixtures("without_graph", "often_logged")
@pytest.mark.parametrize(
    ("every", "kills", "damage"),
    [
        (3, [("source", 8), ("source", 9), ("adaptation", 0), ("adaptation", 7)], False),
        (1000, [("source", 7), ("adaptation", 7)], False),
        (3, [("source", 8), ("adaptation", 8)], True),
    ],
    ids=["between checkpoints", "before the first checkpoint", "with a damaged checkpoint"],
)
def test_a_killed_run_ends_like_one_that_was_not(
    domains: Domains,
    through: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every: int,
    kills: list[tuple[str, int]],
    damage: bool,
) -> None:
    settings = quick(f"checkpoint_every={every}")
    for number, kill in enumerate(kills):
        with killed_at(*kill):
            trained(domains, tmp_path / "killed", settings)
        assert not (tmp_path / "killed" / "model.json").exists(), number
        if damage:
            newest = tmp_path / "killed" / "checkpoints" / "last.safetensors"
            newest.write_bytes(newest.read_bytes()[:-100])
    trained(domains, tmp_path / "killed", settings)
    same_run(through, tmp_path / "killed")


@pytest.mark.usefixtures("without_graph", "often_logged")
def test_a_run_stopped_again_and_again_ends_like_one_that_was_not(
    domains: Domains, through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SoonSet:
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 4

    @contextmanager
    def soon() -> Iterator[SoonSet]:
        yield SoonSet()

    monkeypatch.setattr(run, "stoppable", soon)
    stages = []
    while not (tmp_path / "stopped" / "model.json").exists():
        try:
            trained(domains, tmp_path / "stopped", quick())
        except Interrupted:
            _, metadata = read_checkpoint(tmp_path / "stopped" / "checkpoints" / "last.safetensors")
            stages.append(metadata["stage"])
    with pytest.raises(Interrupted, match="run the same command to resume") as told:
        trained(domains, tmp_path / "again", quick())
    assert told.value.exit_code == 130
    assert stages.count("source") >= 2
    assert stages.count("adaptation") >= 1
    same_run(through, tmp_path / "stopped")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_noted_while_training_and_only_then(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stoppable() as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.is_set()
    assert signal.getsignal(number) is before


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with stoppable() as stop:
            seen.append((stop.is_set(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, True)]


@pytest.mark.parametrize("bf16", [True, False])
def test_an_interrupted_run_goes_on_in_its_precision(tmp_path: Path, bf16: bool) -> None:
    assert run.earlier_precision(tmp_path) == ""
    path = tmp_path / "checkpoints" / "last.safetensors"
    save_checkpoint(path, {"network": torch.nn.Linear(1, 1)}, None, {"stage": "source", "step": 1, "bf16": bf16})
    path.rename(path.with_name(f"previous-{path.name}"))
    assert run.earlier_precision(tmp_path) == ("bf16" if bf16 else "fp32")


@pytest.mark.usefixtures("without_graph")
def test_a_shared_source_stage_gives_what_an_own_one_gives(
    domains: Domains, through: Path, adapted: dict[str, Path], tmp_path: Path
) -> None:
    shared = adapted["source_only"]
    taken = trained(domains, tmp_path / "taken", quick(), start=shared)
    by_file = trained(domains, tmp_path / "by_file", quick(), start=shared / "checkpoints" / "source.safetensors")
    first = load_file(through / "model.safetensors")
    for other in (taken, by_file):
        assert all(torch.equal(value, first[name]) for name, value in load_file(other / "model.safetensors").items())
        assert {record["kind"] for record in records(other)} == {
            "precision",
            "adaptation",
            "adaptation-method",
            "adaptation-epoch",
        }
    assert tomllib.loads((taken / "config.toml").read_text())["data"]["start"] == str(shared)
    alone = trained(domains, tmp_path / "alone", quick(method="adabn"), start=shared)
    assert [record["kind"] for record in records(alone)] == ["precision"]


@pytest.mark.usefixtures("without_graph")
def test_stages_of_no_epochs_leave_the_network_as_it_starts(domains: Domains, tmp_path: Path) -> None:
    shared = trained(domains, tmp_path / "source", quick("source.epochs=0", method="source_only"))
    taken = trained(domains, tmp_path / "taken", quick("adaptation.epochs=0"), start=shared)
    first = load_file(shared / "model.safetensors")
    assert all(torch.equal(value, first[name]) for name, value in load_file(taken / "model.safetensors").items())


@pytest.mark.usefixtures("without_graph")
def test_seeds_differ_and_repeat(domains: Domains, tmp_path: Path) -> None:
    one, two, same = (
        load_file(trained(domains, tmp_path / name, quick(*seed, method="source_only")) / "model.safetensors")
        for name, seed in (
            ("one", ("seed=1", "source.epochs=1")),
            ("two", ("seed=2", "source.epochs=1")),
            ("same", ("seed=1", "source.epochs=1")),
        )
    )
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not all(torch.equal(value, two[name]) for name, value in one.items())


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return time of change and size of every file in a folder."""
    return {p.relative_to(folder): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*") if p.is_file()}


def test_a_run_that_is_trained_is_not_trained_again(adapted: dict[str, Path], domains: Domains, tmp_path: Path) -> None:
    folder = shutil.copytree(adapted["dann"], tmp_path / "dann")
    (folder / "report.html").unlink()
    before = state(folder)
    assert trained(domains, folder, quick(method="dann")) == folder
    assert state(folder) == before


def refused(
    domains: Domains, out: Path, settings: RunSettings, kind: type[DcdanError], start: Path | None = None
) -> str:
    """Return the sentence with which a run is refused, and check that it is one and that nothing was written."""
    before = sorted(out.parent.rglob("*")) if out.parent.is_dir() else []
    with pytest.raises(kind) as caught:
        trained(domains, out, settings, start)
    assert "\n" not in str(caught.value)
    assert (sorted(out.parent.rglob("*")) if out.parent.is_dir() else []) == before
    return str(caught.value)


def test_a_folder_that_holds_something_else_is_refused(
    adapted: dict[str, Path], domains: Domains, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("three years of work")
    (tmp_path / "file").write_text("")
    for name in ("other", "file"):
        assert "exists and holds something else" in refused(domains, tmp_path / name, quick(), OutputError)
    assert "cannot be made" in refused(domains, tmp_path / "file" / "run", quick(), OutputError)
    # The same folder with other settings, other data, or another start is another run.
    folder = adapted["dcdan"]
    assert "something else" in refused(domains, folder, quick("seed=1"), OutputError)
    assert "something else" in refused((domains[1], domains[1]), folder, quick(), OutputError)
    assert "something else" in refused(domains, folder, quick(), OutputError, adapted["source_only"])


def test_a_finished_run_is_told_as_such(adapted: dict[str, Path], domains: Domains) -> None:
    told = refused(domains, adapted["adabn"], quick(method="adabn"), OutputError)
    assert "holds this very run, finished" in told


@pytest.mark.parametrize(
    ("assignments", "told"),
    [
        (["network.trunk=resnt50"], "Did you mean 'resnet50'?"),
        (["network.trunk=vit_tiny_patch16_224"], "vit_tiny_patch16_224"),
        (["network.groups=7"], "do not divide into 7 groups"),
        (["device=gpu"], "choose auto, cpu, cuda or cuda:N"),
    ],
)
def test_settings_that_make_no_network_leave_nothing(
    domains: Domains, tmp_path: Path, assignments: list[str], told: str
) -> None:
    assert told in refused(domains, tmp_path / "run", tiny(*assignments), UsageError)


def test_data_that_cannot_be_learned_from_leave_nothing(domains: Domains, tmp_path: Path) -> None:
    unlabelled = listed(tmp_path / "unlabelled", (), [("", "")] * 4)
    other = listed(tmp_path / "other", ("surprise", "contempt"), [("surprise", ""), ("contempt", "")] * 4)
    lacking = listed(tmp_path / "lacking", ("surprise", "fear"), [("surprise", "")] * 4)
    large = drawn(tmp_path / "large", "street", n=7, size=48)
    out = tmp_path / "run"
    assert "has no labels" in refused((unlabelled, domains[1]), out, quick(), DataError)
    assert "too few classes" in refused((other, domains[1]), out, quick(), DataError)
    assert "no training face of fear" in refused((lacking, domains[1]), out, quick(), DataError)
    assert "48 pixels" in refused((domains[0], large), out, quick(), PackError)
    assert "48 pixels" in refused((large, domains[1]), out, quick(), PackError)
    assert "nix" in refused((tmp_path / "nix", domains[1]), out, quick(), DataError)
    assert not out.exists()


def test_only_what_a_failed_start_made_is_removed(
    domains: Domains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def interfering(*_: object) -> None:
        (out / "notes.txt").write_text("written by someone else meanwhile")
        raise UsageError("no such network")

    monkeypatch.setattr(run, "make_trainer", interfering)
    with pytest.raises(UsageError):
        trained(domains, out, quick())
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_start_that_does_not_fit_leaves_nothing(adapted: dict[str, Path], domains: Domains, tmp_path: Path) -> None:
    out, start = tmp_path / "run", adapted["source_only"]
    assert "no source stage to start from" in refused(domains, out, quick(), ModelError, tmp_path / "nix")
    assert "no source stage to start from" in refused(domains, out, quick(), ModelError, domains[0])
    assert "does not fit" in refused(domains, out, quick("network.width=64"), ModelError, start)
    assert "cannot be read" in refused(domains, out, quick(), ModelError, start / "model.json")
    two = listed(tmp_path / "two", ("surprise", "fear"), [("surprise", ""), ("fear", "")] * 9)
    assert "this pair of data sets has surprise, fear" in refused((two, domains[1]), out, quick(), ModelError, start)


@pytest.mark.usefixtures("without_graph")
def test_a_damaged_weight_file_cannot_appear_when_the_disk_is_full(
    domains: Domains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_model: object, _size: int, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "export_onnx", full)
    with pytest.raises(OutputError, match=r"model\.onnx' cannot be written \(No space left on device\)"):
        trained(domains, tmp_path / "run", quick("source.epochs=1", method="source_only"))
    assert not (tmp_path / "run" / "model.json").exists()
    assert not list((tmp_path / "run").rglob("*partial*"))
    # With space, the same command goes on and has nothing to train again.
    monkeypatch.setattr(run, "export_onnx", lambda _model, _size, path: path.write_bytes(b"no graph"))
    monkeypatch.setattr(Trainer, "losses", lambda *_: pytest.fail("it was trained again"))
    trained(domains, tmp_path / "run", quick("source.epochs=1", method="source_only"))
    assert (tmp_path / "run" / "model.json").exists()
