"""Costs of the network against counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dcdan.models.complexity import PARTS, activation_bytes, complexities, complexity, milliseconds, multiply_adds
from dcdan.models.network import Network, NetworkSettings


def small(condensation: int = 2, **changes: object) -> Network:
    settings = {"trunk": "mobilenetv2_050", "width": 64, "groups": 4, "batch_norm": "shared"}
    return Network(NetworkSettings.model_validate(settings | {"condensation": condensation} | changes), 7, 32)


def convolutions(network: nn.Module, faces: torch.Tensor) -> int:
    """Count multiply-adds of convolutions and linear layers from the shapes that hooks see."""
    total = 0

    def add(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            each = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
        else:
            each = module.in_features
        total += output.numel() * each

    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        network(faces)
    for hook in hooks:
        hook.remove()
    return total


def test_multiply_adds_of_a_network_of_convolutions_and_linear_layers_are_those_counted_from_shapes() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Flatten(),
        nn.Linear(512, 5),
    )
    faces = torch.rand(1, 3, 16, 16)
    counts = multiply_adds(network, faces)
    assert counts[""] == convolutions(network, faces) == 8 * 8 * 8 * 27 + 8 * 8 * 8 * 9 + 512 * 5
    assert counts["2"] == 8 * 8 * 8 * 9


def test_the_trunk_has_what_its_convolutions_have_and_the_parts_sum_to_all() -> None:
    network = small().eval()
    found = complexity(network, 32)
    faces = torch.rand(1, 3, 32, 32)
    assert found.by_part["trunk"] == convolutions(network.trunk, faces)
    assert set(found.by_part) == set(PARTS)
    assert sum(found.by_part.values()) == found.multiply_adds
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert 0 < found.of_condensation < found.by_part["attention"]


def test_a_network_without_parts_costs_nothing_for_them() -> None:
    found = complexity(small(attention="off", local_branch=False), 32)
    assert found.by_part["attention"] == found.by_part["local"] == found.of_condensation == 0


def test_condensation_saves_multiply_adds_of_the_attention_alone() -> None:
    full, half = (complexity(small(ratio), 32) for ratio in (1, 2))
    assert full.of_condensation == 0
    assert full.by_part["trunk"] == half.by_part["trunk"]
    assert half.by_part["attention"] != full.by_part["attention"]


def test_activations_are_the_outputs_of_the_layers() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU(), nn.Flatten()))
    assert activation_bytes(network, torch.rand(1, 3, 2, 2)) == 3 * 4 * 2 * 2 * 4


def test_time_is_measured_on_one_thread_and_the_number_of_threads_returns() -> None:
    before = torch.get_num_threads()
    slow, fast = nn.Linear(2000, 2000), nn.Linear(2, 2)
    assert milliseconds(slow, torch.rand(64, 2000), 3) > milliseconds(fast, torch.rand(1, 2), 3) > 0
    assert torch.get_num_threads() == before


def test_the_mode_of_the_network_stays() -> None:
    network = small().train()
    complexity(network, 32)
    assert network.training


@pytest.mark.parametrize("timed", [False, True])
def test_every_combination_has_an_entry(timed: bool) -> None:
    found = complexities(["mobilenetv2_050"], [32, 48], (1, 2), timed=timed, width=32, groups=2)
    assert [(each.size, each.condensation) for each in found] == [(32, 1), (32, 2), (48, 1), (48, 2)]
    assert all((each.milliseconds is not None) == timed for each in found)
