"""Data on the disk itself: what a machine that loses its power a moment later still has."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

#: From so many files on, the file system is asked once for everything instead of for each file.
_MANY = 64


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk.

    Raises:
        OSError: the system could not write it, a full disk for one.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that."""
    with suppress(OSError):
        sync_file(path)


def sync_tree(folder: Path) -> None:
    """Wait until everything below a folder is on the disk.

    Raises:
        OSError: as `sync_file`.
    """
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]
    files = [path for place in folders for path in place.iterdir() if path.is_file() and not path.is_symlink()]
    if len(files) >= _MANY and _sync_file_system(folder):
        return
    for path in files:
        sync_file(path)
    for path in folders:
        sync_folder(path)


def _sync_file_system(folder: Path) -> bool:
    """Linux's syncfs; False where there is none."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError, TypeError):
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(handle) == 0:
            return True
        number = ctypes.get_errno()
    finally:
        os.close(handle)
    raise OSError(number, os.strerror(number), str(folder))
