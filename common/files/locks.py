"""Locks of files and folders that end with their process, and scratch folders that are removed after a kill."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import InputError
from ..foreign_text import shown_text

_LETTERS, _COUNT = "abcdefghijklmnopqrstuvwxyz0123456789", 8
#: Regular expression of the part between prefix and suffix of a scratch folder's name.
RANDOM = f"[{_LETTERS}_]{{{_COUNT}}}"
#: The one thing in a scratch folder. What is held is the folder around it: a bundle is locked itself while its list
#: changes, and a result is renamed out of it.
CONTENT = "content"

#: Uses of scratch folders among temporary files: models that are calibrated or timed, copies that libraries load by
#: name, sockets of worker processes, pictures of a report, links to the libraries of TensorRT-RTX.
USES = ("calibrate", "clock", "copy", "io", "report", "rtx")

_ATTEMPTS = 100
#: Locks belong to an open file, which forked children share: they close theirs, or they would hold on.
_held: set[int] = set()


@contextmanager
def held_folder(parent: Path, prefix: str, suffix: str) -> Iterator[Path]:
    """Yield a new empty folder inside one in `parent` named prefix, random letters, suffix; removed afterwards.

    Unlocked ones with the same prefix and suffix are removed: their process was killed. Those of other users, and those
    with unexpected content, stay. Modes of written files follow the umask; the outer folder is private to the user.
    """
    sweep(parent, prefix, suffix)
    folder, handle = _new(parent, prefix, suffix)
    maker = os.getpid()
    try:
        inner = folder / CONTENT
        inner.mkdir()
        yield inner
    finally:
        # a forked child does not touch its parent's folder
        if os.getpid() == maker:
            remove(folder)
        _release(handle)


@contextmanager
def temporary_folder(use: str) -> Iterator[Path]:
    """Yield a `held_folder` among temporary files for one of `USES`.

    Remains of killed processes are removed for every use: a resumed run may not reach the same use again.

    Raises:
        OSError: there is no folder for temporary files, or it cannot be written.
    """
    parent = Path(tempfile.gettempdir())
    for other in USES:
        sweep(parent, f"mambapro-{other}-", ".tmp")
    with held_folder(parent, f"mambapro-{use}-", ".tmp") as folder:
        yield folder


@contextmanager
def only_process(folder: Path) -> Iterator[bool]:
    """Lock an existing folder so that no second run writes into it; the lock ends with the process.

    Yields True if locked, False on systems and disks without locks.

    Raises:
        InputError: another run holds it.
        OSError: it is no folder.
    """
    try:
        # a link to a folder is that folder
        handle, busy = _lock(Path(os.path.realpath(folder)), wait=False), False
    except BlockingIOError:
        handle, busy = None, True
    if busy:
        raise InputError(
            f"Another run is working in {shown_text(folder)}. Wait for its end, or give another folder with --out."
        )
    try:
        yield handle is not None
    finally:
        _release(handle)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its content, as far as possible."""
    with suppress(OSError, RecursionError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _new(parent: Path, prefix: str, suffix: str) -> tuple[Path, int | None]:
    for _ in range(_ATTEMPTS):
        folder = parent / f"{prefix}{''.join(secrets.choice(_LETTERS) for _ in range(_COUNT))}{suffix}"
        try:
            folder.mkdir(0o700)
        except FileExistsError:
            continue
        handle = _quietly(folder, wait=True)
        # another process may have removed it before it was locked
        if folder.exists():
            return folder, handle
        _release(handle)
    raise FileExistsError(f"No free name like {prefix}*{suffix} in {parent}")


def sweep(parent: Path, prefix: str, suffix: str) -> None:
    """Remove the scratch folders of a prefix and suffix that killed processes of this user left."""
    pattern = re.compile(re.escape(prefix) + RANDOM + re.escape(suffix))
    folders: list[Path] = []
    # a folder that can be written but not listed is accepted
    with suppress(OSError):
        folders = [Path(entry) for entry in os.scandir(parent) if pattern.fullmatch(entry.name)]
    for path in folders:
        handle = _quietly(path, wait=False)
        if handle is not None and _is_scratch(handle):
            remove(path)
        _release(handle)


def _is_scratch(handle: int) -> bool:
    """Return True if an open folder belongs to this user and holds only the content of a `held_folder`."""
    try:
        # builds from a staged bundle are next to it
        ours = all(name == CONTENT or name.startswith(f".{CONTENT}.") for name in os.listdir(handle))
        return ours and os.fstat(handle).st_uid == os.geteuid()
    except OSError:
        return False


def _quietly(folder: Path, wait: bool) -> int | None:
    """Return a handle that locks a folder; None if another process has it, or if that is unknown."""
    try:
        return _lock(folder, wait)
    except OSError:
        return None


def _lock(folder: Path, wait: bool) -> int | None:
    """Return a handle that locks a folder until it is closed; None on systems and disks without locks.

    Raises:
        BlockingIOError: another process has it, and `wait` is false.
        OSError: it cannot be opened.
    """
    if os.name == "nt":
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    _held.add(handle)
    try:
        lock(handle, wait)
    except BlockingIOError:
        _release(handle)
        raise
    except OSError:
        _release(handle)
        return None
    return handle


def lock(handle: int, wait: bool = True) -> None:
    """Lock an open file or folder until it is closed or unlocked; no effect on Windows, which has no such locks.

    Raises:
        BlockingIOError: another process has it, and `wait` is false.
        OSError: its disk has no locks.
    """
    with suppress(ImportError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def unlock(handle: int) -> None:
    """Release the lock of `lock`, also if a child process has inherited the handle."""
    with suppress(ImportError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def locked_file(file: Path) -> Iterator[None]:
    """Lock a file, which is created if missing; a link is not followed, and the content stays.

    Raises:
        OSError: the file cannot be created, is a link, or lies on a disk without locks.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(file, flags | getattr(os, "O_NONBLOCK", 0), 0o600)
    try:
        lock(handle)
        yield
    finally:
        os.close(handle)


def _release(handle: int | None) -> None:
    if handle is not None and handle in _held:
        _held.discard(handle)
        os.close(handle)


def _forget() -> None:
    """Close the parent's locks in a forked child."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


_register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_forget)
