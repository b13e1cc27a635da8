"""Methods that own their source stage: they resume exactly, and neither give nor take a source stage amiss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dcdan.core.errors import ModelError
from dcdan.methods.base import methods
from dcdan.training.checkpoint import read_checkpoint
from dcdan.training.loop import Trainer
from dcdan.training.run import train_run
from dcdan.training.settings import RunSettings
from killed import killed_at
from tiny_training import quick, records

pytestmark = pytest.mark.usefixtures("without_graph", "often_logged")
Domains = tuple[Path, Path]
OWNERS = sorted(name for name, method in methods().items() if method.owns_source_stage)
STEPS = 8


def trained(domains: Domains, out: Path, settings: RunSettings, start: Path | None = None) -> Path:
    return train_run(str(domains[0]), str(domains[1]), out, settings, start, quiet=True)


def settings_of(method: str, *more: str) -> RunSettings:
    """Return settings in which everything that a method keeps over time has begun to matter by half way."""
    early = {"scn": ["options.relabel_from=0.1", "options.relabel_margin=0"], "csg": ["options.queue=20"]}
    return quick("checkpoint_every=3", "source.epochs=1.6", *early.get(method, []), *more, method=method)


@pytest.mark.parametrize("method", OWNERS)
def test_a_killed_run_ends_like_one_that_was_not(domains: Domains, tmp_path: Path, method: str) -> None:
    through = trained(domains, tmp_path / "through", settings_of(method))
    assert {record["kind"] for record in records(through)} - {"source-method"} == {
        "precision",
        "source",
        "source-epoch",
    }
    with killed_at("source", 5):
        trained(domains, tmp_path / "killed", settings_of(method))
    again = trained(domains, tmp_path / "killed", settings_of(method))
    for file in ("model.safetensors", "checkpoints/last.safetensors", "checkpoints/source.safetensors"):
        first, second = load_file(through / file), load_file(again / file)
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[name]) for name, value in first.items()), file
    logs = [[record for record in records(folder) if record["kind"] != "precision"] for folder in (through, again)]
    assert logs[0] == logs[1]
    tensors, metadata = read_checkpoint(through / "checkpoints" / "last.safetensors")
    assert metadata["step"] == STEPS
    if method == "scn":
        assert (tensors["method.given"] >= 0).any()


@pytest.mark.parametrize("method", OWNERS)
def test_the_model_is_the_source_stage_itself(domains: Domains, tmp_path: Path, method: str) -> None:
    folder = trained(domains, tmp_path / "run", settings_of(method, "source.epochs=0.5"))
    stage, metadata = read_checkpoint(folder / "checkpoints" / "source.safetensors")
    model = load_file(folder / "model.safetensors")
    assert {f"network.{name}" for name in model} == stage.keys()
    assert all(torch.equal(value, stage[f"network.{name}"]) for name, value in model.items())
    assert metadata["method"] == method
    again = trained(domains, tmp_path / "again", settings_of(method, "source.epochs=0.5"), start=folder)
    assert all(torch.equal(value, model[name]) for name, value in load_file(again / "model.safetensors").items())
    assert [record["kind"] for record in records(again)] == ["precision"]


def test_source_stages_are_not_taken_from_another_method(domains: Domains, tmp_path: Path) -> None:
    short = "source.epochs=0.2"
    common = trained(domains, tmp_path / "common", quick(short, method="source_only"))
    owned = trained(domains, tmp_path / "owned", quick(short, method="csg"))
    assert "method" not in read_checkpoint(common / "checkpoints" / "source.safetensors")[1]
    for start, method, told in (
        (common, "scn", "was trained by cross-entropy alone, and the method scn needs its own"),
        (owned, "scn", "was trained by csg, and the method scn needs its own"),
        (owned, "source_only", "was trained by csg, and the method source_only needs the common one"),
    ):
        with pytest.raises(ModelError, match=told):
            trained(domains, tmp_path / "run", quick(short, method=method), start=start)
        assert not (tmp_path / "run").exists()


def test_parameters_of_the_method_train_with_the_network(domains: Domains, tmp_path: Path) -> None:
    folder = trained(domains, tmp_path / "run", quick("source.epochs=0.4", method="csg"))
    tensors, _ = read_checkpoint(folder / "checkpoints" / "last.safetensors")
    trained_side = tensors["method.comparisons.last.trained.0.weight"]
    averaged_side = tensors["method.comparisons.last.averaged.0.weight"]
    assert not torch.equal(trained_side, averaged_side)
    assert tensors["method.comparisons.last.place"] > 0
    frozen = {name for name in tensors if name.startswith("method.frozen.")}
    assert frozen
    model = load_file(folder / "model.safetensors")
    assert not any("frozen" in name or "comparisons" in name for name in model)


def test_efficientface_learns_from_its_moving_average(
    domains: Domains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    original = Trainer.teacher_logits

    def noting(self: Trainer, weak: torch.Tensor, source: bool = False) -> Any:
        assert source
        assert self.teacher is not None
        weights = zip(self.teacher.parameters(), self.network.parameters(), strict=True)
        seen.append(all(torch.equal(one, other) for one, other in weights))
        return original(self, weak, source)

    monkeypatch.setattr(Trainer, "teacher_logits", noting)
    trained(domains, tmp_path / "run", quick("source.epochs=0.6", method="efficientface"))
    assert seen == [True, False, False]
