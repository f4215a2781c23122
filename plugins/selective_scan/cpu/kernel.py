"""CPU kernel of the selective scan (csrc/scan_cpu.cpp), called with plain addresses, without torch and NumPy.

`setup.py` compiles it into the package. The best instruction set of the machine is selected when it is loaded;
`MAMBAPRO_SCAN_INSTRUCTIONS` selects another one.
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
#: Type codes of u, delta, B, C and y in the C interface.
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
    """Return sixteen hex digits of the kernel's sources, which a compiled library contains."""
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
    """Return None if the kernel can be used, else the reason and the remedy."""
    try:
        _library()
    except SetupError as error:
        return str(error)
    return None


def instruction_sets() -> list[str]:
    """Return the names of the instruction sets of this machine, best first."""
    library = _library()
    names: list[str] = []
    while name := library.mambapro_scan_instruction_sets(len(names)):
        names.append(name.decode())
    return names


def instruction_set() -> str:
    """Return the one in use."""
    return _library().mambapro_scan_instruction_set().decode()


def use_instruction_set(name: str) -> None:
    """Select another instruction set for the whole process.

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
    """Compute y from the seven inputs, given by address, contiguous, with shapes and types as in schema.py.

    Args:
        kind: type of u, delta, B, C and y, a key of TYPES.
        threads: largest number of threads; 0: one for each CPU.
        inputs: addresses in the order of schema.INPUTS.

    Raises:
        SetupError: no kernel in this installation, or no memory.
    """
    _check(_library().mambapro_scan_forward(_Shape(*size, TYPES[kind], threads), *inputs, y))


def backward(
    size: ScanShape, kind: str, threads: int, dy: int, inputs: Sequence[int], gradients: Sequence[int]
) -> None:
    """Compute the gradients of the seven inputs, in their order; arguments as in `forward`, arrays by address."""
    _check(_library().mambapro_scan_backward(_Shape(*size, TYPES[kind], threads), dy, *inputs, *gradients))


def _check(code: int) -> None:
    if code:
        reasons = {1: "sizes outside the contract", 2: "a type it does not know", 3: "not enough memory"}
        raise SetupError(f"the CPU kernel of the selective scan failed: {reasons.get(code, code)}.")
