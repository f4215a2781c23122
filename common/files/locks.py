"""Locks of files and folders, which end with their process, and scratch folders, which the next run clears after a
kill."""

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
#: What stands between prefix and suffix of a scratch folder, as a regular expression.
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
    """A new empty folder, inside of one in `parent` that is called prefix, some letters, suffix; gone afterwards.

    Others of the same prefix and suffix that nobody holds any more are removed: their process was killed. Those of
    other users, and those that hold what no scratch folder holds, are left alone. The modes of what is written follow
    the umask; the folder around it is the user's alone.
    """
    sweep(parent, prefix, suffix)
    folder, handle = _new(parent, prefix, suffix)
    maker = os.getpid()
    try:
        inner = folder / CONTENT
        inner.mkdir()
        yield inner
    finally:
        # a forked child that comes here leaves its parent's folder alone
        if os.getpid() == maker:
            remove(folder)
        _release(handle)


@contextmanager
def temporary_folder(use: str) -> Iterator[Path]:
    """A `held_folder` among temporary files for one of `USES`.

    Those of every use that killed processes left are removed: a run that goes on after a kill may not come to the same
    use again.

    Raises:
        OSError: there is no folder for temporary files, or nothing can be written to it.
    """
    parent = Path(tempfile.gettempdir())
    for other in USES:
        sweep(parent, f"mambapro-{other}-", ".tmp")
    with held_folder(parent, f"mambapro-{use}-", ".tmp") as folder:
        yield folder


@contextmanager
def only_process(folder: Path) -> Iterator[bool]:
    """Hold a folder that exists, so that no second run writes into it; a killed run holds nothing.

    Yields whether it is held: not on systems and disks that have no locks.

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
    """Remove a file, a link, or a folder with all it holds, as far as it can be removed."""
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
        # another process may have swept it away before it was held
        if folder.exists():
            return folder, handle
        _release(handle)
    raise FileExistsError(f"No free name like {prefix}*{suffix} in {parent}")


def sweep(parent: Path, prefix: str, suffix: str) -> None:
    """Remove the scratch folders of a prefix and suffix that killed processes of this user left."""
    pattern = re.compile(re.escape(prefix) + RANDOM + re.escape(suffix))
    found: list[Path] = []
    # a folder that may be written but not listed is no obstacle
    with suppress(OSError):
        found = [Path(entry) for entry in os.scandir(parent) if pattern.fullmatch(entry.name)]
    for path in found:
        handle = _quietly(path, wait=False)
        if handle is not None and _is_scratch(handle):
            remove(path)
        _release(handle)


def _is_scratch(handle: int) -> bool:
    """Whether an open folder is of this user and holds nothing but what `held_folder` puts there."""
    try:
        # what is built from a staged bundle stands beside it
        ours = all(name == CONTENT or name.startswith(f".{CONTENT}.") for name in os.listdir(handle))
        return ours and os.fstat(handle).st_uid == os.geteuid()
    except OSError:
        return False


def _quietly(folder: Path, wait: bool) -> int | None:
    """A handle that holds a folder; None where another has it, or where that cannot be told."""
    try:
        return _lock(folder, wait)
    except OSError:
        return None


def _lock(folder: Path, wait: bool) -> int | None:
    """A handle that holds a folder until it is closed; None on systems and disks without locks.

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
    """Lock an open file or folder until it is closed or unlocked; without effect on Windows, which has no such locks.

    Raises:
        BlockingIOError: another process has it, and `wait` is false.
        OSError: its disk has no locks.
    """
    with suppress(ImportError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def unlock(handle: int) -> None:
    """End the lock of `lock`, also where a child process has inherited the handle."""
    with suppress(ImportError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def locked_file(file: Path) -> Iterator[None]:
    """Hold the lock of a file, which is created; a link is not followed, and nothing is emptied.

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
    """Close in a forked child what its parent holds."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


_register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_forget)
