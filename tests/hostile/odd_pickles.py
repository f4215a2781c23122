"""Pickles that call, claim, nest or are long, in the place of a partition of zero-shot attributes."""

from __future__ import annotations

import functools
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np


class _Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def write_all(folder: Path) -> list[Path]:
    """Every odd pickle in a file of its own below `folder`."""
    paths = []
    for name, content in contents().items():
        paths.append(folder / f"{name}.pkl")
        paths[-1].write_bytes(content)
    return paths


@functools.cache
def contents() -> dict[str, bytes]:
    """The pickles, by what is odd about them."""
    rows = {"train": [0], "val": [1], "test": [2]}

    def partition(**changes: Any) -> bytes:
        return pickle.dumps({"partition": {**rows, **changes}}, 4)

    loop: list[Any] = []
    loop.append(loop)
    return {
        "calls": pickle.dumps(_Calls(exec, "open('called', 'w')"), 2),
        "calls_in_partition": partition(train=_Calls(print, "called")),
        "imports": b"cantigravity\nx\n.",
        "loop": pickle.dumps({"partition": loop}, 4),
        "wide_references": pickle.dumps({"partition": functools.reduce(lambda x, _: [x] * 10, range(30), [1])}, 4),
        "deep": b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".",
        "long_bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62),
        "long_bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**36),
        "long_frame": b"\x80\x04\x95" + struct.pack("<Q", 2**40),
        "long_number": b"\x80\x04\x8b" + struct.pack("<i", 2**28) + b"\xff" * 1000,
        "far_memo": b"\x80\x04]r\xff\xff\xff\x7f.",
        "large_rows": partition(train=[2**100, -(2**100)]),
        "many_rows": partition(train=list(range(1_000_000))),
        "huge_array": pickle.dumps(np.zeros(3), 2).replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"),
        "text_rows": partition(train=np.array(["0", "1"])),
        "objects": partition(train=np.array([0, "x", None], object)),
        "escape": partition(**{"\x1b[2Jred": [0], "train": "\x1b[31m"}),
    }
