"""The moving average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dcdan.training.step import make_teacher, update_teacher


def student() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 4))


def disturb(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator))
            else:
                value.fill_(seed)


@pytest.mark.parametrize("momentum", [0.9, 0.999, 0.2])
def test_it_equals_a_naive_average(momentum: float) -> None:
    model = student()
    teacher = make_teacher(model)
    expected = {name: value.double().numpy().copy() for name, value in model.state_dict().items()}
    for step in range(30):
        disturb(model, step)
        update_teacher(teacher, model, momentum, step)
        keep = min(momentum, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = keep * expected[name] + (1 - keep) * value.double().numpy()
            else:
                expected[name] = value.numpy()
    for name, value in teacher.state_dict().items():
        np.testing.assert_allclose(value.double().numpy(), expected[name], atol=1e-5, err_msg=name)
    assert int(teacher.state_dict()["1.num_batches_tracked"]) == 29


def test_without_momentum_it_is_the_student() -> None:
    model = student()
    teacher = make_teacher(model)
    disturb(model, 1)
    update_teacher(teacher, model, 0.0, 5)
    for name, value in teacher.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name])


def test_it_is_a_copy_in_evaluation_mode_that_takes_no_gradient() -> None:
    model = student()
    teacher = make_teacher(model)
    assert not teacher.training
    assert model.training
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in model.parameters())
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    disturb(model, 3)
    assert all((value == before[name]).all() for name, value in teacher.state_dict().items())


def test_following_leaves_the_student_alone() -> None:
    model = student()
    teacher = make_teacher(model)
    disturb(model, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    update_teacher(teacher, model, 0.5, 100)
    assert all((value == before[name]).all() for name, value in model.state_dict().items())
