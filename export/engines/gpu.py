"""The GPU that TensorRT would build for."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from ...errors import SetupError
from ...plugins.selective_scan import cuda_driver

_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True)
class Gpu:
    """Name, and compute capability such as "8.6"."""

    name: str
    capability: str


def gpu_at_hand() -> Gpu:
    """The first GPU of the machine.

    Raises:
        SetupError: there is none, or no driver.
    """
    try:
        cuda = cuda_driver.library()
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        cuda_driver.check(cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
        cuda_driver.check(cuda.cuDeviceGetName(name, 256, device), "cuDeviceGetName")
        numbers = [ctypes.c_int(), ctypes.c_int()]
        for attribute, number in zip((_MAJOR, _MINOR), numbers, strict=True):
            code = cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
            cuda_driver.check(code, "cuDeviceGetAttribute")
    except SetupError as error:
        raise SetupError(
            f"TensorRT builds an engine on the GPU that it is for, and there is none here ({error}). "
            "Run mambapro build on the device, with this bundle; or take --target tensorrt-rtx, which needs no GPU."
        ) from error
    return Gpu(name.value.decode(), f"{numbers[0].value}.{numbers[1].value}")
