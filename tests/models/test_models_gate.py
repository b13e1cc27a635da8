"""The gate against the piecewise formula of the method."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from dcdan.models.gate import gate, saturate, saturate_slope


def piecewise(x: float, p: float, q: float, limit: float) -> float:
    """T of the documentation, read literally."""
    s0 = 3 * limit / (p + q)
    m = 2 * s0 / q
    v, sign = abs(x), (x > 0) - (x < 0)
    if v < p:
        t = s0 * v - m * v**3 / (6 * p)
    elif v < q:
        t = limit - m * (q - v) ** 3 / (6 * (q - p))
    else:
        t = limit
    return sign * t


@pytest.mark.parametrize("shape", [(0.5, 2.5, 1.0), (0.2, 1.0, 0.7), (1.5, 1.6, 3.0)])
def test_equals_the_piecewise_formula(shape: tuple[float, float, float]) -> None:
    x = torch.linspace(-4, 4, 321, dtype=torch.float64)
    found = saturate(x, *shape)
    assert found.tolist() == pytest.approx([piecewise(value, *shape) for value in x.tolist()], abs=1e-12)


def test_stays_near_tanh_with_slope_one_at_nought() -> None:
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    assert (saturate(x) - x.tanh()).abs().max() <= 0.031
    assert saturate_slope(torch.zeros(1, dtype=torch.float64)).item() == pytest.approx(1.0)


def test_gate_is_between_nought_and_one_and_flat_beyond() -> None:
    x = torch.tensor([-9.0, -5.0, 0.0, 5.0, 9.0], dtype=torch.float64, requires_grad=True)
    out = gate(x)
    (slope,) = torch.autograd.grad(out.sum(), x)
    assert out.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert slope.tolist() == pytest.approx([0, 0, 0.25, 0, 0], abs=1e-15)


def test_derivative_by_finite_differences_also_at_the_knots() -> None:
    x = torch.tensor([-5, -3.3, -1, -0.4, 0, 1e-6, 0.9, 1, 2, 5, 6], dtype=torch.float64, requires_grad=True)
    assert gradcheck(gate, (x,), eps=1e-6, atol=1e-7)


def test_same_without_gradient_and_never_falls() -> None:
    x = torch.linspace(-7, 7, 1001)
    with torch.no_grad():
        plain = gate(x)
    torch.testing.assert_close(gate(x.requires_grad_()).detach(), plain, rtol=0, atol=0)
    assert (plain.diff() >= -1e-6).all()
