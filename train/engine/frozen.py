"""Cached conversion of frozen weights for autocast.

Autocast converts a trainable weight once per step, but a frozen one at every use, because it caches copies only for
gradients. Here those copies are made once. The tensors of the model are unchanged, so checkpoints and evaluation are
not affected, and outputs and gradients are bit-identical.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..models.model_spec import ModelSpec
from .device import autocast_type

#: Modules whose parameters are read only by a matrix product or a convolution, which autocast converts.
_CONVERTED = (nn.Linear, nn.Conv2d)


class TrainingForward:
    """Forward pass of a network under autocast with converted copies of its frozen weights; see `prepare_training`.

    The copies take half the memory of the frozen weights. They are renewed when a frozen weight is loaded or changed,
    or when its gradient is switched on or off.
    """

    def __init__(self, network: nn.Module, kind: torch.dtype) -> None:
        self._network, self._kind = network, kind
        self._state: list[tuple[int, int]] = []
        self._copies: dict[str, Tensor] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        """Return `network(*inputs)`."""
        frozen = convertible(self._network)
        # loading writes into a parameter, which increments its version, or replaces it
        state = [(id(value), value._version) for value in frozen.values()]
        if state != self._state:
            self._copies = {name: value.detach().to(self._kind) for name, value in frozen.items()}
            self._state = state
        return functional_call(self._network, self._copies, inputs)


def prepare_training(network: nn.Module, precision: str, device: torch.device) -> Any:
    """Return a faster replacement of `network` under `autocast(precision, device)`, with identical results.

    Args:
        network: a Model, possibly wrapped by DistributedDataParallel.
        precision: a result of `resolve_precision`. For float32 the network itself is returned.
    """
    kind = autocast_type(precision)
    return network if kind is None else TrainingForward(network, kind)


def convertible(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the frozen parameters of the pretrained tower that autocast converts at every use, by name.

    Norms are left out, because they are computed in float32, and so is everything added to float32 tokens.
    """
    parameters: dict[str, nn.Parameter] = {}
    spec: ModelSpec = getattr(network, "module", network).spec  # type: ignore[assignment]
    for prefix, module in network.named_modules():
        for leaf, value in module.named_parameters(recurse=False):
            name = f"{prefix}.{leaf}" if prefix else leaf
            # DistributedDataParallel puts "module." in front
            plain = name.removeprefix("module.")
            fits = isinstance(module, _CONVERTED) or plain in spec.multiplied
            if fits and not value.requires_grad and value.dtype == torch.float32 and spec.pretrained(plain):
                parameters[name] = value
    return parameters
