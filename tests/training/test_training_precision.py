"""The choice of device and precision."""

from __future__ import annotations

import pytest
import torch

from dcdan.errors import UsageError
from dcdan.models.network import Network, NetworkSettings
from dcdan.training import precision
from dcdan.training.precision import choose_bf16, pick_device

CPU = torch.device("cpu")


def network() -> Network:
    torch.manual_seed(0)
    return Network(NetworkSettings(trunk="test_byobnet", width=32, groups=4), 5, 32)


def test_what_is_set_is_taken_without_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "step_time", lambda *_: pytest.fail("it was measured"))
    assert choose_bf16(network(), "bf16", 32, 8, CPU) == (True, "bf16, as set")
    assert choose_bf16(network(), "fp32", 32, 8, CPU) == (False, "fp32, as set")
    monkeypatch.setattr(precision, "has_bf16", lambda _: False)
    chosen, why = choose_bf16(network(), "auto", 32, 8, CPU)
    assert not chosen
    assert "no bf16" in why


def test_a_measurement_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda _: True)
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
    monkeypatch.setattr(precision, "has_bf16", lambda _: True)
    monkeypatch.setattr(precision, "step_time", lambda _net, _faces, bf16: half if bf16 else plain)
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
