"""Batch norm over the whole of a batch that is divided among processes, for every kind of batch norm in a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

PLACES = (0, 2, 3)
_on = False


class SyncNorm(torch.autograd.Function):
    """Batch norm by the mean and variance of all processes' maps; PyTorch's own SyncBatchNorm needs CUDA."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, momentum: float, eps: float
    ) -> Tensor:
        """Normalise this process's ``(B, C, H, W)``; update the running ``mean`` and ``var`` ``(C,)`` in place."""
        own_var, own_mean = torch.var_mean(x.float(), PLACES, correction=0)
        count = own_mean.new_tensor([x.numel() // x.shape[1]])
        own = torch.cat([own_mean, own_var, count])
        every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(every, own)
        means, variances, counts = torch.split(torch.stack(every), [len(own_mean), len(own_mean), 1], 1)  # type: ignore[no-untyped-call]
        total = counts.sum()
        shares = counts / total
        of_all = (means * shares).sum(0)
        spread = ((variances + (means - of_all) ** 2) * shares).sum(0)
        mean.lerp_(of_all.to(mean.dtype), momentum)
        var.lerp_((spread * total / (total - 1)).to(var.dtype), momentum)
        invstd = (spread + eps).rsqrt()
        ctx.save_for_backward(x, weight, of_all, invstd, total)
        scale = weight * invstd
        return torch.addcmul(_wide(bias - of_all * scale), x, _wide(scale)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients for ``x``, and this process's share of those for ``weight`` and ``bias``."""
        x, weight, mean, invstd, total = ctx.saved_tensors
        grad = grads[0].float()
        normal = (x - _wide(mean)) * _wide(invstd)
        of_bias, of_weight = grad.sum(PLACES), (grad * normal).sum(PLACES)
        sums = torch.cat([of_bias, of_weight])
        dist.all_reduce(sums)
        by_mean, by_spread = (sums / total).chunk(2)
        grad_x = (grad - _wide(by_mean) - normal * _wide(by_spread)) * _wide(weight * invstd)
        return grad_x.to(x.dtype), of_weight, of_bias, None, None, None, None


def _wide(vector: Tensor) -> Tensor:
    return vector.view(1, -1, 1, 1)


class _Synchronising(TorchFunctionMode):
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
    if not training:
        return nn.functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    out: Tensor = SyncNorm.apply(x, weight, bias, running_mean, running_var, momentum, eps)
    return out


def synchronising() -> bool:
    """Return whether batch norms see the batch of all processes at the moment."""
    return _on


@contextmanager
def synchronised(wanted: bool) -> Iterator[None]:
    """Within the context, if ``wanted``, every batch norm in training takes the statistics of all processes' maps.

    All processes must run the same layers in the same order. Modules stay as they are, and so do their names in
    checkpoints.
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
