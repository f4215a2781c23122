"""Check of a MATLAB 5 file before SciPy reads it: sizes, nesting and kinds of all its arrays.

SciPy's reader is native code that trusts the file: nested cells of a few kilobytes, or one wrong byte, can end the
process with a segmentation fault, and it unpacks whatever a file asks for.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import NamedTuple

#: Nesting of cells and structs, and number of arrays; the published files have 4 and 90,000.
DEEPEST, MOST_ARRAYS = 16, 4_000_000
_HEADER = 128
#: Kinds of elements, and bytes of a number of those that hold numbers.
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_TEXTS = (1, 2, 4, 16, 17, 18)
#: Classes of arrays.
_CELL, _STRUCT, _CHAR, _NUMBERS = 1, 2, 4, range(6, 16)
_COMPLEX = 0x800
_MOST_DIMENSIONS = 8


class _Element(NamedTuple):
    """Data element: its kind, where its data begin, their bytes, and where the next element begins."""

    kind: int
    start: int
    size: int
    after: int


class _Open(NamedTuple):
    """Cell array or struct that is walked: where it ends, its depth, and the arrays that it must hold."""

    end: int
    depth: int
    expected: int


def unpacked(content: bytes, limit: int) -> bytes:
    """Return a MATLAB 5 file without compression, at most `limit` bytes, after a check of its structure.

    Raises:
        ValueError: another kind of file, damaged, cut short, beyond a limit, or with objects of MATLAB.
    """
    mark = content[126:128]
    if len(content) < _HEADER or mark not in (b"IM", b"MI"):
        raise ValueError("it has no header of MATLAB 5")
    order = "<" if mark == b"IM" else ">"
    parts, left, position = [content[:_HEADER]], limit - _HEADER, _HEADER
    while position < len(content):
        if position + 8 > len(content):
            raise ValueError("it is cut short")
        kind, size = struct.unpack_from(f"{order}II", content, position)
        end = position + 8 + size
        if end > len(content):
            raise ValueError("it is cut short")
        part = _inflated(content[position + 8 : end], left) if kind == _COMPRESSED else content[position:end]
        left -= len(part)
        if left < 0:
            raise ValueError(f"it unpacks to more than {limit:,} bytes")
        _check(part, order)
        parts.append(part)
        position = end
    return b"".join(parts)


def _inflated(packed: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    content = stream.decompress(packed, limit + 1)
    if not stream.eof and len(content) <= limit:
        raise ValueError("a compressed variable is cut short")
    return content


def _check(part: bytes, order: str) -> None:
    """Walk a variable's arrays, without recursion."""
    top = _element(part, 0, len(part), order)
    waiting, count = [_Open(top.after, 0, 1)], 0
    position, children = 0, [0]
    while waiting:
        here = waiting[-1]
        if position >= here.end:
            if children.pop() != here.expected:
                raise ValueError("a cell array or struct has another number of entries than it claims")
            waiting.pop()
            continue
        child = _element(part, position, here.end, order)
        if child.kind != _MATRIX:
            raise ValueError(f"it has an element of kind {child.kind} in the place of an array")
        children[-1] += 1
        count += 1
        if count > MOST_ARRAYS:
            raise ValueError(f"it has more than {MOST_ARRAYS:,} arrays")
        inside = _inside(part, child, order) if child.size else None
        if inside is None:
            position = child.after
            continue
        if here.depth >= DEEPEST:
            raise ValueError(f"its cells are nested more than {DEEPEST} deep")
        position, expected = inside
        waiting.append(_Open(child.start + child.size, here.depth + 1, expected))
        children.append(0)


def _inside(part: bytes, array: _Element, order: str) -> tuple[int, int] | None:
    """Return where the entries of a cell array or struct begin and how many there are; None of other arrays."""
    end = array.start + array.size
    flags = _element(part, array.start, end, order)
    dims = _element(part, flags.after, end, order)
    name = _element(part, dims.after, end, order)
    if (flags.kind, flags.size, dims.kind, name.kind) != (_UINT32, 8, _INT32, _INT8) or dims.size % 4:
        raise ValueError("the head of an array is damaged")
    word = struct.unpack_from(f"{order}I", part, flags.start)[0]
    shape = struct.unpack_from(f"{order}{dims.size // 4}i", part, dims.start)
    if not 2 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 0:
        raise ValueError("an array has a shape that is none")
    kind, entries = word & 0xFF, math.prod(shape)
    if kind == _CELL:
        return name.after, entries
    if kind == _STRUCT:
        return _fields(part, name.after, end, order, entries)
    data = _element(part, name.after, end, order)
    if kind == _CHAR and data.kind in _TEXTS:
        return None
    if kind not in _NUMBERS or word & _COMPLEX:
        raise ValueError("it holds more than real numbers, texts, cells and structs")
    if data.size != entries * _SIZES.get(data.kind, -1):
        raise ValueError(f"an array claims {entries:,} numbers and has {data.size:,} bytes of kind {data.kind}")
    return None


def _fields(part: bytes, position: int, end: int, order: str, entries: int) -> tuple[int, int]:
    length = _element(part, position, end, order)
    names = _element(part, length.after, end, order)
    width = struct.unpack_from(f"{order}i", part, length.start)[0] if length.size == 4 else 0
    if width <= 0 or (length.kind, names.kind) != (_INT32, _INT8) or names.size % width:
        raise ValueError("the fields of a struct have no names")
    return names.after, entries * (names.size // width)


def _element(part: bytes, position: int, end: int, order: str) -> _Element:
    if position + 8 > end:
        raise ValueError("an array ends early")
    kind, size = struct.unpack_from(f"{order}II", part, position)
    if kind >> 16:
        # up to four bytes of data are in the element's head
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise ValueError("an element claims more than its place")
        return _Element(kind, position + 4, size, position + 8)
    start = position + 8
    if start + size > end:
        raise ValueError("an array ends early")
    padding = 0 if kind == _MATRIX else -size % 8
    return _Element(kind, start, size, min(start + size + padding, end))
