"""Syncing of data to disk, so that it survives a loss of power."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

#: Number of files from which the whole file system is synced at once.
_MANY = 64


def sync_file(path: Path) -> None:
    """Sync the content of a file to disk.

    Raises:
        OSError: the system could not write it, for example because the disk is full.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder to disk, where supported."""
    with suppress(OSError):
        sync_file(path)


def sync_tree(folder: Path) -> None:
    """Sync everything below a folder to disk.

    Raises:
        OSError: as `sync_file`.
    """
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]
    files = [path for directory in folders for path in directory.iterdir() if path.is_file() and not path.is_symlink()]
    if len(files) >= _MANY and _sync_file_system(folder):
        return
    for path in files:
        sync_file(path)
    for path in folders:
        sync_folder(path)


def _sync_file_system(folder: Path) -> bool:
    """Call Linux's syncfs; return False where it is unsupported."""
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
