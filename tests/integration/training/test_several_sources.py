"""Training on several source sets: balanced batches, a discriminator for each set, one run folder."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch

from dcdan.api import adapt
from dcdan.cli.main import run as dcdan
from dcdan.core.errors import UsageError
from dcdan.inference.recogniser import load
from dcdan.training import step
from dcdan.training.run import train_run
from tiny_training import drawn, quick, records


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two sources of unequal size and a target."""
    folder = tmp_path_factory.mktemp("packs")
    return drawn(folder, "studio", 42), drawn(folder / "more", "studio", 84, seed=1), drawn(folder, "street")


@pytest.fixture(scope="module")
def run(packs: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on both sources."""
    first, second, target = map(str, packs)
    return train_run([first, second], target, tmp_path_factory.mktemp("runs") / "two", quick(), quiet=True)


def test_the_run_describes_both_sets(run: Path, packs: tuple[Path, Path, Path]) -> None:
    """F18. `run.json` and `model.json` name every source; sums are those of the sets."""
    source = json.loads((run / "run.json").read_text())["source"]
    first, second = source["sets"]
    assert source["train"] == first["train"] + second["train"]
    assert source["per_class"] == {name: n + second["per_class"][name] for name, n in first["per_class"].items()}
    training = load(run).info.training
    assert training == {"source": first["spec"], "source_2": second["spec"], "target": training["target"]}
    assert "studio" in source["spec"]
    assert "," in source["spec"]


def test_each_set_has_discriminators_and_they_learn(run: Path) -> None:
    """F18. A domain head for each source set, whose accuracy is in the log."""
    epochs = [record for record in records(run) if record["kind"] == "adaptation-epoch" and record["epoch"]]
    for name in ("discriminator_global", "discriminator_local", "discriminator_global_2", "discriminator_local_2"):
        assert all(0 <= record[name] <= 1 for record in epochs)


def test_both_sets_are_drawn_equally_often(
    packs: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F18. The set of 84 faces does not outweigh that of 42."""
    seen: list[torch.Tensor] = []
    plain = step.Batch

    def counted(*arguments: object, **named: object) -> step.Batch:
        batch = plain(*arguments, **named)  # type: ignore[arg-type]
        assert batch.sets is not None
        seen.append(batch.sets)
        return batch

    monkeypatch.setattr(step, "Batch", counted)
    first, second, target = map(str, packs)
    train_run([first, second], target, tmp_path / "run", quick("source.epochs=12"), quiet=True)
    sets = torch.cat(seen).numpy()
    assert abs((sets == 0).mean() - 0.5) < 3 * 0.5 / np.sqrt(len(sets))


def test_the_same_set_twice_is_refused(packs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        adapt([packs[0], packs[0]], packs[2], tmp_path / "run", settings=quick(), progress=False)


def test_the_command_takes_several_sources(
    packs: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F18. `--source A --source B` trains, resumes as finished, and exports; the report names both."""
    first, second, target = map(str, packs)
    config = tmp_path / "config.toml"
    whole = quick("source.epochs=1", "adaptation.epochs=1").whole()
    config.write_text(tomli_w.dumps(whole))
    out = tmp_path / "run"
    command = ["adapt", "--source", first, "--source", second, "--target", target, "--out", str(out)]
    assert dcdan([*command, "--config", str(config), "--quiet"]) == 0, capsys.readouterr().err
    page = unescape((out / "report.html").read_text())
    assert all(entry["spec"] in page for entry in json.loads((out / "run.json").read_text())["source"]["sets"])
    assert dcdan(["export", str(out), "--force"]) == 0, capsys.readouterr().err
