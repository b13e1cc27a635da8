"""Every row that the paper of this project names trains on drawn faces, and answers better than chance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.datasets.synthetic.reader import SyntheticReader
from dcdan.evaluation.evaluate import evaluate_pack
from dcdan.evaluation.torch_recogniser import TorchRecogniser
from dcdan.methods.base import find_method
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack
from dcdan.training.run import train_run
from dcdan.training.settings import RunSettings
from tiny_training import SIZE, records, tiny

pytestmark = pytest.mark.usefixtures("without_graph")
ADAPTING = ["adda", "cross_dataset", "dada", "face_cycle_gan", "jdman", "la_cmfer", "subject_based", "tdtln", "ustst"]
SOURCE = ["amp_net", "metric_learning", "supcon"]
CLASSES = ("surprise", "happiness", "anger")
CHANCE, MARGIN = 1 / len(CLASSES), 0.12
Domains = tuple[Path, Path]


@pytest.fixture(scope="module")
def three_expressions(tmp_path_factory: pytest.TempPathFactory) -> Domains:
    """Packs of three expressions: two parts of the studio, of different people."""
    folder = tmp_path_factory.mktemp("three")
    for name, more in (("source", "n=150"), ("target", "n=90&seed=5")):
        spec = f"synthetic:studio?{more}&size=48"
        reader = open_reader(parse_spec(spec))
        assert isinstance(reader, SyntheticReader)
        reader.classes = CLASSES
        build_pack(reader, folder / name, size=SIZE, align="none", workers=1, progress=False, spec_text=spec)
    return folder / "source", folder / "target"


def settings_of(method: str) -> RunSettings:
    epochs = 24 if method in SOURCE else 12
    return tiny(
        "source.optimiser=adamw",
        "source.lr=0.004",
        f"source.epochs={epochs}",
        "source.batch=16",
        "augment.source_stage_strong=0",
        "adaptation.batch=16",
        "adaptation.epochs=1",
        "adaptation.lr=0.005",
        method=method,
    )


def trained(domains: Domains, out: Path, method: str, start: Path | None = None) -> Path:
    torch.set_num_threads(1)
    return train_run(str(domains[0]), str(domains[1]), out, settings_of(method), start, quiet=True)


def accuracy(run: Path, pack: Path) -> float:
    return evaluate_pack(TorchRecogniser(run), Pack.open(pack), data=str(pack), split="train").accuracy


@pytest.fixture(scope="module")
def start(three_expressions: Domains, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source stage that all adapting rows share."""
    return trained(three_expressions, tmp_path_factory.mktemp("start") / "run", "source_only")


@pytest.mark.parametrize("method", ADAPTING)
def test_an_adapting_row_beats_chance(three_expressions: Domains, start: Path, tmp_path: Path, method: str) -> None:
    run = trained(three_expressions, tmp_path / "run", method, start)
    found = accuracy(run, three_expressions[1])
    assert found > CHANCE + MARGIN
    log = records(run)
    last = [record for record in log if record["kind"] == "adaptation"][-1]
    assert len(set(last) - {"kind", "step", "lr", "gradient", "cls"}) >= 1


@pytest.mark.parametrize("method", SOURCE)
def test_a_source_row_beats_chance(three_expressions: Domains, tmp_path: Path, method: str) -> None:
    assert find_method(method).owns_source_stage
    run = trained(three_expressions, tmp_path / "run", method)
    found = accuracy(run, three_expressions[1])
    assert found > CHANCE + MARGIN
