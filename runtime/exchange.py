"""Two names of a folder change places in one step, where the system can do that."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

#: Linux's renameat2: relative names start at the working directory, and both names keep to exist.
_WORKING_DIRECTORY, _EXCHANGE = -100, 2
#: The kernel or the file system has no such call.
_UNKNOWN = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def exchange(one: Path, other: Path) -> bool:
    """Let two existing files or folders of one file system change places, with no moment at which either is missing.

    Returns:
        False where the system cannot; nothing has happened then.

    Raises:
        OSError: as os.rename.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        # macOS, musl before 1.2.5, Windows
        return False
    names = os.fsencode(one), os.fsencode(other)
    if rename(_WORKING_DIRECTORY, names[0], _WORKING_DIRECTORY, names[1], _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
