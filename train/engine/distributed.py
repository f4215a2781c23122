"""Training in several processes, one for each GPU (or, to test it, for each part of a CPU), as torchrun starts them.

Each process takes its share of every batch. Gradients are averaged by DistributedDataParallel; what looks at a whole
batch - hardest triplets, BatchNorm's statistics - looks at all processes' shares, so the result is that of one process
with the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn import functional as through
from torch.nn.parallel import DistributedDataParallel

from ...errors import InputError, SetupError

#: Others wait while the first process validates.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class World:
    """The processes of a training; this one is number `rank` of `size`, and `local_rank` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of `count` items, which must be divisible."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, x: Tensor) -> Tensor:
        """All processes' (N, ...) in a row, (size * N, ...); gradients flow back to where they came from."""
        if self.size == 1:
            return x
        if not x.is_floating_point():
            parts = [torch.empty_like(x) for _ in range(self.size)]
            dist.all_gather(parts, x.contiguous())
            return torch.cat(parts)
        return torch.cat(tuple(through.all_gather(x.contiguous())))

    def mean(self, x: Tensor) -> Tensor:
        """Mean over the processes, without gradients."""
        if self.size == 1:
            return x.detach()
        x = x.detach().clone()
        dist.all_reduce(x)
        return x / self.size

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            dist.barrier()

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """A model whose gradients are averaged over the processes, and whose BatchNorms see the whole batch."""
        if self.size == 1:
            return model
        reduce_batch_norms(model)
        places = [device.index] if device.type == "cuda" else None
        # of two heads that all run only one is in the loss
        return DistributedDataParallel(model, device_ids=places, find_unused_parameters=True, broadcast_buffers=False)


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """The world that torchrun's variables describe, or a world of one without them.

    Raises:
        InputError: variables that do not fit together.
        SetupError: the processes do not find each other.
    """
    try:
        rank, size, local = (int(os.environ.get(name, d)) for name, d in _VARIABLES)
    except ValueError as error:
        raise InputError(f"torchrun's variables are no numbers: {error}. Start with torchrun, or unset them.") from None
    if size == 1:
        yield World()
        return
    uses_cuda = device != "cpu" and torch.cuda.is_available()
    try:
        if uses_cuda:
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if uses_cuda else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise SetupError(f"Process {rank} of {size} could not join the others: {error}.") from error
    try:
        yield World(rank, size, local)
    finally:
        dist.destroy_process_group()


_VARIABLES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


class _ReducedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm whose training statistics are those of all processes; on CPUs too, which torch's own refuses.

    Processes must have equally many samples.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Any (N, C, ...) will do: the module it took the place of was made for its input."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not self.training:
            return super().forward(input)
        # in float32, whatever the autocast: sums of squares
        x = input.float()
        axes = [0, *range(2, x.dim())]
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = through.all_reduce(x.sum(axes)) / count
        shape = (1, -1, *[1] * (x.dim() - 2))
        centred = x - mean.view(shape)
        variance = through.all_reduce(centred.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        return (y * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def reduce_batch_norms(model: nn.Module) -> int:
    """Let every BatchNorm of a model take its statistics over all processes, in place; returns how many.

    Parameters, buffers and their names stay.
    """
    found: list[Any] = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for module in found:
        module.__class__ = _ReducedBatchNorm
    return len(found)
