"""AFC, the constructed activation, and its saturating sibling, the gate of interactive learning.

AFC, the constructed activation: a C2 piecewise cubic with learned width, shape and leak.

The paper names an "activation function construction" scheme without a power function and without dead neurons, and
gives no formula; neither could its forerunner's (CF-DAN, doi 10.1007/s41095-023-0369-x) be found. This one is our
derivation with the properties that the texts state. With ``u = x / h``, ``a = max(2 - |u|, 0)`` and
``b = max(1 - |u|, 0)``

    AFC(x) = alpha x + (1 - alpha) h phi(u),   phi(u) = max(u, 0) + (mu a^3 + (1 - 4 mu) b^3) / 6

which is the piecewise form of the documentation written in truncated powers, so that clamps and multiply-adds do.

The gate of interactive learning: AFC's saturating sibling, a C2 piecewise cubic that stands in for the sigmoid.

``gate(x) = 1/2 + T(x/2)/2`` with T odd, of slope 3 A / (p + q) at 0 and exactly flat beyond ``q``. For ``v = |x|``

    T(v) = A - c1 max(q - v, 0)^3 + c2 max(p - v, 0)^3,  c1 = A / (q (q^2 - p^2)),  c2 = A / (p (q^2 - p^2))

is the piecewise form of the documentation in truncated powers. With (p, q, A) = (.5, 2.5, 1) it stays within .031 of
tanh.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

START_WIDTH, START_SHAPE, START_LEAK = 1.72, -0.25, 0.0
MOST_LEAK = 0.99


def afc_forward(x: Tensor, h: Tensor, mu: Tensor, alpha: Tensor) -> Tensor:
    """Return AFC(x), any shape, for scalar tensors ``h > 0``, ``mu`` and ``alpha``; differentiable by autograd too."""
    # In terms of x itself, so that no map is divided; max(x, alpha x) is the leaky line since alpha < 1.
    a = (2 * h - x.abs()).clamp_min(0)
    b = (a - h).clamp_min(0)
    scale = (1 - alpha) / (6 * h * h)
    return torch.maximum(x, alpha * x) + a * a * (scale * mu * a) + b * b * (scale * (1 - 4 * mu) * b)


def afc_backward(
    grad: Tensor, x: Tensor, h: Tensor, mu: Tensor, alpha: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients for ``x`` (its shape) and, summed to scalars, for ``h``, ``mu`` and ``alpha``."""
    u = x / h
    v = u.abs()
    a = (2 - v).clamp_min(0)
    b = (1 - v).clamp_min(0)
    aa, bb = a * a, b * b
    k = 1 - 4 * mu
    slope = 0.5 + 0.5 * u.sign() * (1 - mu * aa - k * bb)
    bend = (a * aa) / 6
    edge = (b * bb) / 6
    phi = u.clamp_min(0) + mu * bend + k * edge
    # The slope comes first since a product takes its first factor's layout, and batch norm below wants the input's.
    grad_x = (alpha + (1 - alpha) * slope) * grad
    grad_h = (1 - alpha) * (grad * (phi - u * slope)).sum()
    grad_mu = (1 - alpha) * h * (grad * (bend - 4 * edge)).sum()
    grad_alpha = (grad * (x - h * phi)).sum()
    return grad_x, grad_h, grad_mu, grad_alpha


class Kernels(NamedTuple):
    """The two passes, eager or compiled to one fused kernel each."""

    forward: Callable[..., Tensor]
    backward: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]


EAGER = Kernels(afc_forward, afc_backward)
_chosen = EAGER


def fuse(on: bool) -> None:
    """Choose compiled kernels for AFC from here on, or the eager ones.

    Compiled by ``torch.compile`` for the device at hand, AFC costs what GELU costs; the first call then waits for a
    compiler, which a short training never earns back.
    """
    global _chosen
    _chosen = (
        Kernels(torch.compile(afc_forward, dynamic=True), torch.compile(afc_backward, dynamic=True)) if on else EAGER
    )


