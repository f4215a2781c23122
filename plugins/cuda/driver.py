"""The CUDA driver's interface through ctypes: library, calls, errors and contexts.

No PyTorch, TensorRT or CUDA runtime is needed. Contexts, devices and streams are handles, as whole numbers.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ...errors import InputError, SetupError

LIBRARY = "libcuda.so.1"
_MULTIPROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
_CAPTURE_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED

_retaining = threading.Lock()
_forked_from = 0


@cache
def library() -> ctypes.CDLL:
    """Load and initialize the driver's library, once per process.

    Raises:
        SetupError: no driver, or no GPU it can use.
        InputError: this is a child of a process that had started the driver.
    """
    if _forked_from:
        raise InputError(
            f"The NVIDIA driver was started by process {_forked_from}, of which this one is a child, and it does not "
            'work after a fork. Start processes with the method "spawn", or use the GPU in the children alone.'
        )
    try:
        cuda = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise SetupError(f"no NVIDIA driver ({error}); CUDA kernels need one with its GPU.") from None
    # without types ctypes would truncate addresses to 32 bits
    cuda.cuLaunchKernel.argtypes = [ctypes.c_void_p, *[ctypes.c_uint] * 7, *[ctypes.c_void_p] * 3]
    code = cuda.cuInit(0)
    if code:
        raise SetupError(f"the NVIDIA driver has no usable GPU: {_error_text(cuda, code)}.")
    return cuda


def _after_fork() -> None:
    """Mark an initialized driver as unusable in the child; one that was not initialized can be started there."""
    global _forked_from, _retaining
    _retaining = threading.Lock()
    if library.cache_info().currsize:
        library.cache_clear()
        _forked_from = os.getppid()


# not on Windows, where there is no fork
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _error_text(cuda: ctypes.CDLL, code: int) -> str:
    name = ctypes.c_char_p()
    cuda.cuGetErrorString(ctypes.c_int(code), ctypes.byref(name))
    return f"{(name.value or b'unknown error').decode(errors='replace')} ({code})"


def check(code: int, action: str) -> None:
    """Raise SetupError for a nonzero result code of the driver; `action` begins the message."""
    if code:
        raise SetupError(f"{action} failed: {_error_text(library(), code)}.")


def call(name: str, *arguments: Any, about: str = "") -> None:
    """Call a function of the driver; `about` names its object in the message.

    Raises:
        SetupError: there is no driver, or its result is not success.
    """
    cuda = library()
    code = getattr(cuda, name)(*arguments)
    if code:
        of = f" of {about}" if about else ""
        raise SetupError(f"The NVIDIA driver refused {name}{of}: {_error_text(cuda, code)}.")


def primary_context(ordinal: int) -> int:
    """Retain the primary context of GPU `ordinal`, from 0, which all CUDA libraries of this process share.

    It is retained at the first request and never released: kernels and launches are cached by its handle, and the
    driver may give the same handle to a later context.

    Raises:
        SetupError: no driver, no such GPU, or not enough memory for a context there.
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
def context_on(ordinal: int | None) -> Iterator[int]:
    """Make a context of GPU `ordinal` current on this thread for the block; yields its handle.

    None selects the GPU of the current context, or the first one. A thread without a context, such as those of
    PyTorch's backward passes, keeps the new one; a context of another GPU is restored after the block.
    """
    handle = ctypes.c_void_p()
    call("cuCtxGetCurrent", ctypes.byref(handle))
    current = handle.value
    if current and (ordinal is None or current == primary_context(ordinal) or _device_of_current() == _device(ordinal)):
        yield current
        return
    context = primary_context(ordinal or 0)
    if not current:
        call("cuCtxSetCurrent", ctypes.c_void_p(context))
        yield context
        return
    with pushed_context(context):
        yield context


@contextmanager
def pushed_context(context: int) -> Iterator[None]:
    """Push a context on this thread's stack for the block."""
    call("cuCtxPushCurrent_v2", ctypes.c_void_p(context))
    try:
        yield
    finally:
        call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


def multiprocessors() -> int:
    """Count the multiprocessors of the current context's GPU, else of the first one.

    Raises:
        SetupError: no driver, or it refuses.
    """
    with context_on(None) as context:
        return multiprocessors_of(context)


@cache
def multiprocessors_of(context: int) -> int:
    """Count the multiprocessors of the GPU of a context, which must be current."""
    count = ctypes.c_int()
    call("cuDeviceGetAttribute", ctypes.byref(count), _MULTIPROCESSORS, _device_of_current())
    return count.value


@contextmanager
def allowed_while_capturing() -> Iterator[None]:
    """Allow calls on this thread that the driver otherwise refuses while any stream records a graph."""
    mode = ctypes.c_int(_CAPTURE_RELAXED)
    call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
    try:
        yield
    finally:
        # the first exchange wrote the previous mode here
        call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
