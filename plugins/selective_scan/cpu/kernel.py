"""The CPU kernel of the selective scan (csrc/scan_cpu.cpp), called with plain addresses: no torch, no NumPy.

`setup.py` compiles it into the package. Its instruction set is chosen when it is loaded, the best the machine has;
`MAMBAPRO_SCAN_INSTRUCTIONS` names another one.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ....errors import InputError, SetupError
from ..schema import ScanShape

CSRC = Path(__file__).parent / "csrc"
LIBRARY = Path(__file__).with_name("libmambapro_scan_cpu.so")
#: What the C interface calls the types of u, delta, B, C and y.
TYPES = {"float32": 0, "float16": 1, "bfloat16": 2, "float64": 3}
_MEND = "install a C++ compiler (on Debian: g++) and install mambapro again"


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ScanShape._fields),
        ("type", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


# ScanShape and the C struct name the same sizes in the same order
assert ScanShape._fields == ("batch", "length", "channels", "groups", "state")


def source_fingerprint() -> str:
    """Sixteen hex digits of the kernel's sources; a library carries those it was compiled from."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(CSRC.iterdir()))).hexdigest()[:16]


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    if not LIBRARY.exists():
        raise SetupError(f"the CPU kernel of the selective scan is not in this installation; {_MEND}.")
    library = ctypes.CDLL(str(LIBRARY))
    library.mambapro_scan_source.restype = ctypes.c_char_p
    if library.mambapro_scan_source().decode() != source_fingerprint():
        raise SetupError(f"the CPU kernel of the selective scan was compiled from other sources; {_MEND}.")
    library.mambapro_scan_instruction_set.restype = ctypes.c_char_p
    library.mambapro_scan_instruction_sets.restype = ctypes.c_char_p
    library.mambapro_scan_forward.argtypes = [ctypes.POINTER(_Shape), *[ctypes.c_void_p] * 8]
    library.mambapro_scan_backward.argtypes = [ctypes.POINTER(_Shape), *[ctypes.c_void_p] * 15]
    asked = os.environ.get("MAMBAPRO_SCAN_INSTRUCTIONS")
    if asked:
        _use(library, asked)
    return library


def why_unavailable() -> str | None:
    """None if the kernel can be used, else why not and what to do."""
    try:
        _library()
    except SetupError as error:
        return str(error)
    return None


def instruction_sets() -> list[str]:
    """Names of the instruction sets this machine can run, best first."""
    library = _library()
    names: list[str] = []
    while name := library.mambapro_scan_instruction_sets(len(names)):
        names.append(name.decode())
    return names


def instruction_set() -> str:
    """The one in use."""
    return _library().mambapro_scan_instruction_set().decode()


def use_instruction_set(name: str) -> None:
    """Use another one from now on, in the whole process.

    Raises:
        InputError: this machine cannot run it.
    """
    _use(_library(), name)


def _use(library: ctypes.CDLL, name: str) -> None:
    if library.mambapro_scan_use(name.encode()):
        names: list[str] = []
        while found := library.mambapro_scan_instruction_sets(len(names)):
            names.append(found.decode())
        raise InputError(f"selective scan: instruction set {name!r} does not run here; there are {', '.join(names)}.")


def forward(size: ScanShape, kind: str, threads: int, inputs: Sequence[int], y: int) -> None:
    """y from the seven inputs, all given by address, contiguous, of the shapes and types in schema.py.

    Args:
        kind: type of u, delta, B, C and y, a key of TYPES.
        threads: at most so many; 0: one for each CPU.
        inputs: addresses in the order of schema.INPUTS.

    Raises:
        SetupError: no kernel in this installation, or no memory.
    """
    _check(_library().mambapro_scan_forward(_Shape(*size, TYPES[kind], threads), *inputs, y))


def backward(
    size: ScanShape, kind: str, threads: int, dy: int, inputs: Sequence[int], gradients: Sequence[int]
) -> None:
    """Gradients of the seven inputs, in their order; arguments as in `forward`, dy and gradients by address."""
    _check(_library().mambapro_scan_backward(_Shape(*size, TYPES[kind], threads), dy, *inputs, *gradients))


def _check(code: int) -> None:
    if code:
        reasons = {1: "sizes outside the contract", 2: "a type it does not know", 3: "not enough memory"}
        raise SetupError(f"the CPU kernel of the selective scan failed: {reasons.get(code, code)}.")
