"""Batch norm over a whole batch that is divided among processes, for every kind of batch norm in a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_on = False


class SyncNorm(torch.autograd.Function):
    """Batch norm with the mean and variance over all processes; PyTorch's SyncBatchNorm needs CUDA.

    The batch may have several parts with separate statistics, which are exchanged together; each part is written into
    one result.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: Sequence[tuple[Tensor, Tensor]],
        ends: Sequence[int],
        momentum: float,
        eps: float,
    ) -> Tensor:
        """Normalise the batch of this process and update running statistics in place.

        Args:
            ctx: the autograd context.
            x: ``(B, C, H, W)``.
            weight: ``(C,)``.
            bias: ``(C,)``.
            running: running mean and variance ``(C,)`` of each part.
            ends: end of each part in the batch.
            momentum: momentum of the running statistics.
            eps: added to the variance.

        Returns:
            ``(B, C, H, W)``.
        """
        x = dense(x)
        c, parts = x.shape[1], _parts(ends)
        own = []
        for part in parts:
            own += [*torch.batch_norm_update_stats(x[part], None, None, 0.0), weight.new_tensor([x[part].numel() // c])]
        flat = torch.cat([each.float() for each in own])
        every = [torch.empty_like(flat) for _ in range(dist.get_world_size())]
        dist.all_gather(every, flat)
        out = torch.empty_like(x)
        saved = []
        for part, table, (mean, var) in zip(parts, torch.stack(every).chunk(len(parts), 1), running, strict=True):
            means, variances, counts = table[:, :c], table[:, c : 2 * c], table[:, 2 * c :]
            total = counts.sum()
            of_all = (means * counts).sum(0) / total
            spread = ((variances + (means - of_all) ** 2) * counts).sum(0) / total
            mean.lerp_(of_all.to(mean.dtype), momentum)
            var.lerp_((spread * total / (total - 1)).to(var.dtype), momentum)
            scale = weight * (spread + eps).rsqrt()
            shift = bias - of_all * scale
            if x.dtype == scale.dtype:
                torch.addcmul(_wide(shift), x[part], _wide(scale), out=out[part])
            else:
                out[part] = torch.addcmul(_wide(shift), x[part].to(scale.dtype), _wide(scale))
            saved += [of_all, spread, total]
        ctx.save_for_backward(x, weight, *saved)
        ctx.parts, ctx.eps = parts, eps
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of ``x``, and the contribution of this process to those of ``weight`` and ``bias``.

        The kernel for fixed statistics gives the sums, and the whole gradient except for the part through mean and
        variance, which is linear in ``x`` for each channel.

        Args:
            ctx: the autograd context.
            *grads: gradient of the output.

        Returns:
            A gradient per input of :meth:`forward`, None for the others.
        """
        x, weight, *saved = ctx.saved_tensors
        grad = laid_out_like(grads[0], x)
        grad_x = torch.empty_like(x)
        own = torch.empty(len(ctx.parts), 2, len(weight), dtype=weight.dtype, device=weight.device)
        statistics = [saved[start : start + 3] for start in range(0, len(saved), 3)]
        for part, of_part, (mean, spread, _) in zip(ctx.parts, own, statistics, strict=True):
            torch.ops.aten.native_batch_norm_backward.out(
                grad[part], x[part], weight, mean, spread, None, None, False, ctx.eps, [True, True, True],
                out0=grad_x[part], out1=of_part[0], out2=of_part[1],
            )  # fmt: skip
        whole = own.clone()
        dist.all_reduce(whole)
        for part, (of_weight, of_bias), (mean, spread, total) in zip(ctx.parts, whole, statistics, strict=True):
            invstd = (spread + ctx.eps).rsqrt()
            slope = weight * invstd**2 * of_weight / total
            shift = weight * invstd * of_bias / total - slope * mean
            grad_x[part].sub_(_wide(shift).to(x.dtype)).addcmul_(x[part], _wide(-slope).to(x.dtype))
        return grad_x, own[:, 0].sum(0), own[:, 1].sum(0), None, None, None, None


def _parts(ends: Sequence[int]) -> list[slice]:
    """Return the slices of the parts that end at the given places."""
    return [slice(start, end) for start, end in zip((0, *ends[:-1]), ends, strict=True)]


def dense(x: Tensor) -> Tensor:
    """Return maps in a layout in which parts of the batch are contiguous; copied where necessary.

    Args:
        x: ``(B, C, H, W)``.

    Returns:
        ``(B, C, H, W)``.
    """
    whole = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
    return x if whole else x.contiguous()


def laid_out_like(grad: Tensor, x: Tensor) -> Tensor:
    """Return a gradient in the memory layout of its maps.

    Args:
        grad: ``(B, C, H, W)``.
        x: dense maps of the same shape.

    Returns:
        ``(B, C, H, W)``.
    """
    last = x.is_contiguous(memory_format=torch.channels_last)
    return grad.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def _wide(vector: Tensor) -> Tensor:
    """Reshape a vector to broadcast over maps."""
    return vector.view(1, -1, 1, 1)


class _Synchronising(TorchFunctionMode):
    """Redirect batch norm to the synchronised one."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is nn.functional.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Synchronised batch norm in training, plain batch norm otherwise."""
    if not training:
        return nn.functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    out: Tensor = SyncNorm.apply(x, weight, bias, [(running_mean, running_var)], [len(x)], momentum, eps)
    return out


def synchronising() -> bool:
    """Return whether batch norms are synchronised at the moment.

    Returns:
        True within :func:`synchronised`.
    """
    return _on


@contextmanager
def synchronised(wanted: bool) -> Iterator[None]:
    """Synchronise every batch norm in training over all processes within a block.

    All processes must run the same layers in the same order. Modules and their names in checkpoints do not change.

    Args:
        wanted: whether to synchronise; False changes nothing.

    Yields:
        Nothing.
    """
    global _on
    if not wanted:
        yield
        return
    _on = True
    try:
        with _Synchronising():
            yield
    finally:
        _on = False
