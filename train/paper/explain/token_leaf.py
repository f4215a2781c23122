"""Tokens inside a model as leaves of a graph, to take the gradient of a score there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Cut:
    """Location of the gradient: the output of a module, or (`entering`) its first input."""

    module: nn.Module
    entering: bool
    #: for the caption
    text: str


@contextmanager
def leaf_at(cut: Cut) -> Iterator[list[Tensor]]:
    """Make the tensor at the cut a leaf of the graph and append it to the yielded list."""
    held: list[Tensor] = []

    def swap(x: Tensor) -> Tensor:
        """Replace the tensor by the leaf."""
        held.append(x.detach().requires_grad_())
        return held[-1]

    if cut.entering:
        handle = cut.module.register_forward_pre_hook(lambda _, inputs: (swap(inputs[0]), *inputs[1:]))
    else:
        handle = cut.module.register_forward_hook(lambda _, inputs, output: swap(output))
    try:
        yield held
    finally:
        handle.remove()


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode and disable gradients of parameters, so that no graph is stored before the cut."""
    training, flags = model.training, [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        model.train(training)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
