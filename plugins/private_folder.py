"""Check that only this user and the administrator can have written a file or folder with code.

A path is trusted if it and all its parents belong to this user or to root and nobody else may write there. Sticky
folders such as /tmp, where only owners can rename their entries, are accepted as parents.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import SetupError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def require_private(path: Path) -> None:
    """Reject a file or folder, with its direct entries, that another user may have written.

    Raises:
        SetupError: names the path, its owner or its mode, and the remedy.
    """
    places = [path, *(path / entry.name for entry in os.scandir(path))] if path.is_dir() else [path]
    for place in places:
        if reason := why_untrusted(place):
            raise SetupError(
                f"Nothing is loaded from {path}: {reason}. What lies there would run with this user's rights. Remove "
                "it, take the rights of others away (chmod go-w), or choose a folder that this user or root owns."
            )


def why_untrusted(path: Path) -> str | None:
    """Return the reason why code must not be loaded from a path, None if it may. The last name must not be a link."""
    if not hasattr(os, "geteuid"):
        return None  # Windows: folders of a user are closed to others by default
    try:
        last = os.lstat(path)
        if stat.S_ISLNK(last.st_mode):
            return f"{path} is a link"
        if not stat.S_ISDIR(last.st_mode) and not stat.S_ISREG(last.st_mode):
            return f"{path} is neither a file nor a folder"
        # the path itself: not even if only its group may write
        if last.st_mode & _OTHERS_WRITE:
            return f"{path} may be written by others (mode {stat.S_IMODE(last.st_mode):04o})"
        reasons = (_of_one(part) for part in _chain(path))
        return next((reason for reason in reasons if reason), None)
    except OSError as error:
        return f"{path} cannot be looked at ({error.strerror})"


def _chain(path: Path) -> Iterator[Path]:
    """Yield the path and all its parents, as named and with links resolved."""
    named, real = Path(os.path.abspath(path)), path.resolve()
    yield from dict.fromkeys((named, *named.parents, real, *real.parents))


def _of_one(path: Path) -> str | None:
    found = os.lstat(path)
    # in a user namespace without root, the owner of the root folder is accepted
    owners = {0, os.geteuid(), os.lstat("/").st_uid}
    if found.st_uid not in owners:
        return f"{path} belongs to user {found.st_uid}"
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return None
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid())):
        return f"{path} may be written by others (mode {mode:04o})"
    return None
