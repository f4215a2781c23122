"""Reading of foreign npz and npy files: limits and headers are checked before allocation; objects are rejected."""

from __future__ import annotations

import io
import math
import os
import sys
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import IO, BinaryIO

import numpy as np

from ...errors import ArtifactError, MambaProError
from ..files.open_files import open_regular, read_limited
from ..foreign_text import shown_text
from .size_limits import ADVICE, size_limit
from .zip_files import ZIP_ERRORS, open_zip

#: Default limits of the number of arrays and their total bytes.
MEMBERS = 4096
CONTENT = 2**30
#: Accepted kinds of numpy types: truth values, integers, real numbers, text.
_KINDS = "biufU"
#: numpy's own limit for a header, which is a Python literal of the type and the shape.
_LONGEST_HEADER = 10_000
# a header is parsed as Python: nested ones exhaust the parser
_ERRORS = (*ZIP_ERRORS, SyntaxError, TokenError, RecursionError, TypeError, IndexError)


def read_npz(
    path: str | os.PathLike[str],
    what: str = "file",
    kind: type[MambaProError] = ArtifactError,
    *,
    content: int = CONTENT,
    members: int = MEMBERS,
) -> dict[str, np.ndarray]:
    """Read all arrays of an npz file by name, any shape, of numbers, truth values or text.

    The zip directory is checked before anything is unpacked, and each array's header before its allocation.

    Args:
        path: the file.
        what: role of the file for the message, such as "golden batch".
        kind: class of the error.
        content: most bytes of all arrays together; MAMBAPRO_MAX_GIB raises it.
        members: most arrays.

    Raises:
        kind: missing, no regular file, no npz, damaged, beyond a limit, or arrays of objects or records.
    """
    # the option is checked first: it is wrong independent of the file
    size_limit(content)
    with open_regular(path, what, kind) as file:
        return npz_arrays(file, path, what, kind, content=content, members=members)


def read_npy(
    path: str | os.PathLike[str], what: str = "file", kind: type[MambaProError] = ArtifactError, *, limit: int = CONTENT
) -> np.ndarray:
    """Read the array of an npy file, any shape, of numbers, truth values or text.

    Returns:
        the array.

    Raises:
        kind: missing, no regular file, no npy, damaged, larger than `limit` bytes, or an array of objects or records.
    """
    content = read_limited(path, limit, what, kind)
    try:
        _check_array(io.BytesIO(content), shown_text(Path(path).name, 60), len(content))
        array: np.ndarray = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except _ERRORS as error:
        reason = shown_text(error) or type(error).__name__
        raise kind(f"The {what} {shown_text(path)} cannot be read: {reason.rstrip('.')}.") from error
    return array


def npz_arrays(
    file: BinaryIO,
    name: str | os.PathLike[str],
    what: str = "file",
    kind: type[MambaProError] = ArtifactError,
    *,
    content: int = CONTENT,
    members: int = MEMBERS,
) -> dict[str, np.ndarray]:
    """Read as `read_npz` from an open file, or from bytes in memory; `name` is used in the message."""
    try:
        return _arrays(file, members, size_limit(content))
    except _ERRORS as error:
        reason = shown_text(error) or type(error).__name__
        large = f" {ADVICE}" if "unpacks to" in reason else ""
        raise kind(f"The {what} {shown_text(name)} cannot be read: {reason.rstrip('.')}.{large}") from error


def _arrays(file: BinaryIO, members: int, limit: int) -> dict[str, np.ndarray]:
    with open_zip(file, members, limit) as archive:
        entries = archive.infolist()
        for entry in entries:
            _check_header(archive, entry)
        return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}


def _check_header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Raise ValueError unless the header is of a plain array that fills its entry exactly."""
    name = shown_text(entry.filename, 60)
    if not entry.filename.endswith(".npy"):
        raise ValueError(f"its entry {name} is no array")
    with archive.open(entry) as stream:
        _check_array(stream, name, entry.file_size)


def _check_array(stream: IO[bytes], name: str, size: int) -> None:
    """Raise ValueError unless the header is of a plain array that fills `size` bytes exactly."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its array {name} has a header of format {version[0]}.{version[1]}; 1.0 and 2.0 are read")
    shape, _, kind = readers[version](stream, max_header_size=_LONGEST_HEADER)
    begins = stream.tell()
    if kind.kind not in _KINDS or kind.fields or kind.subdtype or not kind.itemsize:
        raise ValueError(f"its array {name} is of type {shown_text(kind, 60)}; arrays of numbers and text are read")
    if any(length < 0 for length in shape) or math.prod(shape) * kind.itemsize != size - begins:
        raise ValueError(f"its array {name} claims shape {shown_text(shape, 80)}, which its bytes do not fill")


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as stream:
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    if array.dtype.kind == "U":
        letters = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(-1).view(np.uint32)
        if letters.max(initial=0) > sys.maxunicode:
            raise ValueError(f"its array {shown_text(entry.filename, 60)} holds text that is none")
    return array
