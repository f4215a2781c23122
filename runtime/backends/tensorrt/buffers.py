"""Inputs and outputs of an engine and their memory: a GPU block and a page-locked host block for each tensor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ....errors import ArtifactError
from ....plugins.cuda.memory import Device, view

#: Names of tensorrt.DataType's members -> NumPy's, which has no bfloat16.
_TYPES = {
    "FLOAT": "float32", "HALF": "float16", "INT8": "int8", "UINT8": "uint8", "INT32": "int32", "INT64": "int64",
    "BOOL": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """Input or output; `shape` is that of one sample, without the batch."""

    name: str
    is_input: bool
    dtype: np.dtype
    shape: tuple[int, ...]

    def elements(self, batch: int) -> int:
        """Return the number of values of a batch."""
        return batch * prod(self.shape)


@dataclass(frozen=True)
class BatchRange:
    """Batch sizes of optimization profile `index` of an engine; `usual` is its optimum."""

    index: int
    smallest: int
    usual: int
    largest: int


def engine_tensors(trt: Any, engine: Any) -> tuple[Tensor, ...]:
    """Return inputs and outputs in the engine's order.

    Raises:
        ArtifactError: a shape other than (batch, fixed sizes ...), or a type that NumPy does not have.
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
    """Return the batch sizes of the engine's profiles that all inputs accept.

    Raises:
        ArtifactError: profiles whose inputs have no batch size in common.
    """
    ranges = []
    for index in range(engine.num_optimization_profiles):
        shapes = [engine.get_tensor_profile_shape(tensor.name, index) for tensor in tensors if tensor.is_input]
        low, usual, high = (tuple(int(limits[i][0]) for limits in shapes) for i in range(3))
        ranges.append(BatchRange(index, max(low), max(usual), min(high)))
    if not ranges or any(not 1 <= one.smallest <= one.largest for one in ranges):
        raise ArtifactError(f"The engine's profiles take no batch that all its inputs agree on: {ranges}.")
    return tuple(ranges)


def range_for(ranges: Sequence[BatchRange], batch: int) -> BatchRange | None:
    """Return the profile for a batch, that with the nearest optimum; None if there is none."""
    fitting = [one for one in ranges if one.smallest <= batch <= one.largest]
    return min(fitting, key=lambda one: (abs(one.usual - batch), one.index), default=None)


class Buffers:
    """Memory of all tensors for up to `capacity` samples; none at first."""

    def __init__(self, device: Device, tensors: Sequence[Tensor]) -> None:
        self._device = device
        self._tensors = tensors
        self._memory = ExitStack()
        self._addresses: dict[str, tuple[int, int]] = {}
        self.capacity = 0

    def grow(self, batch: int) -> bool:
        """Allocate memory for a batch; return True if the addresses changed.

        Raises:
            SetupError: memory is short. Then nothing is allocated.
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
        """Return the tensor's address on the GPU."""
        return self._addresses[tensor.name][0]

    def host(self, tensor: Tensor, batch: int) -> np.ndarray:
        """Return a view of the tensor's first samples in host memory: (batch, ...), without a copy."""
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
