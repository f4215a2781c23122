"""Launches the CUDA kernels through the driver, on raw device addresses; no PyTorch, no TensorRT, no compiler.

Launches go to the CUDA context that is current on the caller's thread, or to the primary context of the GPU that the
caller names; a stream is its handle as a number. Kernels are compiled by the driver from the package's PTX when they
are first used in a context.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from ...errors import InputError, SetupError
from .cuda_kernels import (
    Launch,
    backward_launches,
    choose_lanes,
    forward_launch,
    kernel_ptx,
    workspace_bytes,
)
from .schema import ScanShape

__all__ = ["backward", "call", "forward", "library", "multiprocessors", "prepare", "primary_context", "workspace_bytes"]
#: The driver's library.
LIBRARY = "libcuda.so.1"
_MULTIPROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
_CAPTURE_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED
#: Launches prepared for each thread; beyond it all are forgotten and prepared again.
_PREPARED = 512


_forked_from = 0


@cache
def library() -> ctypes.CDLL:
    """The driver's library, initialised.

    Raises:
        SetupError: no driver, or no GPU it can use.
        InputError: this is a child of a process that had started the driver.
    """
    if _forked_from:
        raise InputError(
            f"The NVIDIA driver was started by process {_forked_from}, of which this one is a child, and it does not "
            'work after a fork. Start processes with the method "spawn", or touch the GPU in the children alone.'
        )
    try:
        cuda = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise SetupError(f"no NVIDIA driver ({error}); CUDA kernels need one with its GPU.") from None
    # without types ctypes would cut addresses to 32 bits
    cuda.cuLaunchKernel.argtypes = [ctypes.c_void_p, *[ctypes.c_uint] * 7, *[ctypes.c_void_p] * 3]
    code = cuda.cuInit(0)
    if code:
        raise SetupError(f"the NVIDIA driver has no GPU to use: {_words(cuda, code)}.")
    return cuda


def _after_fork() -> None:
    """The driver does not survive a fork; what was never started may be started in the child."""
    global _forked_from, _retaining, _loading
    _retaining, _loading = threading.Lock(), threading.Lock()
    if library.cache_info().currsize:
        library.cache_clear()
        _forked_from = os.getppid()


# not on Windows, where there is no fork
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _words(cuda: ctypes.CDLL, code: int) -> str:
    name = ctypes.c_char_p()
    cuda.cuGetErrorString(ctypes.c_int(code), ctypes.byref(name))
    return f"{(name.value or b'unknown error').decode(errors='replace')} ({code})"


def check(code: int, what: str) -> None:
    """Raise SetupError for a code of the driver that is not 0."""
    if code:
        raise SetupError(f"selective scan: {what} failed: {_words(library(), code)}.")


def call(name: str, *arguments: Any, about: str = "") -> None:
    """Call the driver.

    Raises:
        SetupError: there is none, or what it answers is not success.
    """
    cuda = library()
    code = getattr(cuda, name)(*arguments)
    if code:
        of = f" of {about}" if about else ""
        raise SetupError(f"The NVIDIA driver refused {name}{of}: {_words(cuda, code)}.")


_retaining = threading.Lock()


def primary_context(ordinal: int) -> int:
    """Handle of the context of GPU `ordinal`, from 0, that all CUDA libraries of this process share.

    It is retained when it is first asked for, and never released: kernels and launches are remembered by the handle,
    and the driver may give the same one to the context that comes after.

    Raises:
        SetupError: no driver, no such GPU, or the driver has no room for a context there.
    """
    with _retaining:
        return _retained(library(), ordinal)


@cache
def _retained(cuda: ctypes.CDLL, ordinal: int) -> int:
    context = ctypes.c_void_p()
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), _device(ordinal))
    assert context.value
    return context.value


def _device(ordinal: int) -> int:
    device = ctypes.c_int()
    call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
    return device.value


def _device_of_current() -> int:
    device = ctypes.c_int()
    call("cuCtxGetDevice", ctypes.byref(device))
    return device.value


@contextmanager
def _context_on(ordinal: int | None) -> Iterator[int]:
    """Handle of the context that is current on this thread inside the block: one of GPU `ordinal`.

    None is the GPU of the context that is current, or the first one. A thread without a context, as PyTorch's backward
    passes run on, keeps the one it gets; a context of another GPU is put aside for the block.
    """
    found = ctypes.c_void_p()
    call("cuCtxGetCurrent", ctypes.byref(found))
    current = found.value
    if current and (ordinal is None or current == primary_context(ordinal) or _device_of_current() == _device(ordinal)):
        yield current
        return
    wanted = primary_context(ordinal or 0)
    if not current:
        call("cuCtxSetCurrent", ctypes.c_void_p(wanted))
        yield wanted
        return
    call("cuCtxPushCurrent_v2", ctypes.c_void_p(wanted))
    try:
        yield wanted
    finally:
        call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


@cache
def _multiprocessors(context: int) -> int:
    count = ctypes.c_int()
    call("cuDeviceGetAttribute", ctypes.byref(count), _MULTIPROCESSORS, _device_of_current())
    return count.value


def multiprocessors() -> int:
    """Multiprocessors of the GPU whose context is current, else of the first one.

    Raises:
        SetupError: no driver, or it refuses.
    """
    with _context_on(None) as context:
        return _multiprocessors(context)


_loading = threading.Lock()


@contextmanager
def _allowed_while_capturing() -> Iterator[None]:
    """While some stream records a graph the driver refuses to load kernels, unless the thread says that it means it."""
    mode = ctypes.c_int(_CAPTURE_RELAXED)
    call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
    try:
        yield
    finally:
        # the first exchange left the mode before it here
        call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))


def _function(context: int, kind: str, kernel: str) -> int:
    """Handle of a kernel in a context, which must be current."""
    with _loading, _allowed_while_capturing():
        return _loaded(context, kind, kernel)


@cache
def _loaded(context: int, kind: str, kernel: str) -> int:
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    # one kernel alone: the driver compiles all it is given
    image = kernel_ptx(kind, kernel).encode() + b"\0"
    check(library().cuModuleLoadData(ctypes.byref(module), image), f"loading the PTX of {kernel}")
    check(library().cuModuleGetFunction(ctypes.byref(function), module, kernel.encode()), f"finding {kernel}")
    assert function.value
    return function.value


class _Prepared:
    """A launch of which only addresses and stream change; one for each thread, for its memory is written in place."""

    def __init__(self, context: int, kind: str, launch: Launch, layout: str, sizes: Sequence[int]) -> None:
        """layout: "a" for each argument that is an address, "i" for each int32, whose values are `sizes`."""
        self.kernel = launch.kernel
        self.function = _function(context, kind, launch.kernel)
        self.dimensions = (*launch.grid, launch.threads, 1, 1, 0)
        # eight bytes for each argument, and the table of where they are
        self.values = (ctypes.c_uint64 * len(layout))()
        start = ctypes.addressof(self.values)
        self.arguments = (ctypes.c_void_p * len(layout))(*range(start, start + 8 * len(layout), 8))
        self.addresses = [i for i, slot in enumerate(layout) if slot == "a"]
        for i, size in zip((i for i, slot in enumerate(layout) if slot == "i"), sizes, strict=True):
            self.values[i] = size
        self.launch = library().cuLaunchKernel

    def __call__(self, addresses: Sequence[int], stream: int) -> None:
        values = self.values
        for i, address in zip(self.addresses, addresses, strict=True):
            values[i] = address
        code = self.launch(self.function, *self.dimensions, stream, self.arguments, None)
        if code:
            check(code, f"launching {self.kernel}")


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
    with _context_on(device) as context:
        _forward_launch(context, shape, kind, lanes)((*inputs, y), stream)


def prepare(shape: ScanShape, kind: str, lanes: int, device: int | None = None) -> None:
    """Load the kernel of a forward pass, so that `forward` with the same arguments on this thread only launches.

    Args, Raises: as in `forward`.
    """
    if 0 not in shape[:3]:
        with _context_on(device) as context:
            _forward_launch(context, shape, kind, lanes)


def _forward_launch(context: int, shape: ScanShape, kind: str, lanes: int) -> _Prepared:
    key = (context, shape, kind, lanes)
    launch: _Prepared | None = _prepared(key)
    if launch is None:
        chosen = lanes or choose_lanes(shape, _multiprocessors(context))
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
    with _context_on(device) as context:
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
    # where there is nothing to walk over, sums of no samples, or of no channels' blocks, are the zeros that are wanted
    empty = 0 in shape[:3]
    if shape.length == 0:
        shape = shape._replace(batch=0)
    walk, add = backward_launches(shape, kind)
    return (
        None if empty else _Prepared(context, kind, walk, "aaaaaaaaiiiiaaa", shape[1:]),
        _Prepared(context, kind, add, "aiiiiiaaaaa", shape),
    )
