"""A CUDA driver of NumPy buffers, for what calls the driver through ctypes.

Work in a stream happens when the stream is waited for, not before: whoever forgets to wait reads what was there before.
Freed and fresh memory holds 0xAA. Copies check that both ends are memory that was allocated, and what is freed twice,
not at all, used after it was freed, or enqueued where no context is current is an error.

    driver = FakeDriver()
    driver.fail("cuMemAlloc_v2", after=2, code=OUT_OF_MEMORY)
    driver.leaks()  # what is still held
"""

# The functions have the driver's own names.
# ruff: noqa: N802

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONTEXT, CAPTURE_INVALIDATED = 0, 1, 2, 201, 901
WORDS = {
    1: b"invalid argument",
    2: b"out of memory",
    201: b"invalid device context",
    719: b"unspecified launch failure",
}
_GARBAGE = 0xAA


class FakeDriver:
    """The functions of `libcuda.so.1` that the project calls; every call is counted in `calls`."""

    def __init__(self, gpus: int = 1, capability: tuple[int, int] = (8, 6), memory: int = 1 << 30) -> None:
        self.gpus, self.capability, self.memory = gpus, capability, memory
        self.calls: Counter[str] = Counter()
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.captures: dict[int, list[Callable[[], None]]] = {}
        self.device: dict[int, np.ndarray] = {}
        self.host: dict[int, np.ndarray] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.executables: dict[int, list[Callable[[], None]]] = {}
        self.retained: Counter[int] = Counter()
        self._failures: dict[str, tuple[int, int]] = {}
        self._next = 0x7000_0000_0000
        self._current = threading.local()
        self._lock = threading.RLock()
        self.broken_captures: set[int] = set()

    def fail(self, name: str, after: int = 0, code: int = OUT_OF_MEMORY) -> None:
        """Let the call of `name` fail once, after so many that succeed from now on."""
        self._failures[name] = self.calls[name] + after, code

    def leaks(self) -> dict[str, int]:
        """How many of what are held; empty when everything was freed.

        A primary context that was retained once is no leak: it is the process's. There is no call that releases it.
        """
        held = {
            "streams": len(self.streams), "device": len(self.device), "host": len(self.host),
            "graphs": len(self.graphs), "executables": len(self.executables),
            "contexts": sum(count - 1 for count in self.retained.values()),
        }  # fmt: skip
        return {name: count for name, count in held.items() if count}

    @property
    def contexts(self) -> list[int]:
        """This thread's stack of contexts."""
        if not hasattr(self._current, "stack"):
            self._current.stack = []
        return self._current.stack

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu"):
            raise AttributeError(name)
        function = getattr(type(self), f"_{name}", None)
        if function is None:
            raise AttributeError(f"libcuda.so.1: undefined symbol: {name}")

        def call(*arguments: Any) -> int:
            with self._lock:
                before = self.calls[name]
                self.calls[name] += 1
                at, code = self._failures.get(name, (-1, 0))
                if before == at:
                    if name == "cuStreamEndCapture":  # it ends the recording whatever comes of it
                        self.captures.pop(arguments[0].value)
                    return code
                return function(self, *arguments) or SUCCESS

        return call

    # what the fake engine asks for

    def enqueue(self, stream: int, work: Callable[[], None]) -> bool:
        """Work for a stream, or for the recording that it is in; False where it cannot be."""
        with self._lock:
            if stream not in self.streams or not self.contexts:
                return False
            (self.captures[stream] if stream in self.captures else self.streams[stream]).append(work)
            return True

    def bytes_at(self, address: int, size: int) -> np.ndarray:
        """A view of memory on the GPU.

        Raises:
            AssertionError: it was not allocated, or is shorter.
        """
        for start, block in self.device.items():
            if start <= address < start + len(block):
                assert address + size <= start + len(block), f"{size} bytes at an address with fewer"
                return block[address - start : address - start + size]
        raise AssertionError(f"no memory at {address:#x}")

    # the driver

    def _cuGetErrorString(self, code: Any, text: Any) -> None:
        text._obj.value = WORDS.get(code.value, b"some error")

    def _cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = self.gpus

    def _cuDeviceGet(self, device: Any, ordinal: Any) -> None:
        device._obj.value = ordinal.value

    def _cuDeviceGetName(self, text: Any, size: Any, device: int) -> None:
        text.value = f"Fake GPU {device}".encode()

    def _cuDeviceGetAttribute(self, value: Any, number: int, device: int) -> None:
        value._obj.value = self.capability[{75: 0, 76: 1}[number]]

    def _cuDevicePrimaryCtxRetain(self, context: Any, device: int) -> None:
        self.retained[device] += 1
        context._obj.value = 0x1000 + device

    def _cuCtxPushCurrent_v2(self, context: Any) -> int | None:
        if context.value - 0x1000 not in self.retained:
            return INVALID_CONTEXT
        self.contexts.append(context.value)
        return None

    def _cuCtxPopCurrent_v2(self, context: Any) -> int | None:
        if not self.contexts:
            return INVALID_CONTEXT
        context._obj.value = self.contexts.pop()
        return None

    def _cuMemAlloc_v2(self, address: Any, size: Any) -> int | None:
        used = sum(map(len, self.device.values()))
        if not self.contexts:
            return INVALID_CONTEXT
        if not size.value or used + size.value > self.memory:
            return OUT_OF_MEMORY if size.value else INVALID_VALUE
        self._next = (self._next + 4095) // 256 * 256
        address._obj.value = self._next
        self.device[self._next] = np.full(size.value, _GARBAGE, np.uint8)
        self._next += size.value
        return None

    def _cuMemFree_v2(self, address: Any) -> int | None:
        block = self.device.pop(address.value, None)
        if block is None:
            return INVALID_VALUE
        block[:] = _GARBAGE
        return None

    def _cuMemHostAlloc(self, address: Any, size: Any, flags: Any) -> int | None:
        if not self.contexts:
            return INVALID_CONTEXT
        block = np.full(size.value, _GARBAGE, np.uint8)
        self.host[block.ctypes.data] = block
        address._obj.value = block.ctypes.data
        return None

    def _cuMemFreeHost(self, address: Any) -> int | None:
        return None if self.host.pop(address.value, None) is not None else INVALID_VALUE

    def _host_bytes(self, address: int, size: int) -> np.ndarray:
        assert size <= len(self.host[address]), "a copy longer than its page-locked memory"
        return self.host[address][:size]

    def _cuMemcpyHtoDAsync_v2(self, device: Any, host: Any, size: Any, stream: Any) -> int | None:
        def copy() -> None:
            self.bytes_at(device.value, size.value)[:] = self._host_bytes(host.value, size.value)

        return None if self.enqueue(stream.value, copy) else INVALID_VALUE

    def _cuMemcpyDtoHAsync_v2(self, host: Any, device: Any, size: Any, stream: Any) -> int | None:
        def copy() -> None:
            self._host_bytes(host.value, size.value)[:] = self.bytes_at(device.value, size.value)

        return None if self.enqueue(stream.value, copy) else INVALID_VALUE

    def _handle(self, place: dict[int, Any], found: Any, value: Any) -> None:
        self._next += 16
        place[self._next] = value
        found._obj.value = self._next

    def _cuStreamCreate(self, stream: Any, flags: Any) -> int | None:
        if not self.contexts:
            return INVALID_CONTEXT
        self._handle(self.streams, stream, [])
        return None

    def _cuStreamDestroy_v2(self, stream: Any) -> int | None:
        return None if self.streams.pop(stream.value, None) is not None else INVALID_VALUE

    def _cuStreamSynchronize(self, stream: Any) -> int | None:
        if stream.value in self.captures:
            self.broken_captures.add(stream.value)
            return CAPTURE_INVALIDATED
        work, self.streams[stream.value] = self.streams[stream.value], []
        for step in work:
            step()
        return None

    def _cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> int | None:
        if stream.value in self.captures or self.streams[stream.value]:
            return INVALID_VALUE
        self.captures[stream.value] = []
        return None

    def _cuStreamEndCapture(self, stream: Any, graph: Any) -> int | None:
        work = self.captures.pop(stream.value, None)
        if work is None or stream.value in self.broken_captures:
            self.broken_captures.discard(stream.value)
            return CAPTURE_INVALIDATED
        self._handle(self.graphs, graph, work)
        return None

    def _cuGraphInstantiateWithFlags(self, executable: Any, graph: Any, flags: Any) -> None:
        self._handle(self.executables, executable, list(self.graphs[graph.value]))

    def _cuGraphDestroy(self, graph: Any) -> int | None:
        return None if self.graphs.pop(graph.value, None) is not None else INVALID_VALUE

    def _cuGraphLaunch(self, executable: Any, stream: Any) -> int | None:
        if executable.value not in self.executables:
            return INVALID_VALUE
        self.streams[stream.value] += self.executables[executable.value]
        return None

    def _cuGraphExecDestroy(self, executable: Any) -> int | None:
        return None if self.executables.pop(executable.value, None) is not None else INVALID_VALUE


def symbols() -> set[str]:
    """Names of the driver's functions that the fake has."""
    return {name[1:] for name in vars(FakeDriver) if name.startswith("_cu")}