class AFCFunction(torch.autograd.Function):
    """AFC with its analytic derivative: only the input is kept, and one pass each way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, mu: Tensor, alpha: Tensor) -> Tensor:
        """Return AFC(x) and keep the input."""
        ctx.save_for_backward(x, h, mu, alpha)
        return _chosen.forward(x, h, mu, alpha)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the four gradients."""
        return _chosen.backward(grads[0], *ctx.saved_tensors)


def leak_of(parameter: Tensor) -> Tensor:
    """Return the leak alpha in [0, .99] of its free parameter, which is reflected at both ends of the range.

    ``alpha = |parameter|`` up to .99, from there down to 0 at 1.98, and so on. A clamp would have no gradient at its
    ends, so a leak that starts at 0 would stay there.

    Args:
        parameter: any shape.

    Returns:
        The same shape. The slope is 1 or -1 everywhere, and 1 at 0.

    Example:
        >>> leak_of(torch.tensor([0.0, 0.25, -0.25, 1.0]))
        tensor([0.0000, 0.2500, 0.2500, 0.9800])
    """
    size = torch.where(parameter < 0, -parameter, parameter)
    place = size % (2 * MOST_LEAK)
    return torch.where(place > MOST_LEAK, 2 * MOST_LEAK - place, place)


class AFC(nn.Module):
    """AFC as a layer: ``(...)`` floats in, the same shape out; three learned scalars.

    ``h`` is kept positive by its logarithm and ``alpha`` in [0, 1) by :func:`leak_of`, since at 1 the function would be
    linear.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_h = nn.Parameter(torch.tensor(START_WIDTH).log())
        self.mu = nn.Parameter(torch.tensor(START_SHAPE))
        self.alpha = nn.Parameter(torch.tensor(START_LEAK))

    def forward(self, x: Tensor) -> Tensor:
        """Return AFC(x)."""
        h, mu = self.log_h.exp().to(x.dtype), self.mu.to(x.dtype)
        if torch.compiler.is_exporting() or not torch.is_grad_enabled():
            return afc_forward(x, h, mu, leak_of(self.alpha).to(x.dtype))
        out: Tensor = AFCFunction.apply(x, h, mu, leak_of(self.alpha).to(x.dtype))
        return out


KNEE, EDGE, LIMIT = 0.5, 2.5, 1.0
HALVED = 2 * KNEE, 2 * EDGE, LIMIT / 2
"""The constants of ``T(x/2)/2``, which is T of the same shape."""


def saturate(x: Tensor, p: float = KNEE, q: float = EDGE, limit: float = LIMIT) -> Tensor:
    """Return T(x), any shape, in [-limit, limit]; for 0 < p < q and limit > 0."""
    c1 = limit / (q * (q * q - p * p))
    c2 = limit / (p * (q * q - p * p))
    v = x.abs()
    r = (q - v).clamp_min(0)
    s = (p - v).clamp_min(0)
    return x.sign() * (limit - c1 * (r * r * r) + c2 * (s * s * s))


def saturate_slope(x: Tensor, p: float = KNEE, q: float = EDGE, limit: float = LIMIT) -> Tensor:
    """Return T'(x), the same shape; 3 limit / (p + q) at 0 and 0 beyond q."""
    c1 = limit / (q * (q * q - p * p))
    c2 = limit / (p * (q * q - p * p))
    v = x.abs()
    r = (q - v).clamp_min(0)
    s = (p - v).clamp_min(0)
    return 3 * c1 * (r * r) - 3 * c2 * (s * s)


def squashed(x: Tensor) -> Tensor:
    """Return ``1/2 + T(x/2)/2``, any shape."""
    return 0.5 + saturate(x, *HALVED)


class GateFunction(torch.autograd.Function):
    """The gate with its analytic derivative; only the input is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return gate(x) in [0, 1]."""
        ctx.save_for_backward(x)
        return squashed(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return the gradient for ``x``."""
        (x,) = ctx.saved_tensors
        return grads[0] * saturate_slope(x, *HALVED)


def gate(x: Tensor) -> Tensor:
    """Return the gate of ``x``, any shape, in [0, 1]."""
    if torch.compiler.is_exporting() or not torch.is_grad_enabled():
        return squashed(x)
    out: Tensor = GateFunction.apply(x)
    return out
