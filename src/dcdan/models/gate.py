"""The gate of interactive learning: AFC's saturating sibling, a C2 piecewise cubic that stands in for the sigmoid.

``gate(x) = 1/2 + T(x/2)/2`` with T odd, of slope 3 A / (p + q) at 0 and exactly flat beyond ``q``. For ``v = |x|``

    T(v) = A - c1 max(q - v, 0)^3 + c2 max(p - v, 0)^3,  c1 = A / (q (q^2 - p^2)),  c2 = A / (p (q^2 - p^2))

is the piecewise form of the documentation in truncated powers. With (p, q, A) = (.5, 2.5, 1) it stays within .031 of
tanh.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

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
    return x.sign() * (limit - c1 * r**3 + c2 * s**3)


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
