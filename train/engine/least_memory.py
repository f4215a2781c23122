"""Lower bound of the memory that a training step takes, without taking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_FLOAT = 4


def step_bytes(network: nn.Module, forward: Callable[[], Any], copies: int, half: bool = False) -> int:
    """Compute a lower bound of the bytes that a step takes beside the weights.

    Args:
        network: on PyTorch's meta device, in training mode.
        forward: one forward pass of it over a batch.
        copies: gradient and moments of the optimizer of each trained value.
        half: activations may be of two bytes.

    Returns:
        bytes of those copies, and of the tensors that the forward pass saves for the backward pass.
    """
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        # views of one storage count once; the tensor is held, so that its storage's address is not used again
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = forward()
    for parameter in network.parameters():
        saved.pop(parameter.untyped_storage()._cdata, None)
    del outputs
    activations = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return _FLOAT * copies * trained + activations // (2 if half else 1)
