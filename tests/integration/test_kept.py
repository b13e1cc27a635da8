"""What dcdan wrote once opens for ever: ``tests/kept/N`` holds a small file of each kind as schema N has it.

Never write these files anew. When a schema changes, add a folder for the new one, and let the old one open or be
refused with the way to convert it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import dcdan
from dcdan.benchmark.plan import cells_of, read_plan
from dcdan.core.errors import DcdanError, ModelError, PackError, UsageError
from dcdan.inference.recogniser import load
from dcdan.packs.pack import Pack
from dcdan.training.checkpoint import load_module, load_optimiser, read_checkpoint
from dcdan.training.settings import read_settings

KEPT = Path(__file__).parents[1] / "kept" / "1"


def test_the_pack_opens() -> None:
    pack = Pack.open(KEPT / "pack")
    pack.verify()
    assert pack.faces.shape == (7, 32, 32, 3)
    assert int(pack.faces.sum()) == 2508514
    assert [pack.classes[label] for label in pack.labels] == [
        "surprise", "happiness", "anger", "disgust", "neutral", "sadness", "fear"
    ]  # fmt: skip
    assert set(pack.splits) == {"train"}


def test_the_model_answers_as_it_did() -> None:
    recogniser = dcdan.load(KEPT / "run")
    answers = [face.expression for face in recogniser.recognise(np.array(Pack.open(KEPT / "pack").faces[4]))]
    assert answers == ["contempt"]


def test_the_checkpoint_goes_on() -> None:
    tensors, metadata = read_checkpoint(KEPT / "checkpoint.safetensors")
    assert metadata == {"schema": 1, "stage": "source", "step": 1, "bf16": False, "sums": {}}
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    load_module(network, tensors, "network")
    load_optimiser(optimiser := torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9), tensors)
    assert optimiser.state[network[0].weight]["momentum_buffer"].shape == (2, 3)


def test_the_settings_are_those_of_the_run() -> None:
    settings = read_settings(KEPT / "run" / "config.toml", [])
    assert (settings.method, settings.size, settings.network.trunk) == ("dcdan", 32, "test_byobnet")
    assert (settings.source.batch, settings.checkpoint_every, settings.teacher) == (8, 1000, 0.999)


def test_the_plan_names_its_folders_as_it_did() -> None:
    """A new setting must not rename what is trained already: its default does not count."""
    names = [(cell.folder, cell.stage.folder) for cell in cells_of(read_plan(KEPT / "plan.toml"))]
    assert names == [
        ("studio-street-mobilenetv2-100-source-only-0", "source-studio-0-f79e0de35b"),
        ("studio-street-mobilenetv2-100-dcdan-0", "source-studio-0-f79e0de35b"),
        ("studio-street-mobilenetv2-100-scn-0", "source-studio-0-3fb34cfbb9"),
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "error"),
    [
        ("pack/pack.json", '"schema": 1', '"schema": 2', PackError),
        ("run/model.json", '"schema": 1', '"schema": 2', ModelError),
        ("run/config.toml", "schema = 1", "schema = 2", UsageError),
        ("plan.toml", "schema = 1", "schema = 2", UsageError),
        ("checkpoint.safetensors", "", "", ModelError),
    ],
)
def test_what_a_newer_version_wrote_says_to_upgrade(
    tmp_path: Path, file: str, old: str, new: str, error: type[DcdanError]
) -> None:
    kept = shutil.copytree(KEPT, tmp_path / "kept") / file
    if file == "checkpoint.safetensors":
        save_file({"a": torch.zeros(1)}, kept, {"dcdan": json.dumps({"schema": 2})})
    else:
        assert old in kept.read_text()
        kept.write_text(kept.read_text().replace(old, new))
    openers = {
        "pack.json": lambda: Pack.open(kept.parent),
        "model.json": lambda: load(kept.parent),
        "config.toml": lambda: read_settings(kept, []),
        "plan.toml": lambda: read_plan(kept),
        "checkpoint.safetensors": lambda: read_checkpoint(kept),
    }
    with pytest.raises(error, match="is of schema 2 and this dcdan reads 1: a newer version wrote it, so upgrade"):
        openers[kept.name]()
