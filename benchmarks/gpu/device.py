"""Device memory through the CUDA driver alone: no PyTorch, no CUDA runtime."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.plugins.cuda.driver import check

_VERSION_ATTRIBUTES = (75, 76)  # compute capability, major and minor


def make_current() -> None:
    """Make the first GPU's primary context current on this thread.

    Raises:
        SetupError: no driver or no GPU.
    """
    cuda = cuda_driver.library()
    device, context = ctypes.c_int(), ctypes.c_void_p()
    check(cuda.cuDeviceGet(ctypes.byref(device), ctypes.c_int(0)), "cuDeviceGet")
    check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "cuDevicePrimaryCtxRetain")
    check(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")


@contextmanager
def own_stream() -> Iterator[int]:
    """Handle of a stream that waits for no other: what is on the default one is awaited with `synchronize`."""
    stream = ctypes.c_void_p()
    check(cuda_driver.library().cuStreamCreate(ctypes.byref(stream), ctypes.c_uint(1)), "cuStreamCreate")
    assert stream.value is not None
    try:
        yield stream.value
    finally:
        check(cuda_driver.library().cuStreamDestroy_v2(stream), "cuStreamDestroy")


def synchronize() -> None:
    """Wait for all work on the device."""
    check(cuda_driver.library().cuCtxSynchronize(), "cuCtxSynchronize")


def describe() -> dict[str, Any]:
    """Name, compute capability, multiprocessors and driver version of the first GPU."""
    cuda = cuda_driver.library()
    device, version, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    check(cuda.cuDeviceGet(ctypes.byref(device), ctypes.c_int(0)), "cuDeviceGet")
    check(cuda.cuDeviceGetName(name, 256, device), "cuDeviceGetName")
    check(cuda.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    major, minor = (_attribute(device, number) for number in _VERSION_ATTRIBUTES)
    return {
        "gpu": name.value.decode(),
        "compute_capability": f"{major}.{minor}",
        "multiprocessors": _attribute(device, 16),
        "driver_cuda": f"{version.value // 1000}.{version.value % 1000 // 10}",
    }


def _attribute(device: ctypes.c_int, number: int) -> int:
    value = ctypes.c_int()
    check(cuda_driver.library().cuDeviceGetAttribute(ctypes.byref(value), number, device), "cuDeviceGetAttribute")
    return value.value


class Buffer:
    """An array in device memory, with a margin behind it that nobody may write to; use it in a `with`."""

    MARGIN = 256

    def __init__(self, like: np.ndarray, fill: bool = True) -> None:
        """Copies `like` if `fill`, else only its shape and type; the rest is 0xff, NaN in every type."""
        self._like, self._address = np.empty_like(like, order="C"), ctypes.c_void_p()
        cuda = cuda_driver.library()
        size = like.nbytes + self.MARGIN
        check(cuda.cuMemAlloc_v2(ctypes.byref(self._address), ctypes.c_size_t(size)), "cuMemAlloc")
        check(cuda.cuMemsetD8_v2(self._address, ctypes.c_ubyte(0xFF), ctypes.c_size_t(size)), "cuMemsetD8")
        if fill and like.nbytes:
            source = np.ascontiguousarray(like)
            pointer = ctypes.c_void_p(source.ctypes.data)
            check(cuda.cuMemcpyHtoD_v2(self._address, pointer, ctypes.c_size_t(source.nbytes)), "cuMemcpyHtoD")

    @property
    def address(self) -> int:
        assert self._address.value is not None
        return self._address.value

    def read(self) -> np.ndarray:
        """The array, after all work on the device has ended.

        Raises:
            AssertionError: the margin behind it was written to.
        """
        cuda, count = cuda_driver.library(), self._like.nbytes
        check(cuda.cuCtxSynchronize(), "cuCtxSynchronize")
        raw = np.empty(count + self.MARGIN, np.uint8)
        size = ctypes.c_size_t(raw.nbytes)
        check(cuda.cuMemcpyDtoH_v2(ctypes.c_void_p(raw.ctypes.data), self._address, size), "cuMemcpyDtoH")
        assert (raw[count:] == 0xFF).all(), "written behind an array"
        return raw[:count].view(self._like.dtype).reshape(self._like.shape)

    def __enter__(self) -> Buffer:
        return self

    def __exit__(self, *_: object) -> None:
        check(cuda_driver.library().cuMemFree_v2(self._address), "cuMemFree")
