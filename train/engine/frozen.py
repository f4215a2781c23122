"""Frozen weights, converted once instead of in every step.

Autocast converts a weight that takes a gradient once in a step, but a frozen one at every use: it keeps no copy of what
takes no gradient. Here those copies are made beforehand. The model's own tensors stay as they are, so checkpoints and
evaluation do not notice, and no bit of an output or a gradient changes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..models.model_spec import ModelSpec
from .device import autocast_type

#: Modules whose parameters are read by a matrix product or a convolution alone, which autocast converts.
_CONVERTED = (nn.Linear, nn.Conv2d)


class TrainingForward:
    """Calls a network as autocast would, with converted copies of its frozen weights; made by `prepare_training`.

    The copies take half the memory of the frozen weights. They are made anew when a frozen weight was loaded or changed
    or its gradient switched on or off.
    """

    def __init__(self, network: nn.Module, kind: torch.dtype) -> None:
        self._network, self._kind = network, kind
        self._state: list[tuple[int, int]] = []
        self._copies: dict[str, Tensor] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        """What `network(*inputs)` returns."""
        frozen = convertible(self._network)
        # a load writes into a parameter, which counts its version up, or puts another one in its place
        state = [(id(value), value._version) for value in frozen.values()]
        if state != self._state:
            self._copies = {name: value.detach().to(self._kind) for name, value in frozen.items()}
            self._state = state
        return functional_call(self._network, self._copies, inputs)


def prepare_training(network: nn.Module, precision: str, device: torch.device) -> Any:
    """What to call instead of `network` under `autocast(precision, device)`: the same results, faster.

    Args:
        network: a Model, or what DistributedDataParallel makes of one.
        precision: as `resolve_precision` gives it. In float32 the network itself is returned.
    """
    kind = autocast_type(precision)
    return network if kind is None else TrainingForward(network, kind)


def convertible(network: nn.Module) -> dict[str, nn.Parameter]:
    """The frozen parameters of the pretrained tower that autocast converts at every use, by their names in `network`.

    Norms are left out, they are computed in float32, and so is what is added to float32 tokens.
    """
    found: dict[str, nn.Parameter] = {}
    spec: ModelSpec = getattr(network, "module", network).spec  # type: ignore[assignment]
    for prefix, module in network.named_modules():
        for own, value in module.named_parameters(recurse=False):
            name = f"{prefix}.{own}" if prefix else own
            # DistributedDataParallel puts "module." in front
            plain = name.removeprefix("module.")
            fits = isinstance(module, _CONVERTED) or plain in spec.multiplied
            if fits and not value.requires_grad and value.dtype == torch.float32 and spec.pretrained(plain):
                found[name] = value
    return found
