"""Reading of foreign pickles of plain values and NumPy arrays, without running code of the file."""

from __future__ import annotations

import math
import os
import pickle
import re
import struct
from typing import Any

import numpy as np

from ...errors import ArtifactError, MambaProError
from ..files.open_files import open_regular
from ..foreign_text import shown_text
from .plain_pickles import (
    CONTAINERS,
    Call,
    LimitedFile,
    PlainPickleError,
    PlainUnpickler,
    load_plain,
    restrict,
    shown_reason,
)
from .size_limits import size_limit

#: Default limits of a file's bytes and of the values in its containers.
LARGEST, MOST_VALUES = 2**28, 4_000_000
_TYPE = re.compile(r"[<>|=]?([biufU]\d{1,9}|[?O]8?)")
_ERRORS = (
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
    pickle.UnpicklingError,
)


class _Type:
    """Type of an array, filled by a BUILD instruction with its order of bytes."""

    def __init__(self, text: Any, *_: Any) -> None:
        if type(text) is not str or not _TYPE.fullmatch(text):
            raise PlainPickleError(f"an array is of type {shown_text(text, 40)}; arrays of numbers and text are read")
        self.dtype = np.dtype(text)

    def fill(self, state: Any) -> None:
        """Set the order of bytes."""
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise PlainPickleError("the type of an array is described in an unknown way")
        if any(state[3:5]):
            raise PlainPickleError("an array holds records; arrays of numbers and text are read")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Array that a BUILD instruction fills; the value is set once."""

    def __init__(self, *_: Any) -> None:
        self.value: Any = None

    def fill(self, state: Any) -> None:
        """Set shape and values."""
        if type(state) is not tuple or len(state) != 5 or type(state[2]) is not _Type:
            raise PlainPickleError("an array is described in an unknown way")
        _, shape, kind, by_column, values = state
        self.value = _values(values, kind.dtype, shape, "F" if by_column else "C")


def _values(values: Any, dtype: np.dtype[Any], shape: Any, order: str) -> Any:
    if type(shape) is not tuple or len(shape) > 8 or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise PlainPickleError("an array has a shape that is none")
    if dtype.kind == "O":
        # of texts or of numbers of several types; a list holds them
        if type(values) is not list or len(shape) != 1 or len(values) != shape[0]:
            raise PlainPickleError("an array of objects is not a list")
        return values
    if not isinstance(values, bytes | bytearray) or len(values) != math.prod(shape) * dtype.itemsize:
        raise PlainPickleError(f"an array claims shape {shown_text(shape, 80)}, which its bytes do not fill")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(values: Any, kind: Any, shape: Any, order: Any = "C") -> _Array:
    array = _Array()
    if type(kind) is not _Type:
        raise PlainPickleError("an array is described in an unknown way")
    array.value = _values(values, kind.dtype, shape, order)
    return array


def _number(kind: Any, values: Any = b"") -> Any:
    if type(kind) is not _Type or kind.dtype.kind == "O":
        raise PlainPickleError("a number is described in an unknown way")
    return _values(values, kind.dtype, (), "C").item()


def _encoded(text: Any, encoding: Any = "") -> bytes:
    if type(text) is not str or encoding != "latin1":
        raise PlainPickleError("bytes are described in an unknown way")
    return text.encode("latin1")


class _NumpyUnpickler(PlainUnpickler):
    """Unpickler of plain values, NumPy arrays and EasyDict, which becomes a dict."""

    def load_newobj(self) -> None:
        """Create an empty dict for an EasyDict."""
        arguments, kind = self.stack.pop(), self.stack.pop()  # type: ignore[attr-defined]
        if kind is not dict or arguments != ():
            raise PlainPickleError("it builds an object")
        self.stack.append({})  # type: ignore[attr-defined]

    def load_build(self) -> None:
        """Fill an array; attributes of a dict, which repeat its entries, are discarded."""
        state, target = self.stack.pop(), self.stack[-1]  # type: ignore[attr-defined]
        if isinstance(target, _Type | _Array):
            target.fill(state)
        elif type(target) is not dict:
            raise PlainPickleError("it sets attributes of what is no container")

    def load_bytearray8(self) -> None:
        """Read bytes; Python's own method allocates as many as the file claims."""
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.append(self.read(size))  # type: ignore[attr-defined]


restrict(_NumpyUnpickler, {"NEWOBJ": "load_newobj", "BYTEARRAY8": "load_bytearray8"}, used="BINBYTES8 BINUNICODE8")
_NumpyUnpickler.known = {
    **CONTAINERS,
    "easydict EasyDict": dict,
    "numpy dtype": Call(_Type),
    "numpy ndarray": "ndarray",
    "_codecs encode": Call(_encoded),
    # empty bytes in protocol 2
    "__builtin__ bytes": Call(bytes),
    **{f"numpy.{core}.multiarray _reconstruct": Call(_Array) for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray scalar": Call(_number) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": Call(_from_buffer) for core in ("core", "_core")},
}


def read_numpy_pickle(
    path: str | os.PathLike[str],
    what: str = "file",
    kind: type[MambaProError] = ArtifactError,
    *,
    limit: int = LARGEST,
    values: int = MOST_VALUES,
) -> Any:
    """Read a pickle of dicts, lists, tuples, text, numbers and NumPy arrays.

    Args:
        path: the file.
        what: role of the file for the message.
        kind: class of the error.
        limit: most bytes; MAMBAPRO_MAX_GIB raises it.
        values: most values in its containers.

    Raises:
        kind: missing, no regular file, damaged, beyond a limit, or with anything else, which is named and not called.
    """
    name = shown_text(path)
    with open_regular(path, what, kind) as file:
        try:
            content = load_plain(_NumpyUnpickler, LimitedFile(file, size_limit(limit)), values)
            return _resolved(content)
        except PlainPickleError as error:
            if not error.name:
                raise kind(f"The {what} {name} is refused: {shown_reason(error)}.") from error
            raise kind(
                f"The {what} {name} is refused, because reading it could run code: it names {shown_text(error.name)}. "
                "Only dicts, lists, text, numbers and NumPy arrays are read."
            ) from error
        except _ERRORS as error:
            raise kind(f"The {what} {name} is cut short or no pickle: {shown_reason(error)}. Copy it again.") from error


def _resolved(value: Any) -> Any:
    """Replace arrays by their values; dicts and lists are new."""
    if isinstance(value, _Array | _Type):
        if isinstance(value, _Type) or value.value is None:
            raise PlainPickleError("an array has no values")
        return _resolved(value.value) if isinstance(value.value, list) else value.value
    if isinstance(value, dict):
        return {key: _resolved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_resolved(item) for item in value)
    if isinstance(value, Call) or value is dict:
        raise PlainPickleError("it names a function and does not call it")
    return value
