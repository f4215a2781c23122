"""What goes in and out of an engine, and its memory: for each tensor a block on the GPU and a page-locked one here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ....errors import ArtifactError
from ....plugins.cuda.memory import Device, view

#: Names of tensorrt.DataType's members -> NumPy's. bfloat16 is not an output that NumPy has.
_TYPES = {
    "FLOAT": "float32", "HALF": "float16", "INT8": "int8", "UINT8": "uint8", "INT32": "int32", "INT64": "int64",
    "BOOL": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """An input or output; `shape` is that of one sample, without the batch."""

    name: str
    is_input: bool
    dtype: np.dtype
    shape: tuple[int, ...]

    def elements(self, batch: int) -> int:
        return batch * prod(self.shape)


@dataclass(frozen=True)
class BatchRange:
    """Batches that optimization profile `index` of an engine takes; it is fastest at `usual`."""

    index: int
    smallest: int
    usual: int
    largest: int


def engine_tensors(trt: Any, engine: Any) -> tuple[Tensor, ...]:
    """Inputs and outputs in the engine's order.

    Raises:
        ArtifactError: one whose shape is not (batch, fixed sizes ...), or of a type that cannot be had in NumPy.
    """
    return tuple(_tensor(trt, engine, engine.get_tensor_name(i)) for i in range(engine.num_io_tensors))


def _tensor(trt: Any, engine: Any, name: str) -> Tensor:
    kind, shape = engine.get_tensor_dtype(name).name, tuple(engine.get_tensor_shape(name))
    if kind not in _TYPES or not shape or min(shape[1:], default=1) < 1:
        raise ArtifactError(
            f"The engine's tensor {name} is {kind} {list(shape)}; expected is (batch, fixed sizes) of one of "
            f"{', '.join(_TYPES)}. It is not the engine of a mambapro bundle."
        )
    is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
    return Tensor(name, is_input, np.dtype(_TYPES[kind]), shape[1:])


def engine_batches(engine: Any, tensors: Sequence[Tensor]) -> tuple[BatchRange, ...]:
    """What batches the engine's profiles take, by what all inputs agree on.

    Raises:
        ArtifactError: profiles whose inputs have no batch in common.
    """
    ranges = []
    for index in range(engine.num_optimization_profiles):
        shapes = [engine.get_tensor_profile_shape(tensor.name, index) for tensor in tensors if tensor.is_input]
        low, usual, high = (tuple(int(limits[i][0]) for limits in shapes) for i in range(3))
        ranges.append(BatchRange(index, max(low), max(usual), min(high)))
    if not ranges or any(not 1 <= found.smallest <= found.largest for found in ranges):
        raise ArtifactError(f"The engine's profiles take no batch that all its inputs agree on: {ranges}.")
    return tuple(ranges)


def range_for(ranges: Sequence[BatchRange], batch: int) -> BatchRange | None:
    """The profile for a batch, the one made for the nearest; None where there is none."""
    fitting = [found for found in ranges if found.smallest <= batch <= found.largest]
    return min(fitting, key=lambda found: (abs(found.usual - batch), found.index), default=None)


class Buffers:
    """Memory of all tensors for up to `capacity` samples; none at first."""

    def __init__(self, device: Device, tensors: Sequence[Tensor]) -> None:
        self._device = device
        self._tensors = tensors
        self._memory = ExitStack()
        self._addresses: dict[str, tuple[int, int]] = {}
        self.capacity = 0

    def grow(self, batch: int) -> bool:
        """Make room for a batch; whether all addresses changed for it.

        Raises:
            SetupError: memory is short. Then there is no room at all.
        """
        if batch <= self.capacity:
            return False
        self.close()
        addresses = {}
        with ExitStack() as memory:
            for tensor in self._tensors:
                size = tensor.elements(batch) * tensor.dtype.itemsize
                device = self._device.allocate(size)
                memory.callback(self._device.free, device)
                host = self._device.allocate_host(size)
                memory.callback(self._device.free_host, host)
                addresses[tensor.name] = device, host
            self._memory, self._addresses, self.capacity = memory.pop_all(), addresses, batch
        return True

    def address(self, tensor: Tensor) -> int:
        """Where it is on the GPU."""
        return self._addresses[tensor.name][0]

    def host(self, tensor: Tensor, batch: int) -> np.ndarray:
        """Its first samples here, (batch, ...), without a copy."""
        flat = view(self._addresses[tensor.name][1], tensor.dtype, tensor.elements(batch))
        return flat.reshape(batch, *tensor.shape)

    def upload(self, batch: int, stream: int) -> None:
        """Enqueue the copies of all inputs."""
        for tensor in self._tensors:
            if tensor.is_input:
                device, host = self._addresses[tensor.name]
                self._device.to_device(device, host, tensor.elements(batch) * tensor.dtype.itemsize, stream)

    def download(self, batch: int, stream: int) -> None:
        """Enqueue the copies of all outputs."""
        for tensor in self._tensors:
            if not tensor.is_input:
                device, host = self._addresses[tensor.name]
                self._device.to_host(host, device, tensor.elements(batch) * tensor.dtype.itemsize, stream)

    def close(self) -> None:
        """Free everything."""
        self._addresses, self.capacity = {}, 0
        self._memory.close()
