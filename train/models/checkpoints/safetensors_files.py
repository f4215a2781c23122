"""Reading .safetensors files; the header is validated before the library is called or memory is allocated."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ....common.files.open_files import open_regular
from ....common.foreign_text import shown_text
from ....common.formats.json_files import parse_json
from ....common.formats.plain_pickles import shown_reason
from ....errors import ArtifactError

#: Bytes of the header, which is JSON; a thousand tensors take 100 kB.
LARGEST_HEADER = 4 * 2**20
_MOST_TENSORS = 2**16
_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors by name onto the CPU, and the file's text metadata.

    Returns:
        tensors by name, and the `__metadata__` of the header.

    Raises:
        InputError: no such file, or not readable.
        ArtifactError: damaged, beyond a limit, or with an unsupported type of tensor.
    """
    try:
        names, beside = _header(path)
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in names}, beside
    except ArtifactError:
        raise
    except (SafetensorError, ValueError, OSError, RuntimeError, KeyError, TypeError, MemoryError) as error:
        raise _damaged(path, shown_reason(error)) from error
    except BaseException as error:
        # the library is written in Rust, whose failures are not Python's exceptions
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged(path, "the library that reads it failed") from error


def _damaged(path: Path, reason: str) -> ArtifactError:
    return ArtifactError(f"{shown_text(path)} is no readable .safetensors file: {reason}. Copy or download it again.")


def _header(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the names of the tensors and the text metadata, after comparing every size with the file.

    Raises:
        ValueError: inconsistent sizes, types or shapes.
    """
    with open_regular(path, "checkpoint") as file:
        length = os.fstat(file.fileno()).st_size
        start = file.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= size <= length - 8:
            raise ValueError("it is cut, or its header is")
        if size > LARGEST_HEADER:
            raise ValueError(f"its header has {size:,} bytes; at most {LARGEST_HEADER:,} are read")
        header = parse_json(file.read(size))
    if not isinstance(header, dict) or len(header) > _MOST_TENSORS:
        raise ValueError(f"its header is no list of at most {_MOST_TENSORS:,} tensors")
    beside = header.pop("__metadata__", None) or {}
    if not isinstance(beside, dict) or not all(isinstance(value, str) for value in beside.values()):
        raise ValueError("its __metadata__ is no list of texts")
    # in the order of their bytes, which must be contiguous
    expected = 0
    for name, entry in sorted(header.items(), key=lambda item: _begin(item[1])):
        expected = _checked_end(shown_text(name, 80), entry, expected)
    if expected != length - 8 - size:
        raise ValueError("the sizes in its header are not that of the file")
    return list(header), beside


def _begin(entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(value) is int for value in offsets):
        raise ValueError("a tensor in its header has no place in the file")
    return offsets[0], offsets[1]


def _checked_end(name: str, entry: dict[str, Any], begin: int) -> int:
    shape, kind = entry.get("shape"), entry.get("dtype")
    if kind not in _BYTES:
        raise ValueError(f"{name} is of type {shown_text(kind, 40)}; read are {', '.join(_BYTES)}")
    if not isinstance(shape, list) or len(shape) > 64 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise ValueError(f"{name} has no possible shape")
    start, end = _begin(entry)
    if start != begin or end - start != math.prod(shape) * _BYTES[kind]:
        raise ValueError(f"the bytes of {name} do not fit its shape {shown_text(shape, 80)}")
    return end
