"""Places that may be written to: what is never replaced, and where a link leads."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from ..foreign_text import shown_text
from .disk_errors import place, taken

#: Files that make a bundle of a folder.
BUNDLE_MARKS = ("metadata.json", "SHA256SUMS")

#: Names in here are devices and views of the kernel, whatever they look like.
_SYSTEM = tuple(map(Path, ("/dev", "/proc", "/sys")))
_SHARED_MEMORY = Path("/dev/shm")
_MOST_LINKS = 40
_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

#: Whether a folder holds nothing but what this product wrote there.
Replaceable = Callable[[Path], bool]


def require_free(
    target: Path, overwrite: bool, replaceable: Replaceable | None = None, *, in_bundle: bool = False
) -> None:
    """Raise InputError unless a result may be written to `target`: a folder with `replaceable`, a file without.

    Something that exists needs `overwrite`, and must be a regular file, a link to one, or a folder that is empty or
    that `replaceable` knows, so that nobody's own files are ever replaced; never the working directory. Devices, FIFOs
    and sockets are refused, and so is any place in a bundle, but for the bundle's own files (`in_bundle`).
    """
    target = Path(os.path.abspath(target))
    with place(target):
        _refuse_system(target, target)
        if not in_bundle:
            require_outside(target.parent)
        if not os.path.lexists(target):
            return
        mode = os.lstat(target).st_mode
        _refuse_special(mode, target)
        if not overwrite:
            raise taken(target)
        if replaceable is not None:
            _require_folder(target, mode, replaceable)
        elif stat.S_ISLNK(mode):
            followed(target)
        elif stat.S_ISDIR(mode):
            raise InputError(
                f"{shown_text(target)} is a folder, and a file is to be written. Choose another name, or remove it "
                "yourself."
            )


def may_go(folder: Path, replaceable: Replaceable) -> bool:
    """Whether a new folder may replace what is at `folder`: a folder, empty or ours, and not the working one."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        working = Path.cwd()
    except OSError:
        # somebody removed it
        working = None
    if working is not None and working.is_relative_to(os.path.realpath(folder)):
        return False
    return not any(folder.iterdir()) or replaceable(folder)


def require_outside(folder: Path) -> None:
    """Raise InputError where `folder` is a bundle or lies in one: a bundle holds nothing but its own files."""
    whole = Path(os.path.realpath(folder))
    for place_above in (whole, *whole.parents):
        if all(os.path.lexists(place_above / name) for name in BUNDLE_MARKS):
            raise InputError(
                f"{shown_text(folder)} lies in the bundle {shown_text(place_above)}, which holds nothing but its own "
                "files. Write it elsewhere."
            )


def followed(target: Path) -> Path:
    """The regular file that a link leads to; `target` itself where it is no link.

    Raises:
        InputError: it leads nowhere, in a circle, to what is no regular file, into a bundle, or is a link of another
            user in a folder that all may write to.
    """
    found = target
    for _ in range(_MOST_LINKS):
        _refuse_system(found, target)
        if not found.is_symlink():
            break
        _refuse_foreign_link(found)
        found = Path(os.path.abspath(found.parent.resolve() / found.readlink()))
    if found == target and not target.is_symlink():
        return target
    if not os.path.lexists(found):
        raise _link(target, f"to {shown_text(found)}, which does not exist")
    mode = os.lstat(found).st_mode
    if stat.S_ISLNK(mode):
        raise _link(target, "in a circle")
    _refuse_special(mode, target)
    if not stat.S_ISREG(mode):
        raise _link(target, f"to the folder {shown_text(found)}")
    require_outside(found.parent)
    return found


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
    """/dev/stdout is a link that leads to a file or to none, by how the command was started."""
    real = path.parent.resolve() / path.name
    inside = any(top in real.parents for top in _SYSTEM) and _SHARED_MEMORY not in real.parents
    if inside:
        raise InputError(
            f"Nothing is written to {shown_text(target)}: a result is completed under another name in the same folder "
            f"and then renamed, and {shown_text(real.parent)} holds no files. Give the name of a file."
        )


def _refuse_foreign_link(link: Path) -> None:
    """The system's own rule for links in folders such as /tmp, which `open` follows and rename does not."""
    if not hasattr(os, "geteuid"):
        return
    folder, owner = link.parent.stat(), os.lstat(link).st_uid
    shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if shared and owner not in (os.geteuid(), folder.st_uid):
        raise InputError(
            f"{shown_text(link)} is a link that another user made in a folder for all, so it is not followed. Choose "
            "another name."
        )
