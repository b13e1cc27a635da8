"""Batch norm with statistics of each domain: the cheapest adaptation known, for every layer and every method.

A source face is normalised by the source's statistics and a target face by the target's; scale and shift are shared
(AdaBN, Li et al., 2016). ``shared`` statistics are ordinary batch norm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dcdan.models.synchronised import SyncNorm, dense, laid_out_like, synchronising

Domain = Literal["source", "target"]


class SplitNorm(torch.autograd.Function):
    """Batch norm of the two parts of a batch, each written where it belongs in one result.

    Slices joined again would copy every map of the trunk twice forward and twice backward, a quarter of a step's time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        source: tuple[Tensor, Tensor],
        target: tuple[Tensor, Tensor],
        sources: int,
        momentum: float,
        eps: float,
    ) -> Tensor:
        """Normalise ``(B, C, H, W)``; update the running statistics ``(mean, variance)`` of both domains in place."""
        x = dense(x)
        out = torch.empty_like(x)
        saved: list[Tensor] = []
        for part, (mean, var) in ((slice(sources), source), (slice(sources, None), target)):
            kept = (weight.new_empty(0), weight.new_empty(0))
            torch.ops.aten.native_batch_norm.out(
                x[part], weight, bias, mean, var, True, momentum, eps,
                out=out[part], save_mean=kept[0], save_invstd=kept[1],
            )  # fmt: skip
            saved += kept
        ctx.save_for_backward(x, weight, *saved)
        ctx.sources, ctx.eps = sources, eps
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients for ``x``, ``weight`` and ``bias``."""
        x, weight, *saved = ctx.saved_tensors
        grad = laid_out_like(grads[0], x)
        grad_x = torch.empty_like(x)
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        for part, mean, invstd in ((slice(ctx.sources), *saved[:2]), (slice(ctx.sources, None), *saved[2:])):
            of_weight, of_bias = torch.empty_like(weight), torch.empty_like(weight)
            torch.ops.aten.native_batch_norm_backward.out(
                grad[part], x[part], weight, None, None, mean, invstd, True, ctx.eps, [True, True, True],
                out0=grad_x[part], out1=of_weight, out2=of_bias,
            )  # fmt: skip
            grad_weight += of_weight
            grad_bias += of_bias
        return grad_x, grad_weight, grad_bias, None, None, None, None, None


class DomainBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose running statistics are the target's, with a second pair of buffers for the source.

    ``sources`` says how many faces of the batch, counted from its start, are the source's: all (-1), none (0), or some.
    Where regions or windows are folded into the batch, each face takes up ``places`` of it: see :func:`fold`.
    The weights keep the plain layer's names, so a model without domains loads and exports as ever.
    """

    source_mean: Tensor
    source_var: Tensor

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(features, eps=eps, momentum=momentum)
        self.register_buffer("source_mean", torch.zeros(features))
        self.register_buffer("source_var", torch.ones(features))
        self.sources = 0
        self.places = 1

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``, each part of the batch by its own domain."""
        n = self.sources * self.places
        if n == 0:
            return self.part(x, self.running_mean, self.running_var)
        if n < 0 or n >= x.shape[0]:
            return self.part(x, self.source_mean, self.source_var)
        if self.training and torch.is_grad_enabled():
            source, target = (self.source_mean, self.source_var), (self.running_mean, self.running_var)
            momentum = self.momentum or 0.0
            out: Tensor = (
                SyncNorm.apply(x, self.weight, self.bias, (source, target), (n, len(x)), momentum, self.eps)
                if synchronising()
                else SplitNorm.apply(x, self.weight, self.bias, source, target, n, momentum, self.eps)
            )
            return out
        of_source = self.part(x[:n], self.source_mean, self.source_var)
        return torch.cat([of_source, self.part(x[n:], self.running_mean, self.running_var)])

    def part(self, x: Tensor, mean: Tensor | None, var: Tensor | None) -> Tensor:
        """Normalise faces of one domain; in training by the batch, whose statistics are then remembered."""
        return nn.functional.batch_norm(
            x, mean, var, self.weight, self.bias, self.training, self.momentum or 0.0, self.eps
        )


def with_domains(module: nn.Module) -> nn.Module:
    """Replace every batch norm under ``module`` by one with domains, keeping its weights and statistics for both."""
    for name, child in module.named_children():
        if isinstance(child, DomainBatchNorm2d):
            continue
        if isinstance(child, nn.BatchNorm2d):
            if type(child) is not nn.BatchNorm2d:
                extra = [part for part in child.children() if not isinstance(part, nn.Identity)]
                made: nn.Module = nn.Sequential(domain_norm(child), *extra)
            else:
                made = domain_norm(child)
            setattr(module, name, made.train(child.training))
        else:
            with_domains(child)
    return module


def domain_norm(norm: nn.BatchNorm2d) -> DomainBatchNorm2d:
    """Return a norm with domains that starts as ``norm``."""
    made = DomainBatchNorm2d(norm.num_features, norm.eps, norm.momentum or 0.1)
    made.load_state_dict(norm.state_dict(), strict=False)
    made.source_mean.copy_(made.running_mean)  # type: ignore[arg-type]
    made.source_var.copy_(made.running_var)  # type: ignore[arg-type]
    return made


def norms(module: nn.Module) -> Iterator[DomainBatchNorm2d]:
    """Iterate over the norms with domains under ``module``."""
    return (part for part in module.modules() if isinstance(part, DomainBatchNorm2d))


def fold(module: nn.Module, places: int) -> None:
    """Say that under ``module`` each face takes up ``places`` consecutive places of the batch, such as its regions."""
    for layer in norms(module):
        layer.places = places


@contextmanager
def sources_first(module: nn.Module, sources: int) -> Iterator[None]:
    """Within the context, the first ``sources`` faces of a batch are the source's (-1: all of them, 0: none)."""
    layers = list(norms(module))
    before = [layer.sources for layer in layers]
    for layer in layers:
        layer.sources = sources
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer.sources = old


def start_target_from_source(module: nn.Module) -> None:
    """Copy the source's statistics to the target: where adaptation starts from."""
    for layer in norms(module):
        layer.running_mean.copy_(layer.source_mean)  # type: ignore[union-attr]
        layer.running_var.copy_(layer.source_var)  # type: ignore[union-attr]
