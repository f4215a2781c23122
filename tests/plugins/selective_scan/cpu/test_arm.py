"""The CPU kernel's NEON code: compiled by a cross compiler and run by an emulator where both are installed.

On Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from mambapro.plugins.selective_scan.cpu import kernel as cpu_kernel
from mambapro.plugins.selective_scan.schema import INPUTS
from scan_cases import (
    CASES,
    GRADIENT_CASES,
    GRADIENT_LIMIT,
    LIMITS,
    Case,
    assert_close,
    from_bfloat16,
    output_gradient,
    stored,
    to_bfloat16,
    wanted,
    wanted_gradients,
)

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"

pytestmark = [
    pytest.mark.skipif(platform.machine() == "aarch64", reason="an ARM processor: test_cpu_op.py runs its code"),
    pytest.mark.skipif(
        not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
        reason=f"needs {COMPILER} and {EMULATOR} (Debian: g++-aarch64-linux-gnu, qemu-user-static)",
    ),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scan_cpu_main.cpp and the kernel for ARM."""
    output = tmp_path_factory.mktemp("arm") / "scan"
    sources = [str(Path(__file__).parent / "csrc" / "scan_cpu_main.cpp"), str(cpu_kernel.CSRC / "scan_cpu.cpp")]
    command = [COMPILER, "-std=c++17", "-O2", "-static", "-pthread", "-Wno-psabi", f"-I{cpu_kernel.CSRC}", *sources]
    subprocess.run([*command, "-o", str(output)], check=True)
    return output


def typed(array: np.ndarray, kind: str) -> np.ndarray:
    """A float64 array as the program reads it."""
    return to_bfloat16(array) if kind == "bfloat16" else array.astype(kind)


def request(case: Case, kind: str) -> bytes:
    """One scan, with gradients where the case has them."""
    arrays = stored(case, kind)
    size = (case.batch, case.length, case.channels, case.groups, case.state)
    shape = cpu_kernel._Shape(*size, cpu_kernel.TYPES[kind], 2)
    with_gradients = case in GRADIENT_CASES
    parts = [bytes(shape), bytes(ctypes.c_int64(with_gradients)), *(arrays[name].tobytes() for name in INPUTS)]
    if with_gradients:
        parts.append(typed(output_gradient(case), kind).tobytes())
    return b"".join(parts)


@pytest.mark.parametrize("kind", LIMITS)
def test_agrees_with_the_definition(program: Path, kind: str) -> None:
    """All cases forward, and backward where they have gradients; NEON is what ran."""
    scans = b"".join(request(case, kind) for case in CASES)

    done = subprocess.run([EMULATOR, str(program)], input=scans, capture_output=True, check=False)

    assert (done.returncode, done.stderr.decode().strip()) == (0, "neon")
    at = 0

    def read(like: np.ndarray) -> np.ndarray:
        nonlocal at
        found = np.frombuffer(done.stdout, like.dtype, like.size, at).reshape(like.shape)
        at += like.nbytes
        return from_bfloat16(found) if like.dtype == np.uint16 else found

    for case in CASES:
        arrays = stored(case, kind)
        assert_close(read(arrays["u"]), wanted(case, kind), LIMITS[kind], f"{case} y")
        if case in GRADIENT_CASES:
            expected = wanted_gradients(case, kind)
            for name in INPUTS:
                halves = arrays[name].dtype.itemsize == 2
                limit = LIMITS[kind] if halves else GRADIENT_LIMIT
                assert_close(read(arrays[name]), expected[name], limit, f"{case} d{name}")
    assert at == len(done.stdout)
