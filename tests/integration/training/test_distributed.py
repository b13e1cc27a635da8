"""Two processes against one: equal gradients, equal trainings, and one that dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dcdan.core.errors import UsageError
from dcdan.core.limits import read_log
from dcdan.methods.base import methods
from dcdan.training.distributed import Processes
from tiny_training import both, quick

GENTLE = ("options.pseudo_labels=all", "adaptation.epochs=4", "source.lr=0.001", "adaptation.lr=0.0005")
HELPERS = Path(__file__).parents[2] / "helpers"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port"]


def command(port: int | None, *rest: str | Path) -> list[str]:
    """Return a command for one process, or for two that meet at a port."""
    start = [sys.executable] if port is None else [*TORCHRUN, str(port)]
    return [*start, *map(str, rest)]


def environment() -> dict[str, str]:
    """Return an environment in which children find the test's modules, and use one thread each."""
    paths = [*filter(None, sys.path)]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture
def port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_every_method_has_the_gradients_of_one_process(tmp_path: Path, port: int) -> None:
    for place, name in ((None, "one"), (port, "two")):
        subprocess.run(
            command(place, HELPERS / "one_step.py", tmp_path / name), check=True, env=environment(), capture_output=True
        )
    one, two = load_file(tmp_path / "one"), load_file(tmp_path / "two")
    assert one.keys() == two.keys()
    assert {name.partition(".")[0] for name in one} == set(methods())
    for name, value in one.items():
        scale = float(value.abs().max()) if value.numel() else 0.0
        # AGRA's graph normalises class means that hardly differ in a batch of eight, which magnifies rounding.
        nearness = 2e-2 if name.startswith("agra.") else 1e-3
        np.testing.assert_allclose(two[name], value, rtol=0, atol=nearness * max(scale, 1e-3), err_msg=name)
    for name in (
        "dcdan.shared.gradient.network.trunk.body.stem.conv.weight",
        "dann.per-domain.gradient.method.discriminator.0.weight",
    ):
        assert float(one[name].abs().max()) > 0, name


def adapt(packs: tuple[Path, Path], out: Path, config: Path) -> list[str | Path]:
    """Return the arguments of a training."""
    return ["-m", "dcdan", "adapt", "-q", "-s", packs[0], "-t", packs[1], "-o", out, "--config", config]


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return both(tmp_path_factory.mktemp("packs"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write the settings of a run of a few seconds that saves at each step, at rates that do not magnify rounding."""
    import tomli_w

    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps({**quick(*GENTLE).whole(), "checkpoint_every": 1}))
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def test_a_training_of_two_that_loses_one_is_ended_by_one_alone(
    packs: tuple[Path, Path], config: Path, tmp_path: Path, port: int
) -> None:
    """The folder that two processes leave is one that a single process goes on from, to the weights of one alone."""
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run(command(None, *adapt(packs, one, config)), check=True, env=environment())
    launched = subprocess.Popen(
        command(port, *adapt(packs, two, config)), env=environment(), stderr=subprocess.PIPE, text=True
    )
    follower = None
    for _ in range(4800):
        log = two / "log.jsonl"
        if follower is None:
            children = subprocess.run(["pgrep", "-P", str(launched.pid)], capture_output=True, text=True).stdout.split()
            follower = children[1] if len(children) == 2 else None
        if follower and log.exists() and any(r["kind"] == "adaptation-epoch" for r in read_log(log)):
            break
        time.sleep(0.05)
    assert follower is not None
    os.kill(int(follower), signal.SIGKILL)
    _, said = launched.communicate(timeout=120)
    assert launched.returncode != 0
    assert not (two / "model.json").exists()
    assert "dcdan: Another process of this training has ended; the same command resumes" in said, said
    subprocess.run(command(None, *adapt(packs, two, config)), check=True, env=environment())
    ours, theirs = weights(one), weights(two)
    assert ours.keys() == theirs.keys()
    flat, other = (torch.cat([run[name].double().flatten() for name in ours]) for run in (ours, theirs))
    # Gradients agree to rounding (the test above); discriminators at full weight make rounding grow step by step.
    assert float((flat - other).norm() / flat.norm()) < 5e-3


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    Processes(0, 2).check_batch(64, "source.batch")
    with pytest.raises(UsageError, match=r"64 faces \(source.batch\) cannot be divided among 3 processes"):
        Processes(0, 3).check_batch(64, "source.batch")


def test_one_process_alone_changes_nothing() -> None:
    alone = Processes()
    given = [torch.randn(4, 3), torch.randn(4)]
    assert alone.all_gather(given) is given
    assert alone.shard(given[0]).equal(given[0])
    assert alone.average([], True)
    assert not alone.average([], False)
