"""Checkpoints: everything comes back, and what is damaged is told."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dcdan.core.errors import ModelError, OutputError
from dcdan.training import checkpoint
from dcdan.training.checkpoint import (
    load_module,
    load_optimiser,
    newest_checkpoint,
    previous,
    read_checkpoint,
    save_checkpoint,
)
from dcdan.training.optimiser import fill_momentum


def network() -> nn.Module:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3))
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def optimiser_of(kind: str, module: nn.Module) -> torch.optim.Optimizer:
    unused = nn.Parameter(torch.zeros(3))
    groups = [{"params": list(module.parameters()), "ratio": 1.0}, {"params": [unused], "ratio": 10.0}]
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=0.01)
    optimiser = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, fused=kind == "fused")
    if kind == "fused":
        fill_momentum(optimiser)
    return optimiser


def steps(module: nn.Module, optimiser: torch.optim.Optimizer, first: int, last: int) -> None:
    for number in range(first, last):
        faces = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(number))
        optimiser.zero_grad()
        module(faces).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("kind", ["sgd", "fused", "adamw"])
def test_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    through = network()
    steps(through, optimiser := optimiser_of(kind, through), 0, 3)
    metadata = {"stage": "source", "step": 3, "sums": {"cls": 0.1 + 0.2}}
    save_checkpoint(tmp_path / "a.safetensors", {"network": through, "method": nn.Linear(2, 2)}, optimiser, metadata)
    steps(through, optimiser, 3, 6)

    torch.manual_seed(1)
    resumed = network()
    tensors, read = read_checkpoint(tmp_path / "a.safetensors")
    assert read == {"schema": 1, **metadata}
    load_module(resumed, tensors, "network")
    load_optimiser(optimiser := optimiser_of(kind, resumed), tensors)
    steps(resumed, optimiser, 3, 6)
    assert optimiser.param_groups[1]["ratio"] == 10.0
    for name, value in through.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_modules_whose_names_begin_alike_are_kept_apart(tmp_path: Path) -> None:
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    save_checkpoint(tmp_path / "a", {"net": one, "network": two}, None, {})
    tensors, _ = read_checkpoint(tmp_path / "a")
    load_module(found := nn.Linear(2, 2), tensors, "net")
    assert torch.equal(found.weight, one.weight)


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.safetensors"
    for step in (1, 2, 3):
        save_checkpoint(path, {"network": nn.Linear(1, 1)}, None, {"step": step})
    assert read_checkpoint(path)[1]["step"] == 3
    assert read_checkpoint(previous(path))[1]["step"] == 2
    assert sorted(p.name for p in path.parent.iterdir()) == ["last.safetensors", "previous-last.safetensors"]


def test_the_newest_that_can_be_read_is_found(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    assert newest_checkpoint(path) is None
    for step in (1, 2):
        save_checkpoint(path, {"network": nn.Linear(1, 1)}, None, {"step": step})
    content = path.read_bytes()
    found = newest_checkpoint(path)
    assert found is not None
    assert found[1]["step"] == 2
    one_bit = bytearray(content)
    one_bit[-1] ^= 1
    for damage in (content[: len(content) // 2], b"", b"\x00" * len(content), one_bit):
        path.write_bytes(damage)
        told: list[str] = []
        found = newest_checkpoint(path, told.append)
        assert found is not None
        assert found[1]["step"] == 1
        assert len(told) == 1
        assert f"The checkpoint '{path}' " in told[0]
        assert f"'{previous(path)}', is used" in told[0]
    # Killed between the two renames of a save.
    path.unlink()
    found = newest_checkpoint(path)
    assert found is not None
    assert found[1]["step"] == 1
    previous(path).write_bytes(b"")
    with pytest.raises(ModelError, match="previous-last"):
        newest_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"{}", os.urandom(200), b'\x08\x00\x00\x00\x00\x00\x00\x00{"a":1}'])
def test_a_damaged_file_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.safetensors' cannot be read") as caught:
        read_checkpoint(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_checkpoint(tmp_path / "nix.safetensors")


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"dcdan": json.dumps({"schema": 2})}, "is of schema 2 and this dcdan reads 1: a newer version wrote it"),
        ({"dcdan": json.dumps({"schema": 0})}, "is of schema 0 and this dcdan reads 1: finish the run with"),
        ({"other": "1"}, "is of schema None"),
        (None, "is of schema None"),
    ],
)
def test_another_schema_is_refused(tmp_path: Path, metadata: dict[str, str] | None, told: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a", metadata)
    with pytest.raises(ModelError, match=told):
        read_checkpoint(tmp_path / "a")


@pytest.mark.parametrize("other", [nn.Linear(3, 2), nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2)])
def test_another_network_is_refused_in_one_line(tmp_path: Path, other: nn.Module) -> None:
    save_checkpoint(tmp_path / "a", {"network": nn.Linear(2, 2)}, None, {})
    tensors, _ = read_checkpoint(tmp_path / "a")
    with pytest.raises(ModelError, match="does not fit this network") as caught:
        load_module(other, tensors, "network")
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"network": nn.Linear(1, 1)}, None, {"step": 1})

    def full(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
        file.write_bytes(b"half")
        raise checkpoint.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OutputError, match=r"last\.safetensors' cannot be written .*No space left on device"):
        save_checkpoint(path, {"network": nn.Linear(1, 1)}, None, {"step": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]
    assert read_checkpoint(path)[1]["step"] == 1


def test_what_cannot_be_read_back_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    for step in (1, 2):
        save_checkpoint(path, {"network": nn.Linear(1, 1)}, None, {"step": step})

    def failing(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
        save_file({name: value + 1 for name, value in tensors.items()}, file, metadata)

    monkeypatch.setattr(checkpoint, "save_file", failing)
    with pytest.raises(OutputError, match="cannot be read back"):
        save_checkpoint(path, {"network": nn.Linear(1, 1)}, None, {"step": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.safetensors", "previous-last.safetensors"]
    assert [read_checkpoint(p)[1]["step"] for p in (path, previous(path))] == [2, 1]


def test_a_disk_that_is_full_in_earnest_is_told(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"network": nn.Linear(1, 1)}, None, {"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"last\.safetensors' cannot be written .*File too large"):
            save_checkpoint(path, {"network": nn.Linear(300, 300)}, None, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_checkpoint_has_the_permissions_of_other_files(tmp_path: Path) -> None:
    """S22. safetensors gives its files 0600."""
    before = os.umask(0o022)
    try:
        save_checkpoint(tmp_path / "a.safetensors", {"network": network()}, None, {})
        (tmp_path / "b.txt").write_text("b")
        assert os.umask(0o022) == 0o022, "the mask of the process is put back"
    finally:
        os.umask(before)
    modes = {(tmp_path / name).stat().st_mode & 0o777 for name in ("a.safetensors", "b.txt")}
    assert modes == {0o644}
