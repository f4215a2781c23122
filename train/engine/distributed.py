"""Data-parallel training in several processes, one per GPU (or, in tests, per part of a CPU), started by torchrun.

Each process takes its share of every batch. DistributedDataParallel averages the gradients; operations over a whole
batch (hardest triplets, BatchNorm statistics) see the shares of all processes, so the result equals that of one process
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
    """Processes of a training: this one has number `rank` of `size`, and number `local_rank` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """True in the process that writes files and logs."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return this process's part of `count` items; `count` must be divisible by `size`."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, x: Tensor) -> Tensor:
        """Concatenate the tensors (N, ...) of all processes; gradients flow back to their process.

        Returns:
            (size * N, ...), ordered by rank.
        """
        if self.size == 1:
            return x
        if not x.is_floating_point():
            parts = [torch.empty_like(x) for _ in range(self.size)]
            dist.all_gather(parts, x.contiguous())
            return torch.cat(parts)
        return torch.cat(tuple(through.all_gather(x.contiguous())))

    def mean(self, x: Tensor) -> Tensor:
        """Average a tensor over the processes, without gradients. Returns the shape and type of `x`."""
        if self.size == 1:
            return x.detach()
        x = x.detach().clone()
        dist.all_reduce(x)
        return x / self.size

    def wait(self) -> None:
        """Block until all processes have called this."""
        if self.size > 1:
            dist.barrier()

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Wrap a model so that gradients are averaged over the processes and BatchNorm uses the whole batch."""
        if self.size == 1:
            return model
        reduce_batch_norms(model)
        places = [device.index] if device.type == "cuda" else None
        # of two heads that all run only one is in the loss
        return DistributedDataParallel(model, device_ids=places, find_unused_parameters=True, broadcast_buffers=False)


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Yield the World that torchrun's environment variables describe, or a World of one process without them.

    Raises:
        InputError: inconsistent variables.
        SetupError: the processes cannot connect to each other.
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
    """BatchNorm with training statistics over all processes, on CPUs too (torch.nn.SyncBatchNorm needs GPUs).

    All processes must have the same number of samples.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Accept any (N, C, ...): the replaced module was built for its input."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Normalize (N, C, ...) with the statistics of all processes in training mode."""
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
    """Replace every BatchNorm of a model by one with statistics over all processes, in place.

    Parameters, buffers and their names stay.

    Returns:
        number of replaced modules.
    """
    norms: list[Any] = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for module in norms:
        module.__class__ = _ReducedBatchNorm
    return len(norms)
