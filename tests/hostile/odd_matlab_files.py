"""MATLAB files that nest, claim or unpack to much, in the place of PETA's annotation."""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path

_HEADER = b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
_CELL, _STRUCT, _DOUBLE = 1, 2, 6


def write_all(folder: Path) -> list[Path]:
    """Every odd file below `folder`."""
    paths = []
    for name, content in contents().items():
        paths.append(folder / f"{name}.mat")
        paths[-1].write_bytes(content)
    return paths


@functools.cache
def contents() -> dict[str, bytes]:
    """The files, by what is odd about them."""
    one = _array(_DOUBLE, (1, 1), _element(9, bytes(8)))
    peta = _array(_STRUCT, (1, 1), struct.pack("<HHi", 5, 4, 2), _element(1, b"a\0b\0"), one, one)
    return {
        "header": _HEADER,
        "number": _HEADER + one,
        "two_fields": _HEADER + peta,
        "nested_cells": _HEADER + _nested(100_000),
        "nested_packed": _HEADER + _packed(_nested(100_000)),
        "bomb": _HEADER + _packed(bytes(2**30)),
        "long_cells": _HEADER + _array(_CELL, (2**31 - 1, 2**31 - 1), one),
        "negative": _HEADER + _array(_CELL, (-1, 5), one),
        "many_dimensions": _HEADER + _array(_DOUBLE, (1,) * 500, _element(9, bytes(8))),
        "no_fields": _HEADER + _array(_STRUCT, (1, 1), struct.pack("<HHi", 5, 4, 0), _element(1, b"")),
        "unknown_kind": _HEADER + _array(_DOUBLE, (1, 1), _element(60_000, bytes(8))),
        "function": _HEADER + _array(16, (1, 1), one),
        "claims": _HEADER + _array(_DOUBLE, (2**15, 2**15), struct.pack("<II", 9, 2**32 - 8)),
        "hdf5": b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(500),
        "version_4": struct.pack("<5i", 0, 2**15, 2**15, 0, 2) + b"a\0" + bytes(64),
    }


def _element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def _array(kind: int, shape: tuple[int, ...], *parts: bytes) -> bytes:
    head = _element(6, struct.pack("<II", kind, 0)) + _element(5, struct.pack(f"<{len(shape)}i", *shape))
    return _element(14, head + _element(1, b"peta") + b"".join(parts))


def _nested(depth: int) -> bytes:
    """Cells of cells; the outer heads are written with the sizes of what will be in them."""
    head = len(_array(_CELL, (1, 1))) - 8
    inside = [_array(_CELL, (1, 1)).replace(struct.pack("<I", head), struct.pack("<I", head + n * (head + 8)), 1)
              for n in range(depth, 0, -1)]  # fmt: skip
    return b"".join(inside) + _array(_CELL, (0, 0))


def _packed(content: bytes) -> bytes:
    packed = zlib.compress(content)
    return struct.pack("<II", 15, len(packed)) + packed
