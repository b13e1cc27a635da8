"""AFC, the constructed activation, and the gate of interactive learning: C2 piecewise cubics with analytic gradients.

The paper names an "activation function construction" scheme without a power function and without dead neurons, and
gives no formula; nor is that of its forerunner available (CF-DAN, doi 10.1007/s41095-023-0369-x). AFC is a derivation
of this project with the stated properties, and with learned width, shape and leak. With ``u = x / h``, ``a = max(2 -
|u|, 0)`` and ``b = max(1 - |u|, 0)``

    AFC(x) = alpha x + (1 - alpha) h phi(u),   phi(u) = max(u, 0) + (mu a^3 + (1 - 4 mu) b^3) / 6

This is the piecewise form of the documentation in truncated powers, computed with clamps and multiply-adds only.

The gate is the saturating counterpart, which replaces the sigmoid. ``gate(x) = 1/2 + T(x/2)/2`` with T odd, of slope
3 A / (p + q) at 0 and flat beyond ``q``. For ``v = |x|``

    T(v) = A - c1 max(q - v, 0)^3 + c2 max(p - v, 0)^3,  c1 = A / (q (q^2 - p^2)),  c2 = A / (p (q^2 - p^2))

With (p, q, A) = (.5, 2.5, 1) it differs from tanh by at most .031.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

START_WIDTH, START_SHAPE, START_LEAK = 1.72, -0.25, 0.0
MOST_LEAK = 0.99


def afc_forward(x: Tensor, h: Tensor, mu: Tensor, alpha: Tensor) -> Tensor:
    """Return AFC(x); also differentiable by autograd.

    Args:
        x: any shape.
        h: scalar width, above 0.
        mu: scalar shape.
        alpha: scalar leak in [0, 1).

    Returns:
        The shape of ``x``.
    """
    # In terms of x itself, so that no map is divided; max(x, alpha x) is the leaky line since alpha < 1.
    a = (2 * h - x.abs()).clamp_min(0)
    b = (a - h).clamp_min(0)
    scale = (1 - alpha) / (6 * h * h)
    return torch.maximum(x, alpha * x) + a * a * (scale * mu * a) + b * b * (scale * (1 - 4 * mu) * b)


def afc_backward(
    grad: Tensor, x: Tensor, h: Tensor, mu: Tensor, alpha: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of AFC.

    Args:
        grad: gradient of the output.
        x: input, the same shape.
        h: scalar width, above 0.
        mu: scalar shape.
        alpha: scalar leak in [0, 1).

    Returns:
        The gradients of ``x`` (its shape), and of ``h``, ``mu`` and ``alpha`` (scalars).
    """
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
    """The forward and backward pass of AFC, each eager or compiled to one fused kernel."""

    forward: Callable[..., Tensor]
    backward: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]


EAGER = Kernels(afc_forward, afc_backward)
_chosen = EAGER


def fuse(on: bool) -> None:
    """Select compiled or eager kernels for AFC, for all later calls.

    Compiled by ``torch.compile``, AFC costs as much as GELU. The first call waits for the compiler, which pays off in
    long trainings only.

    Args:
        on: whether to compile.
    """
    global _chosen
    _chosen = (
        Kernels(torch.compile(afc_forward, dynamic=True), torch.compile(afc_backward, dynamic=True)) if on else EAGER
    )


class AFCFunction(torch.autograd.Function):
    """AFC with its analytic gradient; only the input is saved, and each pass is a single one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, mu: Tensor, alpha: Tensor) -> Tensor:
        """Return AFC(x) and save the input.

        Args:
            ctx: the autograd context.
            x: any shape.
            h: scalar width.
            mu: scalar shape.
            alpha: scalar leak.

        Returns:
            The shape of ``x``.
        """
        ctx.save_for_backward(x, h, mu, alpha)
        return _chosen.forward(x, h, mu, alpha)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of the four inputs.

        Args:
            ctx: the autograd context.
            *grads: gradient of the output.

        Returns:
            The gradients of ``x``, ``h``, ``mu`` and ``alpha``.
        """
        return _chosen.backward(grads[0], *ctx.saved_tensors)


