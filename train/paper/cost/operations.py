"""Operations of a forward pass by part of the model, counted on a model without memory.

One multiplication with its addition is one operation, as in the paper: its PFA has 2.36 M weights and 0.30 G
operations, which is each weight once for each of 129 tokens. Norms, activations and additions are not counted. The scan
counts nine for each token, channel and state, as is usual for Mamba: then half an MA block has 0.704 G (0.707 with the
norms; table 6 prints 0.71), without the scan it would be 0.647.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ...models.mambapro.mambapro import MambaPro
from .parameters import PARTS

#: For each token, channel and state. The recurrence itself has eight products, sums and exponentials (d A, its
#: exponential, d u, times B, decay times state, the sum, times C, the sum over states); nine is customary.
SCAN_OPERATIONS = 9
#: Part of a counter for scans, and their operator.
SCAN, _SCAN = "scan", "mambapro::selective_scan"


def operations(model: MambaPro) -> dict[str, int]:
    """Count the operations of one sample (three images) in eval mode, by part; `model` is from `empty_model`."""
    images = torch.empty((1, 3, 3, *model.config.image_size), device="meta")
    cameras = torch.zeros(1, dtype=torch.int64, device="meta")
    counter = OperationCounter()
    with _named(model, counter.place), torch.no_grad(), counter:
        model(images, cameras)
    return {part: counter.total[part] for part in PARTS}


class OperationCounter(TorchDispatchMode):
    """Sum of the operators' costs, by the part whose module called them; with `scans` those of scans as SCAN."""

    def __init__(self, scans: bool = False) -> None:
        super().__init__()
        self.total: Counter[str] = Counter()
        self.place: list[str] = ["whole"]
        self.scans = scans

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        cost = _COSTS.get(str(func.name()))
        if cost is not None:
            scan = self.scans and func.name() == _SCAN
            self.total[SCAN if scan else self.place[-1]] += cost(args, result)
        return result


def _product(a: Tensor, b: Tensor) -> int:
    """Return the cost of (..., m, k) times (..., k, n)."""
    return prod(a.shape) * b.shape[-1]


def _scan(u: Tensor, A: Tensor) -> int:
    """Return the cost of a scan of u (batch, length, channels) with A (channels, state); D adds one per value of u."""
    return prod(u.shape) * (SCAN_OPERATIONS * A.shape[1] + 1)


#: Operator -> its cost from arguments and result. On the device "meta" attention falls apart into products.
_COSTS: dict[str, Callable[[Sequence[Any], Any], int]] = {
    "aten::mm": lambda args, _: _product(args[0], args[1]),
    "aten::bmm": lambda args, _: _product(args[0], args[1]),
    "aten::addmm": lambda args, _: _product(args[1], args[2]),
    "aten::baddbmm": lambda args, _: _product(args[1], args[2]),
    "aten::convolution": lambda args, result: prod(result.shape) * prod(args[1].shape[1:]),
    _SCAN: lambda args, _: _scan(args[0], args[2]),
}


@contextmanager
def _named(model: nn.Module, place: list[str]) -> Iterator[None]:
    """Make `module` the current part, the last element of `place`, inside the context."""
    handles = []
    for name, module in model.named_modules():
        part = _part(name)
        # a default argument, since the loop variable changes
        handles.append(module.register_forward_pre_hook(lambda *_, part=part: place.append(part)))
        handles.append(module.register_forward_hook(lambda *_: place.pop() and None))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _part(module: str) -> str:
    names = module.split(".")
    for part in ("adapter", "prompt", "aggregation"):
        if part in names:
            return part
    return "heads" if any(name.endswith("head") for name in names) else "backbone"
