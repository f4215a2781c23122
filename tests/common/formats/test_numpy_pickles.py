"""Pickles of plain values and arrays: what is read, and that nothing else is."""

from __future__ import annotations

import collections
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mambapro.common.formats.numpy_pickles import read_numpy_pickle
from mambapro.errors import ArtifactError

PLAIN = {
    "text": "größer",
    "list": [1, -2.5, None, True, (3, "x")],
    "large": 2**70,
    "bytes": b"\0\xff",
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
}
ARRAYS = {
    "int64": np.arange(6).reshape(2, 3),
    "by column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.array([1, 256], ">u2"),
    "bool": np.array([True, False]),
    "text": np.array(["hat", "scarf"]),
    "empty": np.zeros((0, 3), np.float32),
    "none": np.array(7),
}


def saved(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values(tmp_path: Path, protocol: int) -> None:
    """Plain values and arrays come back as they were, from every binary protocol."""
    read = read_numpy_pickle(saved(tmp_path / "a.pkl", {"plain": PLAIN, "arrays": ARRAYS}, protocol))

    assert read["plain"] == PLAIN and list(read["plain"]["ordered"]) == ["b", "a"]
    for name, array in ARRAYS.items():
        assert read["arrays"][name].dtype == array.dtype and np.array_equal(read["arrays"][name], array), name


def test_numbers_and_shared_arrays(tmp_path: Path) -> None:
    """NumPy's numbers become Python's; an array that is there twice is read twice; objects become a list."""
    array = np.arange(3)
    value = [np.float32(0.5), np.int64(-3), array, {"again": array}, np.array(["a", 2], object)]

    read = read_numpy_pickle(saved(tmp_path / "a.pkl", value))

    assert read[:2] == [0.5, -3] and type(read[1]) is int
    assert np.array_equal(read[2], array) and np.array_equal(read[3]["again"], array) and read[4] == ["a", 2]


class Foreign:
    """A class of a module that the reader does not know."""


class Caller:
    """Would create a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_nothing_is_called(tmp_path: Path, protocol: int) -> None:
    """A function in the pickle is named and not called."""
    path = saved(tmp_path / "a.pkl", [Caller(str(tmp_path / "called"))], protocol)

    with pytest.raises(ArtifactError, match=r"is refused"):
        read_numpy_pickle(path)
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Foreign(), r"it names .*Foreign"),
        (len, r"it names builtins.len"),
        (np.dtype("i4,i4"), "an array is of type V8"),
        (np.array([(1, 2)], "i4,i4"), "an array is of type V8"),
        (np.array(["2020"], "M8[Y]"), "an array is of type M8"),
        (np.array([1 + 2j]), "an array is of type c16"),
        (np.array([[1, "a"], [2, "b"]], object), "an array of objects is not a list"),
        (np.dtype("i4"), "an array has no values"),
        ({1, 2}, "an instruction that plain values do not need"),
        (b"\x80\x04", "is cut short or no pickle"),
        (b"", "is cut short or no pickle"),
        (b"\xff\xff", "is cut short or no pickle"),
        (b"\x80\x04]\x94(" + b"]\x94(" * 200 + b"e" * 201 + b".", "nests them 50 deep"),
        (b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b"x", "has more than"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"x", "has more than"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"x", "has more than"),
    ],
)
def test_rejected(tmp_path: Path, value: Any, message: str) -> None:
    """ArtifactError names the file, and the class or the fault."""
    with pytest.raises(ArtifactError, match=message) as caught:
        read_numpy_pickle(saved(tmp_path / "a.pkl", value))
    assert "a.pkl" in str(caught.value)


def test_a_shape_that_the_bytes_do_not_fill(tmp_path: Path) -> None:
    """An array cannot claim more than it has."""
    content = pickle.dumps(np.arange(250, dtype=np.uint8), 2).replace(b"K\xfa\x85", b"K\xff\x85")

    with pytest.raises(ArtifactError, match=r"claims shape \(255,\), which its bytes do not fill"):
        read_numpy_pickle(saved(tmp_path / "a.pkl", content))


def test_many_values(tmp_path: Path) -> None:
    """More values than allowed are refused, references counted each time."""
    row = [0] * 1000
    path = saved(tmp_path / "a.pkl", [row] * 1000)

    assert len(read_numpy_pickle(path, values=1_001_000)) == 1000
    with pytest.raises(ArtifactError, match="more than 1,000,999 values"):
        read_numpy_pickle(path, values=1_000_999)
