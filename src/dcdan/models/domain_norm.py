"""Domain-specific batch norm: each domain has its own statistics, in every layer and for every method.

Source faces are normalised by source statistics and target faces by target statistics; scale and shift are common
(AdaBN; Li et al., 2016). With ``batch_norm = "shared"`` the layers are ordinary batch norm.
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
    """Batch norm of both parts of a batch, written into one result.

    Concatenated slices would copy every map of the trunk twice in each pass, a quarter of the time of a step.
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
        """Normalise a batch and update the running statistics of both domains in place.

        Args:
            ctx: the autograd context.
            x: ``(B, C, H, W)``, source faces first.
            weight: ``(C,)``.
            bias: ``(C,)``.
            source: running mean and variance ``(C,)`` of the source.
            target: running mean and variance ``(C,)`` of the target.
            sources: number of source entries in the batch.
            momentum: momentum of the running statistics.
            eps: added to the variance.

        Returns:
            ``(B, C, H, W)``.
        """
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
        """Return the gradients of ``x``, ``weight`` and ``bias``.

        Args:
            ctx: the autograd context.
            *grads: gradient of the output.

        Returns:
            A gradient per input of :meth:`forward`, None for the others.
        """
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
    """Batch norm with separate statistics for source and target.

    The running statistics are those of the target; a second pair of buffers has those of the source. The parameters
    have the names of the plain layer, so that a model without domains loads and exports unchanged.

    Attributes:
        sources: number of source faces at the start of the batch; -1 for all, 0 for none.
        places: batch entries per face, above 1 where regions or windows are folded into the batch, see :func:`fold`.
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
        """Normalise each part of the batch by its own domain.

        Args:
            x: ``(B, C, H, W)``, source faces first.

        Returns:
            ``(B, C, H, W)``.
        """
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
        """Normalise faces of one domain; training uses batch statistics and updates the running ones.

        Args:
            x: ``(B, C, H, W)``.
            mean: ``(C,)`` running mean.
            var: ``(C,)`` running variance.

        Returns:
            ``(B, C, H, W)``.
        """
        return nn.functional.batch_norm(
            x, mean, var, self.weight, self.bias, self.training, self.momentum or 0.0, self.eps
        )


def with_domains(module: nn.Module) -> nn.Module:
    """Replace every batch norm of a module by a domain-specific one with the same weights and statistics, in place.

    Args:
        module: the module.

    Returns:
        The same module.
    """
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
    """Return a domain-specific copy of a batch norm.

    Args:
        norm: the batch norm, whose statistics both domains get.

    Returns:
        The copy.
    """
    made = DomainBatchNorm2d(norm.num_features, norm.eps, norm.momentum or 0.1)
    made.load_state_dict(norm.state_dict(), strict=False)
    made.source_mean.copy_(made.running_mean)  # type: ignore[arg-type]
    made.source_var.copy_(made.running_var)  # type: ignore[arg-type]
    return made


def norms(module: nn.Module) -> Iterator[DomainBatchNorm2d]:
    """Iterate over the domain-specific batch norms of a module.

    Args:
        module: the module.

    Returns:
        The layers.
    """
    return (part for part in module.modules() if isinstance(part, DomainBatchNorm2d))


def fold(module: nn.Module, places: int) -> None:
    """Set the number of consecutive batch entries of each face, such as its regions.

    Args:
        module: the module whose norms are set.
        places: batch entries per face.
    """
    for layer in norms(module):
        layer.places = places


@contextmanager
def sources_first(module: nn.Module, sources: int) -> Iterator[None]:
    """Set the number of source faces in the batches of a block.

    Args:
        module: the module whose norms are set.
        sources: number of source faces at the start of a batch; -1 for all, 0 for none.

    Yields:
        Nothing; the earlier numbers are restored afterwards.
    """
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
    """Copy the source statistics to the target, as the start of the adaptation.

    Args:
        module: the module whose norms are set.
    """
    for layer in norms(module):
        layer.running_mean.copy_(layer.source_mean)  # type: ignore[union-attr]
        layer.running_var.copy_(layer.source_var)  # type: ignore[union-attr]
