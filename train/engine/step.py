"""One batch of a training: forward, losses, gradients, and every so often a step of the optimiser."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ..reid.losses import PairLosses, pair_losses
from .device import autocast
from .distributed import World
from .frozen import prepare_training
from .training_config import Solver


class NotFiniteError(ArithmeticError):
    """The loss of a batch is no number; nothing has changed yet."""

    def __init__(self, value: float, losses: PairLosses) -> None:
        super().__init__(f"the loss is {value}")
        self.value, self.losses = value, losses


class TrainingStep:
    """Takes batches in the order of an epoch; `solver.accumulate` of them make one step of the optimiser."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        scaler: torch.amp.GradScaler,
        solver: Solver,
        precision: str,
        device: torch.device,
        world: World,
    ) -> None:
        self._network, self._optimizer, self._scaler, self._solver = network, optimizer, scaler, solver
        self._precision, self._device, self._world = precision, device, world
        self._forward = prepare_training(network, precision, device)

    def __call__(
        self, images: Tensor, labels: Tensor, cameras: Tensor, batch: int, total: int
    ) -> tuple[list[Tensor], int]:
        """Batch number `batch` (from 1) of `total`: images (B, 3, 3, H, W), labels and cameras int64 (B,).

        Every `accumulate`-th, and the last of the epoch, ends in a step of the optimiser.

        Returns:
            What EpochMeter.add takes: loss, right answers and the parts of the loss, and how many samples.

        Raises:
            NotFiniteError: the loss, averaged over the processes, is no number.
        """
        group = self._solver.accumulate
        first = (batch - 1) // group * group
        last = min(first + group, total)
        if batch == first + 1:
            self._optimizer.zero_grad(set_to_none=True)
        with self._averaging(batch == last):
            with autocast(self._precision, self._device):
                outputs = self._forward(images, cameras)
            losses = self._losses(outputs, labels)
            value = self._world.mean(losses.total).item()
            if not math.isfinite(value):
                raise NotFiniteError(value, losses)
            self._scaler.scale(losses.total / (last - first)).backward()
        if batch == last:
            self._scaler.step(self._optimizer)
            self._scaler.update()
        right = (outputs[-1][0].argmax(dim=1) == labels).sum()
        return [losses.total, right, *(part for head in losses.heads for part in head)], len(labels)

    def _averaging(self, now: bool) -> AbstractContextManager[Any]:
        """Gradients are averaged over the processes once for each step of the optimiser."""
        network = self._network
        return network.no_sync() if isinstance(network, DistributedDataParallel) and not now else nullcontext()

    def _losses(self, outputs: Any, labels: Tensor) -> PairLosses:
        solver = self._solver
        return pair_losses(
            outputs,
            labels,
            gather=self._world.gather,
            id_weight=solver.id_weight,
            triplet_weight=solver.triplet_weight,
            smoothing=solver.label_smoothing,
            margin=solver.margin,
        )
