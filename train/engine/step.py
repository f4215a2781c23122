"""One training batch: forward pass, losses, gradients, and an optimizer step after every `accumulate` batches."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from .device import autocast
from .distributed import World
from .frozen import prepare_training
from .task import StepLosses, Task


class NotFiniteError(ArithmeticError):
    """Loss of a batch that is not finite; raised before anything has changed."""

    def __init__(self, value: float, losses: StepLosses) -> None:
        super().__init__(f"the loss is {value}")
        self.value, self.losses = value, losses


class TrainingStep:
    """Training on batches in the order of an epoch; `accumulate` of them make one optimizer step."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimizer: Optimizer,
        scaler: torch.amp.GradScaler,
        accumulate: int,
        precision: str,
        device: torch.device,
        world: World,
    ) -> None:
        self._network, self._task, self._optimizer = network, task, optimizer
        self._scaler, self._accumulate = scaler, accumulate
        self._precision, self._device, self._world = precision, device, world
        self._forward = prepare_training(network, precision, device)

    def __call__(self, batch: Any, number: int, total: int) -> StepLosses:
        """Train on a batch of the task, number `number` (from 1) of `total`.

        Every `accumulate`-th batch, and the last of the epoch, ends in an optimizer step.

        Returns:
            losses of the batch.

        Raises:
            NotFiniteError: the loss, averaged over the processes, is not finite.
        """
        first = (number - 1) // self._accumulate * self._accumulate
        last = min(first + self._accumulate, total)
        if number == first + 1:
            self._optimizer.zero_grad(set_to_none=True)
        with self._averaging(number == last):
            with autocast(self._precision, self._device):
                outputs = self._forward(*self._task.inputs(batch))
            losses = self._task.losses(outputs, batch, self._world.gather)
            value = self._world.mean(losses.total).item()
            if not math.isfinite(value):
                raise NotFiniteError(value, losses)
            self._scaler.scale(losses.total / (last - first)).backward()
        if number == last:
            self._scaler.step(self._optimizer)
            self._scaler.update()
        return losses

    def _averaging(self, now: bool) -> AbstractContextManager[Any]:
        """Return a context that averages gradients over the processes only if `now`, once per optimizer step."""
        network = self._network
        return network.no_sync() if isinstance(network, DistributedDataParallel) and not now else nullcontext()
