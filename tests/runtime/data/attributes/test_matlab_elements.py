"""Structure of MATLAB files: what is read is bounded, and what would crash the reader is refused before it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from annotation_files import cells
from annotation_files import struct as matlab_struct
from mambapro.runtime.data.attributes.matlab_elements import unpacked
from scipy.io import loadmat, savemat

HEADER = b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM"


def element(kind: int, data: bytes) -> bytes:
    """A data element, filled to eight bytes."""
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(kind: int, *parts: bytes, shape: tuple[int, ...] = (1, 1), flags: int = 0) -> bytes:
    """An array of a class, whose data are these elements."""
    head = element(6, struct.pack("<II", kind | flags, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, b"a") + b"".join(parts))


ONE = matrix(6, element(9, struct.pack("<d", 1.0)))


def nested(depth: int) -> bytes:
    """A number in cells of cells."""
    array = ONE
    for _ in range(depth):
        array = matrix(1, array)
    return array


def test_content_is_the_same() -> None:
    """Cells, structs, numbers and texts are as in the compressed file."""
    content = {
        "numbers": np.arange(12, dtype=np.uint8).reshape(3, 4),
        "texts": cells(["one", "größer", ""]),
        "record": matlab_struct(x=np.eye(2), y=cells(["z"]), z=cells([])),
    }
    packed = io.BytesIO()
    savemat(packed, content, do_compression=True)

    plain = unpacked(packed.getvalue(), 2**20)
    first, second = (loadmat(io.BytesIO(file)) for file in (packed.getvalue(), plain))

    assert len(plain) > len(packed.getvalue())
    assert all(repr(first[name]) == repr(second[name]) for name in content)


def test_both_orders_of_bytes() -> None:
    """A file of a big-endian machine is read."""
    head = b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI"

    def big(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    flags, shape = big(6, struct.pack(">II", 6, 0)), big(5, struct.pack(">ii", 1, 1))
    content = head + big(14, flags + shape + big(1, b"a") + big(9, struct.pack(">d", 2.5)))

    assert loadmat(io.BytesIO(unpacked(content, 2**20)))["a"].tolist() == [[2.5]]


def test_depth() -> None:
    """Sixteen levels are read, more are not."""
    assert unpacked(HEADER + nested(16), 2**20)

    with pytest.raises(ValueError, match="nested more than 16 deep"):
        unpacked(HEADER + nested(17), 2**20)


def test_unpacked_size() -> None:
    """A variable that unpacks beyond the limit is not unpacked; what is within it is."""
    array = matrix(9, element(2, bytes(10**6)), shape=(1000, 1000))
    content = HEADER + element(15, zlib.compress(array))[: 8 + len(zlib.compress(array))]

    assert len(content) < 10_000 and len(unpacked(content, 10**6 + 1000)) > 10**6
    with pytest.raises(ValueError, match="unpacks to more than 999,999 bytes"):
        unpacked(content, 999_999)


BAD: dict[str, bytes] = {
    "no header of MATLAB 5": b"MATLAB 4".ljust(200),
    "cut short": HEADER + ONE[:-3],
    "in the place of an array": HEADER + element(9, bytes(8)),
    "another number of entries": HEADER + matrix(1, ONE, shape=(2, 1)),
    "claims 4 numbers and has 8 bytes of kind 9": HEADER + matrix(6, element(9, bytes(8)), shape=(2, 2)),
    "claims 1 numbers and has 8 bytes of kind 40": HEADER + matrix(6, element(40, bytes(8))),
    "a shape that is none": HEADER + matrix(6, element(9, bytes(8)), shape=(-1, -1)),
    "the head of an array is damaged": HEADER + element(14, element(9, bytes(8)) * 4),
    "an array ends early": HEADER + element(14, element(6, bytes(8))),
    "more than real numbers": HEADER + matrix(17, element(9, bytes(8))),
    "more than real numbers, ": HEADER + matrix(6, element(9, bytes(8)), element(9, bytes(8)), flags=0x800),
    "more than real numbers, t": HEADER + matrix(5, element(9, bytes(8))),
    "the fields of a struct": HEADER + matrix(2, element(5, struct.pack("<i", 0)), element(1, b"")),
}


@pytest.mark.parametrize("message", BAD)
def test_rejected(message: str) -> None:
    """ValueError tells what is damaged."""
    with pytest.raises(ValueError, match=message):
        unpacked(BAD[message], 2**20)


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c[:-9], lambda c: c[:20] + b"x" + c[21:]])
def test_damaged_compression(change: Callable[[bytes], Any]) -> None:
    """A compressed variable that ends early or is damaged is an error."""
    packed = change(zlib.compress(ONE * 20))

    with pytest.raises((ValueError, zlib.error)):
        unpacked(HEADER + struct.pack("<II", 15, len(packed)) + packed, 2**20)
