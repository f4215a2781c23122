"""Mutations of files: bytes, tokens of text, members of zip archives. The same generator gives the same file."""

from __future__ import annotations

import io
import random
import re
import zipfile
from collections.abc import Callable, Sequence

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1)
_ODD_NUMBERS = (
    "-1",
    "0",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "1e-400",
    "9" * 5000,
    "0.5",
    "2147483648",
    "null",
    '""',
)
_ODD_STRINGS = (
    '""',
    '"' + "x" * 100_000 + '"',
    '"\\u001b[2J\\u0007"',
    '"../../etc/passwd"',
    '"/dev/zero"',
    '"a\\u0000b"',
    '"\\u202egpj.exe"',
    "[" * 2000,
    "{}",
    "[]",
    "true",
    "&a [*a, *a]",
    "!!python/object/apply:os.system [id]",
)
_NUMBER = re.compile(rb"(?<![\w.])-?\d+(\.\d+)?([eE][-+]?\d+)?")
_STRING = re.compile(rb'"[^"\n]*"')


def mutated(content: bytes, others: Sequence[bytes], chance: random.Random, text: bool) -> bytes:
    """`content` with one to four mutations; `others` are files of the same kind to splice with."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if zipfile.is_zipfile(io.BytesIO(content)) and chance.random() < 0.7:
            content = _archive(content, chance)
        elif text and chance.random() < 0.8:
            content = chance.choice((_number, _string, _line))(content, chance)
        elif others and chance.random() < 0.1:
            content = _splice(content, chance.choice(others), chance)
        else:
            content = chance.choice(_BYTES)(content, chance)
    return content


def _flip(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 20)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _head(content: bytes, chance: random.Random) -> bytes:
    """Headers are where sizes and types stand."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 2, 4)) if data else 0):
        data[chance.randrange(min(len(data), 64))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(data)


def _truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _delete(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    return content[:start] + content[start + chance.choice((1, 2, 4, 16, 256)) :]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    piece = content[start : start + chance.choice((1, 4, 16, 64))]
    return content[:start] + piece * chance.choice((2, 10, 1000, 20_000)) + content[start:]


def _integer(content: bytes, chance: random.Random) -> bytes:
    size, order = chance.choice((1, 2, 4, 8)), chance.choice(("little", "big"))
    value = (chance.choice(_NUMBERS) % (1 << 8 * size)).to_bytes(size, order)
    start = chance.randrange(max(1, len(content) - size))
    return content[:start] + value + content[start + size :]


def _splice(content: bytes, other: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)] + other[chance.randrange(len(other) + 1) :]


_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _flip,
    _head,
    _head,
    _truncate,
    _delete,
    _repeat,
    _integer,
    _integer,
)


def _replace(pattern: re.Pattern[bytes], content: bytes, values: Sequence[str], chance: random.Random) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return _flip(content, chance)
    place = chance.choice(found)
    return content[: place.start()] + chance.choice(values).encode() + content[place.end() :]


def _number(content: bytes, chance: random.Random) -> bytes:
    return _replace(_NUMBER, content, (*_ODD_NUMBERS, *_ODD_STRINGS), chance)


def _string(content: bytes, chance: random.Random) -> bytes:
    return _replace(_STRING, content, (*_ODD_STRINGS, *_ODD_NUMBERS), chance)


def _line(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    start = chance.randrange(len(lines))
    lines[start : start + 1] = chance.choice(([], [lines[start]] * 2, [lines[start]] * 10_000, lines[::-1]))
    return b"\n".join(lines)


def _archive(content: bytes, chance: random.Random) -> bytes:
    """One member's content, name, or compression changed, with the checksums right again."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    except Exception:  # an archive that an earlier mutation damaged fails in many ways
        return _flip(content, chance)
    if not members:
        return _flip(content, chance)
    index = chance.randrange(len(members))
    name, data = members[index]
    change = chance.choice(("content", "content", "content", "drop", "double", "rename", "bomb"))
    if change == "content":
        members[index] = (name, chance.choice(_BYTES)(data, chance))
    elif change == "drop":
        del members[index]
    elif change == "double":
        members.append((name + ".again", data))
    elif change == "rename":
        members[index] = (chance.choice(("../x", "x" * 5000, "a\x1b[2J", name.upper())), data)
    else:
        members[index] = (name, data + bytes(1 << 26))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if change == "bomb" else zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()
