"""Freed memory stays with the process: what comes next does not wait for the kernel to clear pages.

The choice of device and precision.
"""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from dcdan.core.errors import UsageError
from dcdan.models.network import Network, NetworkSettings
from dcdan.training import device
from dcdan.training.device import choose_bf16, pick_device

FAULTS = """
import ctypes, resource, sys
from dcdan.training.device import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 64 * 2**20
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(after - before)
"""


def faults(mode: str) -> int:
    """Page faults of the second of two uses of 64 MB in a new process."""
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_used_again_is_not_cleared_again() -> None:
    assert faults("default") > 1000
    assert faults("keep") < 100


CPU = torch.device("cpu")


def network() -> Network:
    torch.manual_seed(0)
    return Network(NetworkSettings(trunk="test_byobnet", width=32, groups=4), 5, 32)


def test_what_is_set_is_taken_without_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "step_time", lambda *_: pytest.fail("it was measured"))
    assert choose_bf16(network(), "bf16", 32, 8, CPU) == (True, "bf16, as set")
    assert choose_bf16(network(), "fp32", 32, 8, CPU) == (False, "fp32, as set")
    monkeypatch.setattr(device, "has_bf16", lambda _: False)
    chosen, why = choose_bf16(network(), "auto", 32, 8, CPU)
    assert not chosen
    assert "no bf16" in why


def test_a_measurement_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bf16", lambda _: True)
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chosen, why = choose_bf16(model, "auto", 32, 4, CPU)
    assert why.startswith("bf16" if chosen else "fp32")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("plain", "half", "expected"), [(1.0, 0.5, True), (1.0, 0.96, False), (1.0, 2.0, False)])
def test_the_faster_is_taken_when_it_pays(
    monkeypatch: pytest.MonkeyPatch, plain: float, half: float, expected: bool
) -> None:
    monkeypatch.setattr(device, "has_bf16", lambda _: True)
    monkeypatch.setattr(device, "step_time", lambda _net, _faces, bf16: half if bf16 else plain)
    chosen, why = choose_bf16(network(), "auto", 32, 4, CPU)
    assert chosen is expected
    assert f"{half / plain:.2f}" in why


def test_devices() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(UsageError, match="device") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)
