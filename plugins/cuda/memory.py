"""CUDA driver calls for engines through ctypes: memory, copies, streams and graphs.

Only the driver itself is needed. Every failed call is a SetupError with the driver's message. Addresses and handles are
integers; sizes are bytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from . import driver
from .driver import call

# CUdevice_attribute, CUstream_flags, CUstreamCaptureMode and the flags of cuMemHostAlloc, as cuda.h numbers them
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_STREAM_NON_BLOCKING = 1
_CAPTURE_THREAD_LOCAL = 1
_PORTABLE = 1

_Handle = ctypes.c_void_p


@dataclass(frozen=True)
class Gpu:
    """Name, and compute capability such as "8.6"."""

    name: str
    capability: str


def gpu(ordinal: int = 0) -> Gpu:
    """Return name and compute capability of a GPU, without creating anything on it.

    Raises:
        SetupError: the driver is missing or fails.
        InputError: there is no GPU of that number.
    """
    device, text = _device(ordinal), ctypes.create_string_buffer(256)
    call("cuDeviceGetName", text, ctypes.c_int(len(text)), device)
    numbers = (_number("cuDeviceGetAttribute", part, device) for part in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR))
    return Gpu(text.value.decode(errors="replace"), ".".join(map(str, numbers)))


class Device:
    """One GPU with its primary context, which the CUDA libraries of this process share.

    It needs no closing: the process keeps the context, see driver.primary_context. Memory, streams and graphs must be
    freed.

    Args:
        ordinal: number of the GPU, from 0, among the visible ones.

    Raises:
        SetupError: the driver is missing or fails.
        InputError: there is no GPU of that number.
    """

    def __init__(self, ordinal: int = 0) -> None:
        self.gpu = gpu(ordinal)
        self._context = driver.primary_context(ordinal)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU's context current on this thread inside the block, and restore the previous one."""
        with driver.pushed_context(self._context):
            yield

    def allocate(self, size: int) -> int:
        """Allocate memory on the GPU, aligned to 256 bytes; return its address."""
        address = ctypes.c_uint64()
        call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size), about=f"{size} bytes")
        return address.value

    def free(self, address: int) -> None:
        """Free memory of the GPU."""
        call("cuMemFree_v2", ctypes.c_uint64(address))

    def allocate_host(self, size: int) -> int:
        """Allocate page-locked host memory, which asynchronous copies require; return its address."""
        address = _Handle()
        what = f"{size} bytes of the host's memory"
        call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(size), ctypes.c_uint(_PORTABLE), about=what)
        return address.value or 0

    def free_host(self, address: int) -> None:
        """Free page-locked memory."""
        call("cuMemFreeHost", _Handle(address))

    def to_device(self, device: int, host: int, size: int, stream: int) -> None:
        """Enqueue a copy; `host` must not change until it is done."""
        pointers = ctypes.c_uint64(device), _Handle(host)
        call("cuMemcpyHtoDAsync_v2", *pointers, ctypes.c_size_t(size), _Handle(stream))

    def to_host(self, host: int, device: int, size: int, stream: int) -> None:
        """Enqueue a copy; `host` is valid once the stream has passed it."""
        pointers = _Handle(host), ctypes.c_uint64(device)
        call("cuMemcpyDtoHAsync_v2", *pointers, ctypes.c_size_t(size), _Handle(stream))

    def stream(self) -> int:
        """Create a stream that does not wait for the default one; return its handle."""
        return _handle("cuStreamCreate", ctypes.c_uint(_STREAM_NON_BLOCKING))

    def synchronize(self, stream: int) -> None:
        """Wait for all work in a stream; its errors are raised here."""
        call("cuStreamSynchronize", _Handle(stream))

    def destroy_stream(self, stream: int) -> None:
        """Destroy a stream."""
        call("cuStreamDestroy_v2", _Handle(stream))

    def begin_capture(self, stream: int) -> None:
        """Record the following work of this thread instead of running it."""
        call("cuStreamBeginCapture_v2", _Handle(stream), ctypes.c_int(_CAPTURE_THREAD_LOCAL))

    def end_capture(self, stream: int) -> int:
        """End the recording; return the handle of the executable graph."""
        graph = _handle("cuStreamEndCapture", before=(_Handle(stream),))
        with ExitStack() as launchable:
            with ExitStack() as recorded:
                recorded.callback(call, "cuGraphDestroy", _Handle(graph))
                found = _handle("cuGraphInstantiateWithFlags", _Handle(graph), ctypes.c_ulonglong(0))
                launchable.callback(self.destroy_graph, found)
            launchable.pop_all()
        return found

    def abandon_capture(self, stream: int) -> None:
        """End a failed recording; the driver's repeated error is ignored."""
        graph = _Handle()
        driver.library().cuStreamEndCapture(_Handle(stream), ctypes.byref(graph))
        if graph.value:
            call("cuGraphDestroy", graph)

    def launch(self, graph: int, stream: int) -> None:
        """Launch a graph."""
        call("cuGraphLaunch", _Handle(graph), _Handle(stream))

    def destroy_graph(self, graph: int) -> None:
        """Destroy a graph."""
        call("cuGraphExecDestroy", _Handle(graph))


def _device(ordinal: int) -> int:
    count = _number("cuDeviceGetCount")
    if not 0 <= ordinal < count:
        raise InputError(f"There is no GPU {ordinal}: the driver sees {count}, counted from 0.")
    return _number("cuDeviceGet", ctypes.c_int(ordinal))


def _number(name: str, *arguments: Any) -> int:
    found = ctypes.c_int()
    call(name, ctypes.byref(found), *arguments)
    return found.value


def _handle(name: str, *arguments: Any, before: tuple[Any, ...] = ()) -> int:
    found = _Handle()
    call(name, *before, ctypes.byref(found), *arguments)
    return found.value or 0


def view(address: int, dtype: np.dtype, count: int) -> np.ndarray:
    """Return host memory as a flat array, without a copy; invalid once the memory is freed.

    Returns:
        (count,) of type `dtype`.
    """
    memory = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address)
    return np.ctypeslib.as_array(memory).view(dtype)
