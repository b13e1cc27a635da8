"""One training on several devices (``torchrun``): batches divided, losses and statistics those of the whole batch.

Each process takes its share of every batch through the network. What the network says of all shares is then gathered,
so that every process computes the losses of the whole batch: thresholds, domain balance and losses that compare faces
with each other are what they are in one process, for every method alike. The gradient of the gathered outputs goes back
to each share, and gradients are averaged. DistributedDataParallel, whose losses see a share each, could not promise it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dcdan.core.errors import TrainingError, UsageError

Number = TypeVar("Number", bool, int)

PATIENCE = timedelta(hours=6)
"""How long processes wait for one that packs or judges; one that has ended is noticed at once."""


class AllGather(torch.autograd.Function):
    """All processes' shares ``(B, D)``, in order, as one ``(size * B, D)``.

    Every process computes the whole loss, so each takes its own share's gradient and no sum is needed; it is multiplied
    by the number of processes because gradients are averaged in the end (parameters that the losses use themselves,
    such as a discriminator's, have the whole gradient in every process).
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        """Gather."""
        every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(every, own.contiguous())
        ctx.share = len(own)
        return torch.cat(every)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return the own share's gradient."""
        start = dist.get_rank() * ctx.share
        return grads[0][start : start + ctx.share] * dist.get_world_size()


@dataclass(frozen=True)
class Processes:
    """The processes of one training; by default there is one, and all of this does nothing."""

    rank: int = 0
    size: int = 1

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return self.size > 1

    @property
    def is_main_process(self) -> bool:
        """Whether this one writes the run's folder and talks."""
        return self.rank == 0

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's share ``(B / size, ...)`` of a batch."""
        return batch.chunk(self.size)[self.rank]

    def all_gather(self, tensors: list[Tensor]) -> list[Tensor]:
        """Return the whole batch's tensors of each process's shares ``(B / size, ...)``, in one exchange."""
        if not self.several:
            return tensors
        flat = torch.cat([tensor.reshape(len(tensor), -1).float() for tensor in tensors], 1)
        parts = AllGather.apply(flat).split([tensor[0].numel() for tensor in tensors], 1)  # type: ignore[no-untyped-call]
        return [part.reshape(-1, *own.shape[1:]).to(own.dtype) for part, own in zip(parts, tensors, strict=True)]

    def average(self, parameters: Iterable[nn.Parameter], stop: bool) -> bool:
        """Average the gradients over the processes in place; return whether any of them was asked to ``stop``."""
        if not self.several:
            return stop
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*(grad.flatten() for grad in grads), grads[0].new_tensor([float(stop)])])
        dist.all_reduce(flat)
        start = 0
        for grad in grads:
            grad.copy_(flat[start : start + grad.numel()].view_as(grad)).div_(self.size)
            start += grad.numel()
        return bool(flat[-1] > 0)

    def broadcast(self, value: Number) -> Number:
        """Return the value, a truth value or whole number, of the main process."""
        if not self.several:
            return value
        told = torch.tensor([int(value)])
        dist.broadcast(told, 0)
        return type(value)(told.item())

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the leading process through the block before the others, which find what it made."""
        if not self.is_main_process:
            self.broadcast(True)
        yield
        if self.is_main_process:
            self.broadcast(True)

    def check_batch(self, batch: int, name: str) -> None:
        """Raise UsageError when a batch cannot be divided evenly."""
        if batch % self.size:
            raise UsageError(
                f"{batch} faces ({name}) cannot be divided among {self.size} processes; take a multiple of {self.size}."
            )


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did; one alone otherwise.

    Raises:
        TrainingError: when another of them ends early; what the run's folder holds is then good to go on from.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Processes()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise TrainingError(
            "Another process of this training has ended; the same command goes on from the last checkpoint."
        ) from error
    finally:
        dist.destroy_process_group()
