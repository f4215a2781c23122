"""Atomic renames beyond os.rename: swap two names, or rename without replacing."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

#: Linux's renameat2: relative names start at the working directory; its flags.
_WORKING_DIRECTORY, _NO_REPLACE, _EXCHANGE = -100, 1, 2
#: The same flags of macOS's renamex_np.
_ON_MACOS = {_NO_REPLACE: 4, _EXCHANGE: 2}
#: The kernel or the file system has no such call.
_UNKNOWN = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
#: Hard links are unsupported, or not allowed for this file.
_NO_LINKS = {*_UNKNOWN, errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EACCES}


def exchange(one: Path, other: Path) -> bool:
    """Atomically swap two existing files or folders of one file system.

    Returns:
        False if unsupported; nothing has happened then.

    Raises:
        OSError: as os.rename.
    """
    return _rename_flagged(one, other, _EXCHANGE)


def rename_new(source: Path, target: Path) -> None:
    """Rename a file or folder to a new name; of two concurrent calls exactly one succeeds.

    Uses the system's own call; otherwise a file gets a second hard link, which fails if the name exists, and a folder
    is renamed, which fails on everything but an empty folder. Only on file systems without any of these (old network
    and FAT drivers) the name is checked just before.

    Raises:
        FileExistsError: `target` exists; it stays as it is.
        OSError: as os.rename.
    """
    if _rename_flagged(source, target, _NO_REPLACE):
        return
    if not source.is_dir():
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            source.unlink()
            return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(source, target)


def _rename_flagged(source: Path, target: Path, flag: int) -> bool:
    """Rename with a flag of renameat2; return False if unsupported."""
    names = os.fsencode(source), os.fsencode(target)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, _ON_MACOS[flag])
        else:
            failed = library.renameat2(_WORKING_DIRECTORY, names[0], _WORKING_DIRECTORY, names[1], flag)
    except (AttributeError, OSError, TypeError):
        # musl before 1.2.5, Windows
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))
