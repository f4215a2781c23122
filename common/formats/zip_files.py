"""Reading of foreign zip archives (npz files, PyTorch checkpoints): the directory is checked before unpacking."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from typing import BinaryIO

#: Exceptions of a damaged archive on opening or reading.
ZIP_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,  # encrypted
    NotImplementedError,  # compression unknown to this Python
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: An entry of the directory is 46 bytes, its name and what it carries beside; names are short in the files we read.
_LARGEST_ENTRY = 512
_END, _LOCATOR, _END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"


def open_zip(file: BinaryIO, members: int, content: int) -> zipfile.ZipFile:
    """Open an archive whose directory is within limits.

    Args:
        file: open for reading, seekable; stays open.
        members: most entries.
        content: most bytes of all entries together, unpacked.

    Raises:
        ValueError: more than that, an entry twice, encrypted, or compressed in another way than deflate.
        Others of ZIP_ERRORS: no zip archive, or a damaged one.
    """
    # before zipfile reads the directory, which creates an object for each entry
    if (size := _directory_size(file)) > members * _LARGEST_ENTRY:
        raise ValueError(f"its directory has {size:,} bytes, more than {members:,} entries need")
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    if len(entries) > members:
        raise ValueError(f"it has {len(entries):,} entries; at most {members:,} are read")
    if len({entry.filename for entry in entries}) != len(entries):
        raise ValueError("an entry stands in it twice")
    for entry in entries:
        if entry.flag_bits & 1:
            raise ValueError("it is encrypted")
        if entry.compress_type not in _COMPRESSIONS:
            raise ValueError(f"it is compressed by method {entry.compress_type}; stored and deflated entries are read")
    if (total := sum(entry.file_size for entry in entries)) > content:
        raise ValueError(f"it unpacks to {total:,} bytes; at most {content:,} are read")
    return archive


def _directory_size(file: BinaryIO) -> int:
    """Return bytes of the central directory as the archive's end tells it; the larger one where it is told twice."""
    file.seek(0, os.SEEK_END)
    length = file.tell()
    # the end record stands in front of a comment of at most 64 KiB, the locator of the long one in front of it
    start = max(0, length - (2**16 + 22 + 20))
    file.seek(start)
    tail = file.read(length - start)
    # at the very end, or the last one that can be found: what readers take differs
    places = {len(tail) - 22, tail.rfind(_END)}
    sizes = [0]
    for place in places:
        if place < 0 or tail[place : place + 4] != _END or place + 22 > len(tail):
            continue
        sizes.append(struct.unpack_from("<I", tail, place + 12)[0] % 0xFFFFFFFF)
        if place >= 20 and tail[place - 20 : place - 16] == _LOCATOR:
            sizes.append(_size64(file, struct.unpack_from("<Q", tail, place - 12)[0], start + place))
    file.seek(0)
    return max(sizes)


def _size64(file: BinaryIO, told: int, end: int) -> int:
    """Return the size in a zip64 end record: where the locator tells it, and right in front of the locator."""
    sizes = [0]
    for place in {told, end - 20 - 56}:
        if 0 <= place <= end:
            file.seek(place)
            record = file.read(56)
            if len(record) == 56 and record.startswith(_END64):
                sizes.append(struct.unpack_from("<Q", record, 40)[0])
    return max(sizes)
