"""Every registered method that trains on target images goes on exactly where its adaptation was killed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dcdan.methods.base import methods
from dcdan.training.checkpoint import read_checkpoint
from dcdan.training.run import train_run
from dcdan.training.settings import RunSettings
from killed import killed_at
from tiny_training import quick, records

pytestmark = pytest.mark.usefixtures("without_graph", "often_logged")
ADAPTING = sorted(name for name, method in methods().items() if method.sees_target)
KILLED_AT = 8
"""The first step of the second epoch; the newest checkpoint is of step 5, so the first epoch's end is done again."""


def settings_of(method: str) -> RunSettings:
    return quick("checkpoint_every=5", "source.epochs=1", "choose=entropy", method=method)


@pytest.mark.parametrize("method", ADAPTING)
def test_a_killed_adaptation_ends_like_one_that_was_not(
    domains: tuple[Path, Path], tmp_path: Path, method: str
) -> None:
    def trained(name: str) -> Path:
        return train_run(str(domains[0]), str(domains[1]), tmp_path / name, settings_of(method), None, quiet=True)

    through = trained("through")
    with killed_at("adaptation", KILLED_AT):
        trained("killed")
    _, metadata = read_checkpoint(tmp_path / "killed" / "checkpoints" / "last.safetensors")
    assert (metadata["stage"], 0 < metadata["step"] < KILLED_AT) == ("adaptation", True)
    again = trained("killed")
    for file in ("model.safetensors", "checkpoints/last.safetensors"):
        first, second = load_file(through / file), load_file(again / file)
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[name]) for name, value in first.items()), file
    assert records(through) == records(again)