def leak_of(parameter: Tensor) -> Tensor:
    """Return the leak alpha in [0, .99] for its free parameter, which is reflected at both ends of the range.

    ``alpha = |parameter|`` up to .99, then down to 0 at 1.98, and so on. A clamp would have no gradient at its ends, so
    that a leak that starts at 0 would remain 0.

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
    """AFC as a layer with three learned scalars; the output has the shape of the input.

    ``h`` is positive because its logarithm is learned. ``alpha`` is in [0, 1) by :func:`leak_of`, because the function
    is linear at 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_h = nn.Parameter(torch.tensor(START_WIDTH).log())
        self.mu = nn.Parameter(torch.tensor(START_SHAPE))
        self.alpha = nn.Parameter(torch.tensor(START_LEAK))

    def forward(self, x: Tensor) -> Tensor:
        """Return AFC(x).

        Args:
            x: any shape.

        Returns:
            The shape of ``x``.
        """
        h, mu = self.log_h.exp().to(x.dtype), self.mu.to(x.dtype)
        if torch.compiler.is_exporting() or not torch.is_grad_enabled():
            return afc_forward(x, h, mu, leak_of(self.alpha).to(x.dtype))
        out: Tensor = AFCFunction.apply(x, h, mu, leak_of(self.alpha).to(x.dtype))
        return out


KNEE, EDGE, LIMIT = 0.5, 2.5, 1.0
HALVED = 2 * KNEE, 2 * EDGE, LIMIT / 2
"""The constants of ``T(x/2)/2``, which is T of the same shape."""


def saturate(x: Tensor, p: float = KNEE, q: float = EDGE, limit: float = LIMIT) -> Tensor:
    """Return T(x), for 0 < p < q and limit > 0.

    Args:
        x: any shape.
        p: place of the inner knot.
        q: place beyond which T is flat.
        limit: value beyond ``q``, A in the formula.

    Returns:
        The shape of ``x``, in [-limit, limit].

    Example:
        >>> saturate(torch.tensor([-3.0, 3.0])).tolist()
        [-1.0, 1.0]
    """
    c1 = limit / (q * (q * q - p * p))
    c2 = limit / (p * (q * q - p * p))
    v = x.abs()
    r = (q - v).clamp_min(0)
    s = (p - v).clamp_min(0)
    return x.sign() * (limit - c1 * (r * r * r) + c2 * (s * s * s))


def saturate_slope(x: Tensor, p: float = KNEE, q: float = EDGE, limit: float = LIMIT) -> Tensor:
    """Return the derivative T'(x).

    Args:
        x: any shape.
        p: place of the inner knot.
        q: place beyond which T is flat.
        limit: value beyond ``q``.

    Returns:
        The shape of ``x``; 3 limit / (p + q) at 0, and 0 beyond q.
    """
    c1 = limit / (q * (q * q - p * p))
    c2 = limit / (p * (q * q - p * p))
    v = x.abs()
    r = (q - v).clamp_min(0)
    s = (p - v).clamp_min(0)
    return 3 * c1 * (r * r) - 3 * c2 * (s * s)


def squashed(x: Tensor) -> Tensor:
    """Return ``1/2 + T(x/2)/2``.

    Args:
        x: any shape.

    Returns:
        The shape of ``x``, in [0, 1].
    """
    return 0.5 + saturate(x, *HALVED)


class GateFunction(torch.autograd.Function):
    """The gate with its analytic gradient; only the input is saved."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return gate(x) and save the input.

        Args:
            ctx: the autograd context.
            x: any shape.

        Returns:
            The shape of ``x``, in [0, 1].
        """
        ctx.save_for_backward(x)
        return squashed(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return the gradient of the input.

        Args:
            ctx: the autograd context.
            *grads: gradient of the output.

        Returns:
            The shape of ``x``.
        """
        (x,) = ctx.saved_tensors
        return grads[0] * saturate_slope(x, *HALVED)


def gate(x: Tensor) -> Tensor:
    """Return the gate of interactive learning, a piecewise cubic in place of the sigmoid.

    Args:
        x: any shape.

    Returns:
        The shape of ``x``, in [0, 1].

    Example:
        >>> gate(torch.tensor([-6.0, 0.0, 6.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    if torch.compiler.is_exporting() or not torch.is_grad_enabled():
        return squashed(x)
    out: Tensor = GateFunction.apply(x)
    return out
