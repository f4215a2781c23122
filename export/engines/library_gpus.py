"""Which GPUs a plugin library has machine code for, read from the library."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from ...common.foreign_text import escaped
from ...errors import SetupError
from ...plugins.cuda.compiler import ARCHITECTURES

#: Head of a container of device code: magic number, version 1, 16 bytes long.
_CONTAINER = struct.pack("<IHH", 0xBA55ED50, 1, 16)
_PTX, _MACHINE_CODE = 1, 2
#: An entry begins with its kind, a version, the length of its head and that of its content.
_ENTRY = struct.Struct("<HHIQ")
_ARCHITECTURE = 28
#: The least compute capability that the library is built for, with PTX for all later ones that have no machine code.
_LEAST = min(map(int, ARCHITECTURES))


def library_gpus(library: Path) -> tuple[set[int], set[int]]:
    """Compute capabilities, 86 for 8.6: those of machine code, and those of PTX."""
    content = library.read_bytes()
    code: set[int] = set()
    ptx: set[int] = set()
    for found in re.finditer(re.escape(_CONTAINER), content):
        head = found.start() + len(_CONTAINER)
        (size,) = struct.unpack_from("<Q", content, head)
        entry, end = head + 8, min(head + 8 + size, len(content))
        while entry + _ARCHITECTURE + 4 <= end:
            kind, _, head_size, body_size = _ENTRY.unpack_from(content, entry)
            (architecture,) = struct.unpack_from("<I", content, entry + _ARCHITECTURE)
            if kind in (_PTX, _MACHINE_CODE):
                (ptx if kind == _PTX else code).add(architecture)
            if head_size + body_size == 0:
                break
            entry += head_size + body_size
    return code, ptx


def require_gpus(library: Path, capabilities: tuple[str, ...]) -> None:
    """Refuse a library without code for every one of the GPUs, such as "8.6".

    Machine code runs on later GPUs of the same major version, PTX on all later ones.

    Raises:
        SetupError: it has none for some.
    """
    code, ptx = library_gpus(library)
    missing = [
        capability
        for capability in capabilities
        if not any(x // 10 == _number(capability) // 10 and x <= _number(capability) for x in code)
        and not any(x <= _number(capability) for x in ptx)
    ]
    if missing:
        has = ", ".join(f"{x // 10}.{x % 10}" for x in sorted(code | ptx)) or "no GPU at all"
        raise SetupError(
            f"The plugin library {escaped(library)} has code for compute capability {has}, not for "
            f"{', '.join(missing)}. "
            f"Build it anew: mambapro plugins build tensorrt makes one for {_LEAST // 10}.{_LEAST % 10} and all later."
        )


def _number(capability: str) -> int:
    return int(capability.replace(".", ""))
