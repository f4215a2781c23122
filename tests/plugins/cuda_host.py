"""The CUDA kernels on the host: compiled by the C++ compiler against csrc/cuda_on_host.h, called through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scan_cases
from mambapro.errors import SetupError
from mambapro.plugins import compile as compiling
from mambapro.plugins.selective_scan import cuda_driver
from mambapro.plugins.selective_scan.schema import INPUTS
from scan_cases import Arrays, Case

CSRC = Path(compiling.__file__).parent / "selective_scan" / "csrc"
TYPES = ("float32", "float16", "bfloat16")
FLAGS = ["-std=c++17", "-O2", "-fPIC", "-fno-strict-aliasing"]
#: Elements around every array: NaN around inputs, a pattern around outputs.
MARGIN = 64


class Shape(ctypes.Structure):
    """mambapro_scan_cuda_shape"""

    _fields_ = [(name, ctypes.c_int32) for name in ("batch", "length", "channels", "groups", "state", "type")]


@cache
def library() -> ctypes.CDLL:
    """The compiled sources; skips the test where there is no C++ compiler."""
    try:
        compiler = compiling.cxx_compiler()
    except SetupError as error:
        pytest.skip(str(error))
    here = Path(__file__).parent / "csrc"
    parts = [path for path in sorted(CSRC.glob("scan_*.*")) if path.suffix in (".cu", ".cuh", ".h")]
    content = b"".join(path.read_bytes() for path in (*parts, *sorted(here.glob("cuda_*.h"))))
    flags = [*FLAGS, f"-I{CSRC}", f"-DSCAN_SOURCES={hashlib.sha256(content).hexdigest()[:16]}"]
    source = here / "scan_on_host.cpp"
    loaded = ctypes.CDLL(str(compiling.shared_library("scan_on_host", [source], flags, compiler)))
    loaded.mambapro_scan_cuda_workspace_bytes.restype = ctypes.c_size_t
    for name in ("scan_softplus", "scan_softplus_slope", "scan_from_fp16", "scan_from_bf16"):
        getattr(loaded, name).restype = ctypes.c_float
    for name in ("scan_softplus", "scan_softplus_slope", "scan_to_fp16", "scan_to_bf16"):
        getattr(loaded, name).argtypes = [ctypes.c_float]
    for name in ("scan_to_fp16", "scan_to_bf16"):
        getattr(loaded, name).restype = ctypes.c_uint16
    for name in ("scan_from_fp16", "scan_from_bf16"):
        getattr(loaded, name).argtypes = [ctypes.c_uint16]
    return loaded


def forget_driver() -> None:
    """cuda_driver opens its library again when it is next used."""
    for name in ("library", "_retained", "_multiprocessors", "_loaded"):
        getattr(cuda_driver, name).cache_clear()
    cuda_driver._thread.__dict__.clear()


def shape_of(case: Case, kind: str) -> Shape:
    """The C structure of a case in an I/O type."""
    return Shape(case.batch, case.length, case.channels, case.groups, case.state, TYPES.index(kind))


class Guarded:
    """An array between margins that a kernel must neither use nor change."""

    def __init__(self, array: np.ndarray, fill: int = 0xFF) -> None:
        size = array.itemsize
        self.bytes = np.full(array.nbytes + 2 * MARGIN * size, fill, np.uint8)
        self.array = self.bytes[MARGIN * size : MARGIN * size + array.nbytes].view(array.dtype).reshape(array.shape)
        self.array[...] = array
        self.fill, self.edge = fill, MARGIN * size

    @property
    def pointer(self) -> ctypes.c_void_p:
        """Address of the array."""
        return ctypes.c_void_p(self.array.ctypes.data)

    def check(self) -> None:
        """Raises AssertionError where the margins were written to."""
        assert (self.bytes[: self.edge] == self.fill).all(), "written in front of an output"
        assert (self.bytes[len(self.bytes) - self.edge :] == self.fill).all(), "written behind an output"


def floats(array: np.ndarray, kind: str) -> np.ndarray:
    """An output as numbers."""
    return scan_cases.from_bfloat16(array) if kind == "bfloat16" and array.dtype == np.uint16 else array


def forward(case: Case, kind: str, lanes: int, order: int = 0) -> np.ndarray:
    """y of a case by the kernel for `lanes` lanes; every byte around the arrays is checked."""
    given = {name: Guarded(array) for name, array in scan_cases.stored(case, kind).items()}
    y = Guarded(np.ones_like(given["u"].array), fill=0xA5)
    library().cuda_on_host_order(order)
    pointers = [given[name].pointer for name in INPUTS]

    code = library().mambapro_scan_cuda_forward(ctypes.byref(shape_of(case, kind)), *pointers, y.pointer, lanes, None)

    assert code == 0
    y.check()
    return floats(y.array, kind)


def backward(case: Case, kind: str, order: int = 0) -> Arrays:
    """Gradients of a case by name; every byte around the arrays and the workspace is checked."""
    given = {name: Guarded(array) for name, array in scan_cases.stored(case, kind).items()}
    slope = scan_cases.output_gradient(case)
    dy = Guarded(scan_cases.to_bfloat16(slope) if kind == "bfloat16" else slope.astype(kind))
    found = {name: Guarded(np.ones_like(given[name].array), fill=0xA5) for name in INPUTS}
    shape = shape_of(case, kind)
    size = library().mambapro_scan_cuda_workspace_bytes(ctypes.byref(shape))
    # not a number anywhere, so that nothing is read that was not written
    workspace = Guarded(np.full(size, 0xFF, np.uint8), fill=0xFF)
    library().cuda_on_host_order(order)

    code = library().mambapro_scan_cuda_backward(
        ctypes.byref(shape),
        dy.pointer,
        *(given[name].pointer for name in INPUTS),
        *(found[name].pointer for name in INPUTS),
        workspace.pointer,
        None,
    )

    assert code == 0
    for array in (*found.values(), workspace):
        array.check()
    return {name: floats(array.array, kind) for name, array in found.items()}
