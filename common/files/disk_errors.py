"""Errors of failed writes: full disk, missing permission, impossible name."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError, SetupError
from ..foreign_text import shown_text

#: Full: the disk, a user's quota, or the limit on the size of a file.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Errors of the machine, not of the name.
_MACHINE = {
    errno.EACCES, errno.EROFS, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.EBUSY,
    errno.ESTALE,
}  # fmt: skip
_HINTS = {
    errno.EFBIG: " (the limit on the size of files: ulimit -f)",
    errno.EMFILE: " (the limit on open files: ulimit -n)",
}


@contextmanager
def full_disk(target: Path) -> Iterator[None]:
    """Convert the error of a full disk into a SetupError that describes the state of `target`.

    Raises:
        SetupError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        # everything written here takes its name only when it is complete
        left = "is as it was before" if os.path.lexists(target) else "was not written"
        raise SetupError(
            f"No room on the disk while writing {shown_text(target)}: {_reason(error)}. It {left}. Free some space or "
            "choose another place."
        ) from error


@contextmanager
def place(target: Path) -> Iterator[None]:
    """Convert errors of a write to `target`, except those of `full_disk`.

    Raises:
        InputError: the name is taken or impossible.
        SetupError: no permission, or a limit of the machine.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, FileExistsError):
            raise taken(target) from error
        # ValueError: a NUL in the name
        number = error.errno if isinstance(error, OSError) else errno.EINVAL
        if number in FULL or isinstance(error, InputError):
            raise
        kind = SetupError if number in _MACHINE else InputError
        raise kind(f"Cannot write {shown_text(target)}: {_reason(error)}. Choose another place.") from error


def taken(target: Path) -> InputError:
    """Return the error for a name that exists."""
    return InputError(f"{shown_text(target)} exists already. Choose another name, or replace it with --overwrite.")


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return shown_text(error)
    return (error.strerror or str(error)) + _HINTS.get(error.errno or 0, "")
