"""Targets of writes: protected files and folders, and link targets."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

from ...errors import InputError
from ..foreign_text import shown_text
from .disk_errors import place, taken

#: Files that identify a bundle.
BUNDLE_MARKS = ("metadata.json", "SHA256SUMS")

#: Folders of devices and kernel interfaces.
_SYSTEM = tuple(map(Path, ("/dev", "/proc", "/sys")))
_SHARED_MEMORY = Path("/dev/shm")
_MOST_LINKS = 40
_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

#: Function that returns True if a folder holds only files written by this product.
Replaceable = Callable[[Path], bool]


def require_free(
    target: Path, overwrite: bool, replaceable: Replaceable | None = None, *, in_bundle: bool = False
) -> None:
    """Raise InputError unless a result may be written to `target`: a folder with `replaceable`, a file without.

    An existing target needs `overwrite`, and must be a regular file, a link to one, or a folder that is empty or
    accepted by `replaceable`, so that users' own files are never replaced; never the working directory. Devices, FIFOs
    and sockets are rejected, and so is any path in a bundle, except for the bundle's own files (`in_bundle`).
    """
    target = Path(os.path.abspath(target))
    with place(target):
        _refuse_system(target, target)
        if not in_bundle:
            require_outside(target.parent)
        if not os.path.lexists(target):
            _require_writable(target.parent)
            return
        mode = os.lstat(target).st_mode
        _refuse_special(mode, target)
        if not overwrite:
            raise taken(target)
        if replaceable is not None:
            _require_folder(target, mode, replaceable)
        elif stat.S_ISLNK(mode):
            target = followed(target)
        elif stat.S_ISDIR(mode):
            raise InputError(
                f"{shown_text(target)} is a folder, and a file is to be written. Choose another name, or remove it "
                "yourself."
            )
        _require_writable(target.parent)


def _require_writable(folder: Path) -> None:
    """Raise the error of a write if the nearest folder that exists takes no new files."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        # for the system's own reason
        with TemporaryFile(dir=folder):
            pass


def may_go(folder: Path, replaceable: Replaceable) -> bool:
    """Return True if a new folder may replace `folder`: a folder, empty or ours, and not the working directory."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        working = Path.cwd()
    except OSError:
        # removed meanwhile
        working = None
    if working is not None and working.is_relative_to(os.path.realpath(folder)):
        return False
    return not any(folder.iterdir()) or replaceable(folder)


def require_outside(folder: Path) -> None:
    """Raise InputError if `folder` is a bundle or lies in one: a bundle holds only its own files."""
    resolved = Path(os.path.realpath(folder))
    for place_above in (resolved, *resolved.parents):
        if all(os.path.lexists(place_above / name) for name in BUNDLE_MARKS):
            raise InputError(
                f"{shown_text(folder)} lies in the bundle {shown_text(place_above)}, which holds nothing but its own "
                "files. Write it elsewhere."
            )


def followed(target: Path) -> Path:
    """Return the regular file that a link leads to; `target` itself if it is no link.

    Raises:
        InputError: it is dangling, circular, leads to no regular file or into a bundle, or is a link of another user in
            a world-writable folder.
    """
    current = target
    for _ in range(_MOST_LINKS):
        _refuse_system(current, target)
        if not current.is_symlink():
            break
        _refuse_foreign_link(current)
        current = Path(os.path.abspath(current.parent.resolve() / current.readlink()))
    if current == target and not target.is_symlink():
        return target
    if not os.path.lexists(current):
        raise _link(target, f"to {shown_text(current)}, which does not exist")
    mode = os.lstat(current).st_mode
    if stat.S_ISLNK(mode):
        raise _link(target, "in a circle")
    _refuse_special(mode, target)
    if not stat.S_ISREG(mode):
        raise _link(target, f"to the folder {shown_text(current)}")
    require_outside(current.parent)
    return current


def _require_folder(target: Path, mode: int, replaceable: Replaceable) -> None:
    if stat.S_ISLNK(mode):
        raise _link(target, "and a folder is to be written")
    if not stat.S_ISDIR(mode):
        raise InputError(
            f"{shown_text(target)} is a file, and a folder is to be written; files are not replaced by folders. "
            "Choose another name, or remove it yourself."
        )
    if not may_go(target, replaceable):
        raise InputError(
            f"{shown_text(target)} is a folder that holds other things, so it is not replaced. "
            "Remove it yourself, or choose another name."
        )


def _link(target: Path, where: str) -> InputError:
    return InputError(
        f"{shown_text(target)} is a link {where}. A link is followed to a regular file alone; give the name of a new "
        "file or folder, or remove the link."
    )


def _refuse_special(mode: int, target: Path) -> None:
    kind = next((name for test, name in _KINDS if test(mode)), None)
    if kind is not None:
        raise InputError(f"{shown_text(target)} is {kind}, which is never replaced. Give the name of a file.")


def _refuse_system(path: Path, target: Path) -> None:
    """Reject /dev/stdout and the like, links whose target depends on the redirection of the command."""
    real = path.parent.resolve() / path.name
    inside = any(top in real.parents for top in _SYSTEM) and _SHARED_MEMORY not in real.parents
    if inside:
        raise InputError(
            f"Cannot write {shown_text(target)}: {shown_text(real.parent)} is the system's and takes no new files. "
            "Give the name of a file in another folder; --json prints to standard output."
        )


def _refuse_foreign_link(link: Path) -> None:
    """Apply the kernel's rule for links in sticky folders such as /tmp, which `open` follows and rename does not."""
    if not hasattr(os, "geteuid"):
        return
    folder, owner = link.parent.stat(), os.lstat(link).st_uid
    shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if shared and owner not in (os.geteuid(), folder.st_uid):
        raise InputError(
            f"{shown_text(link)} is a link that another user made in a folder for all, so it is not followed. Choose "
            "another name."
        )
