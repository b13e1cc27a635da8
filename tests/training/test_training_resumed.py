"""Every registered method that trains on target images goes on exactly where its adaptation was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dcdan.methods.base import methods
from dcdan.training import run
from dcdan.training.checkpoint import read_checkpoint
from dcdan.training.loop import Trainer
from dcdan.training.run import train_run
from dcdan.training.settings import RunSettings
from tiny_training import quick, records

ADAPTING = sorted(name for name, method in methods().items() if method.sees_target)
KILLED_AT = 8
"""The first step of the second epoch; the newest checkpoint is of step 5, so the first epoch's end is done again."""


class Killed(BaseException):
    """Ends a run where it stands."""


@pytest.fixture(autouse=True)
def _without_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "export_onnx", lambda _model, _size, path: path.write_bytes(b"no graph"))
    monkeypatch.setattr("dcdan.training.loop.LOGGED_EVERY", 4)


def dying_at(step: int) -> Any:
    """Return the trainer's step in a process that is killed at that step of the adaptation."""
    losses = Trainer.losses

    def dying(self: Trainer, stage: str, at: int, *rest: Any) -> Any:
        if (stage, at) == ("adaptation", step):
            raise Killed
        return losses(self, stage, at, *rest)  # type: ignore[arg-type]

    return dying


def settings_of(method: str) -> RunSettings:
    return quick("checkpoint_every=5", "source.epochs=1", "choose=entropy", method=method)


@pytest.mark.parametrize("method", ADAPTING)
def test_a_killed_adaptation_ends_like_one_that_was_not(
    domains: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def trained(name: str) -> Path:
        return train_run(str(domains[0]), str(domains[1]), tmp_path / name, settings_of(method), None, quiet=True)

    through = trained("through")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "losses", dying_at(KILLED_AT))
        with pytest.raises(Killed):
            trained("killed")
    _, facts = read_checkpoint(tmp_path / "killed" / "checkpoints" / "last.safetensors")
    assert (facts["stage"], 0 < facts["step"] < KILLED_AT) == ("adaptation", True)
    again = trained("killed")
    for file in ("model.safetensors", "checkpoints/last.safetensors"):
        first, second = load_file(through / file), load_file(again / file)
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[name]) for name, value in first.items()), file
    assert records(through) == records(again)
