"""AFC against the piecewise formula and the test vectors of the method, its derivative, and its learned parameters.

The gate against the piecewise formula of the method.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from dcdan.models.afc import (
    AFC,
    MOST_LEAK,
    AFCFunction,
    afc_backward,
    afc_forward,
    fuse,
    gate,
    leak_of,
    saturate,
    saturate_slope,
)

POINTS = (-4, -1.72, -1, -0.5, 0, 0.5, 1, 1.72, 4)
VECTORS = {
    (1, 0, 0): (0, 0, 0, 0.020833, 0.166667, 0.520833, 1, 1.72, 4),
    (1, 0.25, 0): (0, 0.000915, 0.041667, 0.140625, 0.333333, 0.640625, 1.041667, 1.720915, 4),
    (1.72, -0.25, 0): (0, -0.071667, -0.162543, -0.153312, 0, 0.346688, 0.837457, 1.648333, 4),
    (1.72, -0.25, 0.1): (-0.4, -0.2365, -0.246289, -0.187981, 0, 0.362019, 0.853711, 1.6555, 4),
}
SHAPES = [(1.0, 0.0, 0.0), (1.3, 0.25, 0.2), (1.72, -0.25, 0.1), (0.6, 0.45, 0.9)]


def scalars(*values: float) -> tuple[Tensor, ...]:
    """Return float64 scalars that want gradients."""
    return tuple(torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values)


def piecewise(x: float, h: float, mu: float, alpha: float) -> float:
    """The documentation's formula, read literally."""
    u, m0 = x / h, 1 - 2 * mu
    v = abs(u)
    if v < 1:
        psi = 1 / 6 + 2 * mu / 3 + m0 * v**2 / 2 - (m0 - mu) * v**3 / 6
    elif v < 2:
        psi = v / 2 + mu * (2 - v) ** 3 / 6
    else:
        psi = v / 2
    return alpha * x + (1 - alpha) * h * (u / 2 + psi)


def bend(x: float, h: float, mu: float, alpha: float) -> float:
    """The second derivative by x, from the documentation's phi''."""
    v, m0 = abs(x / h), 1 - 2 * mu
    return (1 - alpha) / h * (m0 - (m0 - mu) * v if v < 1 else mu * (2 - v) if v < 2 else 0.0)


@pytest.mark.parametrize("parameters", VECTORS)
def test_vectors_of_the_method(parameters: tuple[float, float, float]) -> None:
    h, mu, alpha = scalars(*parameters)
    found = AFCFunction.apply(torch.tensor(POINTS, dtype=torch.float64), h, mu, alpha)
    assert found.tolist() == pytest.approx(VECTORS[parameters], abs=6e-7)


@pytest.mark.parametrize("parameters", SHAPES)
def test_equals_the_piecewise_formula(parameters: tuple[float, float, float]) -> None:
    x = torch.linspace(-5, 5, 401, dtype=torch.float64)
    found = afc_forward(x, *scalars(*parameters))
    assert found.tolist() == pytest.approx([piecewise(value, *parameters) for value in x.tolist()], abs=1e-12)


@pytest.mark.parametrize("parameters", SHAPES)
def test_derivatives_by_finite_differences_also_at_the_knots(parameters: tuple[float, float, float]) -> None:
    h, mu, alpha = scalars(*parameters)
    knots = parameters[0] * torch.arange(-2.0, 3, dtype=torch.float64)
    x = torch.cat([knots, torch.tensor([-3.9, -0.7, 1e-5, 0.31, 5.0], dtype=torch.float64)]).requires_grad_()
    assert gradcheck(AFCFunction.apply, (x, h, mu, alpha), eps=1e-6, atol=1e-6)


def test_derivative_equals_autograd_of_the_plain_formula() -> None:
    x = (3 * torch.randn(5, 7, dtype=torch.float64)).requires_grad_()
    parameters = scalars(1.4, -0.3, 0.15)
    weight = torch.randn(5, 7, dtype=torch.float64)
    ours = torch.autograd.grad((AFCFunction.apply(x, *parameters) * weight).sum(), (x, *parameters))
    plain = torch.autograd.grad((afc_forward(x, *parameters) * weight).sum(), (x, *parameters))
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("parameters", SHAPES)
def test_twice_continuously_differentiable(parameters: tuple[float, float, float]) -> None:
    h = parameters[0]
    near = 1e-9
    sides = [knot * h + side * near for knot in (-2, -1, 0, 1, 2) for side in (-1, 1)]
    x = torch.tensor(sides, dtype=torch.float64, requires_grad=True)
    value = AFCFunction.apply(x, *scalars(*parameters))
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (curve,) = torch.autograd.grad(slope.sum(), x)
    for order in (value, slope, curve):
        left, right = order.reshape(5, 2).T
        torch.testing.assert_close(left, right, atol=1e-7, rtol=0)
    assert curve.tolist() == pytest.approx([bend(place, *parameters) for place in sides], abs=1e-7)


