"""Learning rates over a stage.

The fused optimiser against the formula, where its kernel could pair elements wrongly.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dcdan.models.network import Network
from dcdan.training.checkpoint import load_optimiser, optimiser_tensors
from dcdan.training.optimiser import learning_rate, optimiser_of
from tiny_training import SIZE, tiny


@pytest.mark.parametrize(
    ("schedule", "progress", "factor"),
    [
        ("one-cycle", 0.0, 0.1),
        ("one-cycle", 0.125, 0.55),
        ("one-cycle", 0.25, 1.0),
        ("one-cycle", 0.625, 0.5),
        ("one-cycle", 1.0, 0.0),
        ("cosine", 0.0, 0.1),
        ("cosine", 0.01, 0.55),
        ("cosine", 0.02, 1.0),
        ("cosine", 0.51, 0.5),
        ("cosine", 1.0, 0.0),
    ],
)
def test_values(schedule: str, progress: float, factor: float) -> None:
    assert learning_rate(schedule, progress) == pytest.approx(factor, abs=1e-9)


@pytest.mark.parametrize(("schedule", "top"), [("one-cycle", 0.25), ("cosine", 0.02)])
def test_it_rises_to_one_top_and_falls_without_a_jump(schedule: str, top: float) -> None:
    progress = np.linspace(0, 1, 2001)
    values = np.array([learning_rate(schedule, float(p)) for p in progress])
    assert (np.diff(values[progress <= top]) > 0).all()
    assert (np.diff(values[progress >= top]) < 0).all()
    assert abs(np.diff(values)).max() < 0.04
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_each_cycle_is_the_whole_schedule_at_half_the_height_of_the_one_before(schedule: str) -> None:
    within = np.linspace(0, 0.999, 50)
    once = np.array([learning_rate(schedule, float(p)) for p in within])
    for cycle in range(3):
        values = [learning_rate(schedule, float(cycle + p) / 3, cycles=3) for p in within]
        np.testing.assert_allclose(values, once / 2**cycle, atol=1e-9)
    assert learning_rate(schedule, 1.0, cycles=3) == pytest.approx(0, abs=1e-9)


SETTINGS = tiny()
PLAN = SETTINGS.source
LATE = 3
"""Every third parameter has no gradient in the first step."""


def network() -> Network:
    torch.manual_seed(0)
    return Network(SETTINGS.network, 3, SIZE).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def gradients(module: nn.Module, step: int) -> list[torch.Tensor | None]:
    """Return drawn gradients ``contiguous`` in memory, by parameter."""
    generator = torch.Generator().manual_seed(step)
    drawn = [torch.randn(parameter.shape, generator=generator) for parameter in module.parameters()]
    return [None if step == 0 and number % LATE == 0 else value for number, value in enumerate(drawn)]


def naive(module: nn.Module, steps: int) -> list[torch.Tensor]:
    """Return the parameters after ``steps`` of SGD with Nesterov's momentum, in double precision."""
    values = [parameter.detach().double().contiguous() for parameter in module.parameters()]
    momenta = [torch.zeros_like(value) for value in values]
    for step in range(steps):
        for value, momentum, gradient in zip(values, momenta, gradients(module, step), strict=True):
            if gradient is None:
                continue
            slope = gradient.double() + (PLAN.weight_decay if value.ndim > 1 else 0.0) * value
            momentum.mul_(0.9).add_(slope)
            value.sub_(PLAN.lr * (slope + 0.9 * momentum))
    return values


def test_resumed_it_equals_the_formula() -> None:
    module = network()
    expected = naive(module, 4)
    optimiser = optimiser_of(PLAN, module, [])
    for step in range(4):
        if step == 2:
            kept = {name: value.contiguous().clone() for name, value in optimiser_tensors(optimiser).items()}
            load_optimiser(optimiser := optimiser_of(PLAN, module, []), kept)
        for parameter, gradient in zip(module.parameters(), gradients(module, step), strict=True):
            parameter.grad = None if gradient is None else torch.zeros_like(parameter).copy_(gradient)
        optimiser.step()
    for (name, parameter), value in zip(module.named_parameters(), expected, strict=True):
        torch.testing.assert_close(
            parameter.detach().double(), value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_a_momentum_that_a_file_lacks_starts_at_nothing() -> None:
    module = network()
    optimiser = optimiser_of(PLAN, module, [])
    load_optimiser(optimiser, {})
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            momentum = optimiser.state[parameter]["momentum_buffer"]
            assert not momentum.any()
            assert momentum.stride() == parameter.stride()
