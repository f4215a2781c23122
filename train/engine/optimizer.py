"""Optimizer and learning rate: frozen parameters, Adam's parameter groups, and the paper's schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from torch import nn
from torch.optim import Adam, Optimizer

from ...errors import InputError
from ..models.model_spec import Model


def freeze_pretrained(model: Model) -> int:
    """Freeze the parameters of the pretrained tower. Returns number of frozen values."""
    is_pretrained = model.spec.pretrained
    frozen = [parameter for name, parameter in model.named_parameters() if is_pretrained(name)]
    for parameter in frozen:
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in frozen)


def build_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    is_pretrained: Callable[[str], bool],
    *,
    base: float,
    bias_factor: float = 2.0,
    pretrained: float = 5e-6,
    weight_decay: float = 1e-4,
) -> Adam:
    """Build Adam over the trainable parameters, one group per base rate (stored in the group as "base_lr").

    Parameters of a pretrained tower, biases included, have the rate `pretrained`, other biases `base` times
    `bias_factor`. Weight decay is Adam's L2 and applies to all parameters, norms and biases included, as in the
    published training.

    Raises:
        InputError: no trainable parameter.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            rate = pretrained if is_pretrained(name) else base * bias_factor if "bias" in name else base
            groups.setdefault(rate, []).append(parameter)
    if not groups:
        raise InputError("No parameter takes a gradient, so there is nothing to train; do not freeze the whole model.")
    return Adam(
        [{"params": members, "lr": rate, "base_lr": rate} for rate, members in groups.items()],
        lr=base,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=weight_decay,
        # Fused on the CPU too: the model has hundreds of small tensors.
        fused=True,
    )


def learning_rate(epoch: int, base: float, group_base: float, warmup: int, epochs: int, lowest: float = 0.001) -> float:
    """Return the rate of a group in epoch 1..epochs; 0 is the state before the first epoch.

    `base` is the recipe's rate, `group_base` the group's. Linear from 1 % of `base` during `warmup` epochs, then the
    cosine of the whole training, not shifted by the warm-up, so that the peak is never reached; the last epoch has
    `lowest` times `base`.
    """
    if not 0 <= epoch <= epochs:
        raise InputError(f"Epoch {epoch} is outside the schedule of {epochs} epochs.")
    end = lowest * base
    if epoch == epochs:
        return end
    if epoch < warmup:
        start = 0.01 * base
        return start + epoch * (group_base - start) / warmup
    return end + (group_base - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2


class EpochSchedule:
    """Stateless schedule that sets the rates of an epoch in an optimizer of `build_optimizer`."""

    def __init__(self, optimizer: Optimizer, *, base: float, warmup: int, epochs: int, lowest: float = 0.001) -> None:
        self._optimizer, self._base, self._warmup, self._epochs = optimizer, base, warmup, epochs
        self._lowest = lowest
        self.apply(0)

    def apply(self, epoch: int) -> None:
        """Set the rates of `epoch`; call at its start."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(epoch, self._base, group["base_lr"], self._warmup, self._epochs, self._lowest)