@pytest.mark.parametrize("parameters", SHAPES)
def test_tails_are_straight_lines(parameters: tuple[float, float, float]) -> None:
    h, _, alpha = parameters
    far = torch.tensor([2 * h, 2 * h + 0.1, 7.0, 1e4], dtype=torch.float64)
    ones = torch.ones(4, dtype=torch.float64)
    for x, slope in ((far, 1.0), (-far, alpha)):
        torch.testing.assert_close(afc_forward(x, *scalars(*parameters)), slope * x, rtol=1e-15, atol=1e-15)
        grad_x = afc_backward(ones, x, *scalars(*parameters))[0]
        torch.testing.assert_close(grad_x, slope * ones, rtol=1e-15, atol=1e-15)


def test_starts_within_half_a_hundredth_of_gelu() -> None:
    x = torch.linspace(-8, 8, 3001)
    assert (AFC()(x) - nn.functional.gelu(x)).abs().max() < 0.0045


def test_shape_between_nought_and_a_half_is_convex() -> None:
    x = torch.linspace(-3, 3, 601, dtype=torch.float64)
    for mu in (0.0, 0.2, 0.5):
        values = afc_forward(x, *scalars(1.2, mu, 0.0))
        assert (values[2:] - 2 * values[1:-1] + values[:-2]).min() > -1e-12


def test_layer_is_the_same_with_and_without_gradient() -> None:
    layer = AFC()
    with torch.no_grad():
        layer.alpha.fill_(0.2)
    x = torch.randn(4, 3)
    with torch.no_grad():
        plain = layer(x)
    torch.testing.assert_close(layer(x), plain, rtol=0, atol=0)
    torch.testing.assert_close(plain, afc_forward(x, layer.log_h.exp(), layer.mu, layer.alpha))


def test_layer_keeps_the_precision_and_layout_it_is_given() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer = AFC()
    out = layer(x)
    out.float().sum().backward()
    assert out.dtype == x.grad.dtype == torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert layer.mu.grad.dtype == torch.float32


def test_gradient_has_the_layout_of_the_input() -> None:
    x = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    parameters = (torch.tensor(1.7), torch.tensor(-0.2), torch.tensor(0.0))
    assert afc_backward(torch.randn(2, 3, 4, 4), x, *parameters)[0].is_contiguous(memory_format=torch.channels_last)


def test_all_three_parameters_learn_towards_another_afc() -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(512)
    wanted = afc_forward(x, torch.tensor(1.2), torch.tensor(0.1), torch.tensor(0.2))
    layer = AFC()
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(400):
        loss = (layer(x) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = tuple(value.item() for value in (layer.log_h.detach().exp(), layer.mu, layer.alpha))
    assert found == pytest.approx((1.2, 0.1, 0.2), abs=0.05)


@pytest.mark.parametrize(
    ("start", "alpha", "sign"),
    [(0.0, 0.0, 1), (-0.05, 0.05, -1), (0.3, 0.3, 1), (MOST_LEAK, MOST_LEAK, 1), (1.2, 0.78, -1), (-1.2, 0.78, 1)],
)
@pytest.mark.parametrize("direction", [1, -1])
def test_the_leak_has_a_gradient_everywhere(start: float, alpha: float, sign: int, direction: int) -> None:
    """F4. A leak at 0, where it starts, moves whichever way the loss falls; both ends of its range reflect it."""
    layer = AFC()
    with torch.no_grad():
        layer.alpha.fill_(start)
    x = -torch.rand(8) - 4
    out = layer(x)
    torch.testing.assert_close(out, alpha * x)
    (direction * out).sum().backward()
    assert layer.alpha.grad.item() == pytest.approx(direction * sign * x.sum().item(), rel=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), out)


def test_a_leak_that_starts_at_0_learns() -> None:
    """F4. By gradient descent from the start to a leak of .1."""
    layer = AFC()
    optimiser = torch.optim.SGD([layer.alpha], lr=0.01)
    x = torch.linspace(-6, -4, 8)
    for _ in range(100):
        optimiser.zero_grad()
        (layer(x) - 0.1 * x).square().mean().backward()
        optimiser.step()
    assert leak_of(layer.alpha).item() == pytest.approx(0.1, abs=1e-3)


@pytest.fixture
def fused() -> Iterator[None]:
    """Compiled kernels for a test, eager ones after it."""
    fuse(True)
    yield
    fuse(False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_kernels_equal_the_eager_ones(dtype: torch.dtype) -> None:
    x = (3 * torch.randn(2, 8, 5, 5, dtype=dtype)).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer = AFC()
    with torch.no_grad():
        layer.alpha.fill_(0.1)
    weight = torch.randn_like(x)
    wanted = (x, *layer.parameters())
    out = layer(x)
    grads = torch.autograd.grad((out * weight).sum(), wanted)
    fuse(False)
    eager = layer(x)
    torch.testing.assert_close(out, eager)
    for one, other in zip(grads, torch.autograd.grad((eager * weight).sum(), wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5)


def test_a_not_a_number_stays_one() -> None:
    x = torch.tensor([math.nan, 1.0], requires_grad=True)
    out = AFC()(x)
    assert out.isnan().tolist() == [True, False]


def piecewise_gate(x: float, p: float, q: float, limit: float) -> float:
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
def test_gate_equals_the_piecewise_formula(shape: tuple[float, float, float]) -> None:
    x = torch.linspace(-4, 4, 321, dtype=torch.float64)
    found = saturate(x, *shape)
    assert found.tolist() == pytest.approx([piecewise_gate(value, *shape) for value in x.tolist()], abs=1e-12)


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
