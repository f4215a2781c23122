"""npz files whose archive, headers or arrays are wrong."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from odd_zips import archive, npy, patched

FINE = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}", b"ab")


def _array(descr: str, shape: str, data: bytes = b"", **more: tuple[int, int]) -> bytes:
    return npy("{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + "}", data, **more)


#: Entries that are no plain array.
ENTRIES = {
    "objects": _array("'|O'", "(1,)", b"\x80\x04N."),
    "records": _array("[('a', '<f4')]", "(1,)", bytes(4)),
    "arrays_in_arrays": _array("('<f4', (2,))", "(1,)", bytes(8)),
    "void": _array("'|V4'", "(1,)", bytes(4)),
    "terabyte": _array("'|u1'", "(1099511627776,)", bytes(8)),
    "negative": _array("'|u1'", "(-1, -8)", bytes(8)),
    "no_width": _array("'|U0'", "(1099511627776,)"),
    "many_axes": _array("'|u1'", "(" + "1, " * 200 + ")", b"x"),
    "brackets": npy("(" * 4000 + ")" * 4000),
    "minus": npy("-" * 9000 + "1"),
    "cut_list": npy("{'descr': " + "[" * 3000),
    "digits": _array("'|u1'", "(" + "9" * 5000 + ",)"),
    "long_header": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}" + " " * 20_000, b"x", (2, 0)),
    "no_letters": _array("'<U1'", "(1,)", b"\xff\xff\xff\x7f"),
    "version_3": _array("'|u1'", "(1,)", b"x", version=(3, 0)),
    "nonsense": npy("{'descr': 'nonsense', 'fortran_order': 3, 'shape': 'x'}", b"x"),
    "cut": b"\x93NUMPY\x01\x00\xff\xff{",
    "text": b"not an array",
    "nothing": b"",
}


def write_all(folder: Path) -> list[Path]:
    """A file for each odd entry, and odd archives."""
    paths = [archive(folder / f"{name}.npz", {"fine.npy": FINE, "odd.npy": entry}) for name, entry in ENTRIES.items()]
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(9))
    whole = buffer.getvalue()
    entry, end = whole.rfind(b"PK\x01\x02"), whole.rfind(b"PK\x05\x06")
    odd = {
        "archive_text": b"text",
        "archive_cut": whole[:-30],
        "archive_method": patched(whole, entry + 10, b"\x63"),
        "archive_encrypted": patched(whole, entry + 8, b"\x01"),
        "archive_claim": patched(whole, entry + 24, struct.pack("<I", 2**31)),
        "archive_directory": patched(whole, end + 12, struct.pack("<I", 2**32 - 2)),
        "archive_nothing": b"",
    }
    for name, content in odd.items():
        path = folder / f"{name}.npz"
        path.write_bytes(content)
        paths.append(path)
    bomb = _bomb(folder / "archive_bomb.npz")
    many = archive(folder / "archive_many.npz", {f"{i}.npy": b"" for i in range(5000)})
    return [*paths, bomb, many, archive(folder / "archive_other.npz", {"a.txt": b"text"})]


def _bomb(path: Path) -> Path:
    """1.2 GB of zeros in about a megabyte: one packed piece, many times over."""
    size, times = 2**24, 70
    header = _array("'|u1'", f"({times * size},)")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = first + piece * times + packer.flush()
    sizes = struct.pack("<III", 0, len(data), len(header) + times * size)
    name = b"a.npy"
    common = struct.pack("<HHHHH", 20, 0, zipfile.ZIP_DEFLATED, 0, 0x21) + sizes + struct.pack("<HH", len(name), 0)
    local = b"PK\x03\x04" + common + name + data
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    path.write_bytes(local + entry + end)
    return path
