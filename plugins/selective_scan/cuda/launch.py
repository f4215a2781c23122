"""Launch of the selective scan's CUDA kernels through the driver, on raw device addresses.

No PyTorch, TensorRT or compiler is needed. Launches go to the CUDA context that is current on the caller's thread, or
to the primary context of a given GPU; a stream is its handle as a number. The driver compiles the package's PTX at
the first use of a kernel in a context.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from ...cuda import driver
from ..schema import ScanShape
from .kernel_table import (
    Launch,
    backward_launches,
    choose_lanes,
    forward_launch,
    kernel_ptx,
    workspace_bytes,
)

__all__ = ["backward", "forward", "prepare", "workspace_bytes"]
#: Launches prepared for each thread; beyond this number all are discarded and prepared again.
_PREPARED = 512

_loading = threading.Lock()


def _after_fork() -> None:
    global _loading
    _loading = threading.Lock()


# not on Windows, where there is no fork
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _function(context: int, kind: str, kernel: str) -> int:
    """Load a kernel into a context, which must be current; returns its handle."""
    with _loading, driver.allowed_while_capturing():
        return _loaded(context, kind, kernel)


@cache
def _loaded(context: int, kind: str, kernel: str) -> int:
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    # one kernel alone: the driver compiles the whole text
    image = kernel_ptx(kind, kernel).encode() + b"\0"
    cuda, scan = driver.library(), "selective scan:"
    driver.check(cuda.cuModuleLoadData(ctypes.byref(module), image), f"{scan} loading the PTX of {kernel}")
    driver.check(cuda.cuModuleGetFunction(ctypes.byref(function), module, kernel.encode()), f"{scan} finding {kernel}")
    assert function.value
    return function.value


class _Prepared:
    """A launch with fixed kernel and sizes; its memory is written in place, so each thread has one."""

    def __init__(self, context: int, kind: str, launch: Launch, layout: str, sizes: Sequence[int]) -> None:
        """Pack the arguments; `layout` is "a" for an address and "i" for an int32, whose values are `sizes`."""
        self.kernel = launch.kernel
        self.function = _function(context, kind, launch.kernel)
        self.dimensions = (*launch.grid, launch.threads, 1, 1, 0)
        # eight bytes for each argument, and the table of their addresses
        self.values = (ctypes.c_uint64 * len(layout))()
        start = ctypes.addressof(self.values)
        self.arguments = (ctypes.c_void_p * len(layout))(*range(start, start + 8 * len(layout), 8))
        self.addresses = [i for i, slot in enumerate(layout) if slot == "a"]
        for i, size in zip((i for i, slot in enumerate(layout) if slot == "i"), sizes, strict=True):
            self.values[i] = size
        self.launch = driver.library().cuLaunchKernel

    def __call__(self, addresses: Sequence[int], stream: int) -> None:
        values = self.values
        for i, address in zip(self.addresses, addresses, strict=True):
            values[i] = address
        code = self.launch(self.function, *self.dimensions, stream, self.arguments, None)
        if code:
            driver.check(code, f"selective scan: launching {self.kernel}")


_thread = threading.local()


def _prepared(key: tuple[Any, ...]) -> Any:
    try:
        return _thread.launches.get(key)
    except AttributeError:
        _thread.launches = {}
        return None


def _remember(key: tuple[Any, ...], launches: Any) -> None:
    if len(_thread.launches) >= _PREPARED:
        _thread.launches.clear()
    _thread.launches[key] = launches


def forward(
    shape: ScanShape, kind: str, inputs: Sequence[int], y: int, lanes: int, stream: int, device: int | None = None
) -> None:
    """Enqueue a forward pass.

    Args:
        shape: the sizes; kind: the I/O type, "float32", "float16" or "bfloat16".
        inputs: device addresses of u, delta, A, B, C, D, delta_bias; y: of the output. Contiguous arrays.
        lanes: threads that share a channel, 1, 4 or 16; 0 chooses.
        stream: handle of the stream, 0 for the default one.
        device: number of the GPU that has the arrays; None: that of the context current on this thread, else the first.

    Raises:
        InputError: a type, state or number of lanes there is no kernel for.
        SetupError: no driver, no such GPU, or the launch failed.
    """
    if 0 in shape[:3]:
        return
    with driver.context_on(device) as context:
        _forward_launch(context, shape, kind, lanes)((*inputs, y), stream)


def prepare(shape: ScanShape, kind: str, lanes: int, device: int | None = None) -> None:
    """Load the kernel of a forward pass, so that `forward` with the same arguments on this thread only launches.

    Args, Raises: as in `forward`.
    """
    if 0 not in shape[:3]:
        with driver.context_on(device) as context:
            _forward_launch(context, shape, kind, lanes)


def _forward_launch(context: int, shape: ScanShape, kind: str, lanes: int) -> _Prepared:
    key = (context, shape, kind, lanes)
    launch: _Prepared | None = _prepared(key)
    if launch is None:
        chosen = lanes or choose_lanes(shape, driver.multiprocessors_of(context))
        launch = _Prepared(context, kind, forward_launch(shape, kind, chosen), "aaaaaaaiiiia", shape[1:])
        _remember(key, launch)
    return launch


def backward(
    shape: ScanShape, kind: str, dy: int, inputs: Sequence[int], gradients: Sequence[int], workspace: int, stream: int,
    device: int | None = None,
) -> None:  # fmt: skip
    """Enqueue a backward pass; results are the same in every run.

    Args:
        shape, kind, inputs, stream, device: as in `forward`; dy: address of the output's gradient.
        gradients: addresses of du, ddelta, dA, dB, dC, dD, ddelta_bias, which are written whole.
        workspace: address of `workspace_bytes(shape)` bytes, aligned to 16.

    Raises:
        InputError, SetupError: as in `forward`.
    """
    if shape.channels == 0 and 0 in (shape.batch, shape.length):
        return
    with driver.context_on(device) as context:
        key = (context, shape, kind)
        launches = _prepared(key)
        if launches is None:
            launches = _backward_launches(*key)
            _remember(key, launches)
        walk, add = launches
        du, ddelta, dA, dB, dC, dD, dbias = gradients
        if walk:
            walk((dy, *inputs, workspace, du, ddelta), stream)
        add((workspace, dA, dB, dC, dD, dbias), stream)


def _backward_launches(context: int, shape: ScanShape, kind: str) -> tuple[_Prepared | None, _Prepared]:
    # without tokens, the sums over no samples or blocks are zero as required
    empty = 0 in shape[:3]
    if shape.length == 0:
        shape = shape._replace(batch=0)
    walk, add = backward_launches(shape, kind)
    return (
        None if empty else _Prepared(context, kind, walk, "aaaaaaaaiiiiaaa", shape[1:]),
        _Prepared(context, kind, add, "aiiiiiaaaaa", shape),
    )
