"""Opening of foreign files: regular files only, with a limit of size."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ...errors import InputError, MambaProError
from ..foreign_text import shown_text

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def open_regular(
    path: str | os.PathLike[str], what: str = "file", kind: type[MambaProError] = InputError
) -> Iterator[BinaryIO]:
    """Yield the file at `path`, open for reading; links are followed.

    Args:
        path: any name, including impossible ones.
        what: role of the file for the message, such as "image".
        kind: class of the error.

    Raises:
        kind: missing, unreadable, or a folder, FIFO, socket or device, none of which is opened: a FIFO blocks, and some
            devices act when they are opened.
    """
    try:
        _require_regular(os.stat(path).st_mode, path, what, kind)  # noqa: PTH116
        # another file may have taken the name meanwhile: it must not block either, and is checked again
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except kind:
        raise
    except FileNotFoundError as error:
        raise kind(f"There is no {what} {shown_text(path)}. Check the path.") from error
    except (OSError, ValueError) as error:
        # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise kind(f"The {what} {shown_text(path)} cannot be opened: {why}.") from error
    try:
        _require_regular(os.fstat(handle).st_mode, path, what, kind)
        file = os.fdopen(handle, "rb")
    except BaseException:
        with suppress(OSError):
            os.close(handle)
        raise
    with file:
        yield file


def read_limited(
    path: str | os.PathLike[str], limit: int, what: str = "file", kind: type[MambaProError] = InputError
) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        kind: as `open_regular`, or the file is larger; the size is checked before reading.
    """
    with open_regular(path, what, kind) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise kind(f"The {what} {shown_text(path)} has {size:,} bytes; at most {limit:,} are read.")
        # a file that grows meanwhile
        content = file.read(limit + 1)
    if len(content) > limit:
        raise kind(f"The {what} {shown_text(path)} grew beyond {limit:,} bytes while it was read.")
    return content


def require_regular(path: str | os.PathLike[str], what: str = "file", kind: type[MambaProError] = InputError) -> Path:
    """Return `path`, for libraries that open files by name, after `open_regular` has opened and closed it.

    Raises:
        kind: as `open_regular`.
    """
    with open_regular(path, what, kind):
        return Path(path)


def _require_regular(mode: int, path: str | os.PathLike[str], what: str, kind: type[MambaProError]) -> None:
    if stat.S_ISREG(mode):
        return
    name = next((name for test, name in _KINDS if test(mode)), "no regular file")
    raise kind(f"The {what} {shown_text(path)} is {name}, not a regular file. Give the path of a file.")
