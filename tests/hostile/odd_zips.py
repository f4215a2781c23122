"""Zip archives and arrays put together by hand, so that they can be wrong."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path


def archive(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip file with these entries."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """An .npy file with a header of one's own."""
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def patched(content: bytes, offset: int, value: bytes) -> bytes:
    """Bytes with some of them replaced."""
    return content[:offset] + value + content[offset + len(value) :]
