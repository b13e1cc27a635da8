"""Training on several devices (``torchrun``) with the losses and statistics of the whole batch.

Each process passes its shard of every batch through the network. The outputs of all shards are then gathered, so that
every process computes the losses of the whole batch. Thresholds, domain balance and losses that compare faces are
therefore the same as in one process, for every method. The gradient of the gathered outputs flows back to each shard,
and gradients are averaged. DistributedDataParallel cannot give this, because its losses see one shard each.
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
"""How long processes wait for one that builds a pack or evaluates; one that has ended is noticed at once."""


class AllGather(torch.autograd.Function):
    """Gather the shards ``(B, D)`` of all processes, in order, into ``(size * B, D)``.

    Every process computes the whole loss, so each uses the gradient of its own shard without a sum. That gradient is
    multiplied by the number of processes because gradients are averaged later. Parameters that the losses use directly,
    such as those of a discriminator, have the whole gradient in every process.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        """Gather the shards.

        Args:
            ctx: the autograd context.
            own: ``(B, D)`` shard of this process.

        Returns:
            ``(size * B, D)``.
        """
        every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(every, own.contiguous())
        ctx.length = len(own)
        return torch.cat(every)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return the gradient of this process's shard.

        Args:
            ctx: the autograd context.
            *grads: gradient ``(size * B, D)`` of the gathered tensor.

        Returns:
            ``(B, D)``.
        """
        start = dist.get_rank() * ctx.length
        return grads[0][start : start + ctx.length] * dist.get_world_size()


@dataclass(frozen=True)
class Processes:
    """The processes of one training; with a single process, the default, every operation is the identity."""

    rank: int = 0
    size: int = 1

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return self.size > 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes the run folder and prints messages."""
        return self.rank == 0

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's shard of a batch.

        Args:
            batch: ``(B, ...)``.

        Returns:
            ``(B / size, ...)``.

        Example:
            >>> Processes(rank=1, size=2).shard(torch.arange(4)).tolist()
            [2, 3]
        """
        return batch.chunk(self.size)[self.rank]

    def all_gather(self, tensors: list[Tensor]) -> list[Tensor]:
        """Gather tensors from all processes in one exchange.

        Args:
            tensors: tensors ``(B / size, ...)`` of this process.

        Returns:
            Tensors ``(B, ...)``, in the order of the processes.
        """
        if not self.several:
            return tensors
        flat = torch.cat([tensor.reshape(len(tensor), -1).float() for tensor in tensors], 1)
        parts = AllGather.apply(flat).split([tensor[0].numel() for tensor in tensors], 1)  # type: ignore[no-untyped-call]
        return [part.reshape(-1, *own.shape[1:]).to(own.dtype) for part, own in zip(parts, tensors, strict=True)]

    def average(self, parameters: Iterable[nn.Parameter], stop: bool) -> bool:
        """Average gradients over the processes in place.

        Args:
            parameters: the parameters, in the same order in every process.
            stop: whether this process should stop.

        Returns:
            Whether any process should stop.
        """
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
        """Return the value of the main process in every process.

        Args:
            value: a bool or an integer.

        Returns:
            The main process's value.
        """
        if not self.several:
            return value
        received = torch.tensor([int(value)])
        dist.broadcast(received, 0)
        return type(value)(received.item())

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in the main process first, then in the others, which find its results.

        Yields:
            Nothing.
        """
        if not self.is_main_process:
            self.broadcast(True)
        yield
        if self.is_main_process:
            self.broadcast(True)

    def check_batch(self, batch: int, name: str) -> None:
        """Check that a batch divides evenly among the processes.

        Args:
            batch: batch size.
            name: the setting, for the message.

        Raises:
            UsageError: when it does not.
        """
        if batch % self.size:
            raise UsageError(
                f"{batch} faces ({name}) cannot be divided among {self.size} processes; take a multiple of {self.size}."
            )


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the processes that torchrun started, or use a single one.

    Yields:
        The processes.

    Raises:
        TrainingError: when another process ends early; the run can then be resumed.
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
            "Another process of this training has ended; the same command resumes from the last checkpoint."
        ) from error
    finally:
        dist.destroy_process_group()
