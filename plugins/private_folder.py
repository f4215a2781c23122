"""Whether code may be loaded from a place: nobody but this user and the administrator can have put it there.

A place is trusted where it and every folder above it belong to this user or to root, and nobody else may write there.
Folders that everybody may write into but whose entries only their owners can rename, such as /tmp, are no obstacle.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import SetupError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def require_private(path: Path) -> None:
    """Refuse a file or folder, with what lies directly in it, that another user may have written.

    Raises:
        SetupError: names the place, its owner or its mode, and what to do.
    """
    places = [path, *(path / entry.name for entry in os.scandir(path))] if path.is_dir() else [path]
    for place in places:
        if reason := why_untrusted(place):
            raise SetupError(
                f"Nothing is loaded from {path}: {reason}. What lies there would run with this user's rights. Remove "
                "it, take the rights of others away (chmod go-w), or choose a folder that this user or root owns."
            )


def why_untrusted(path: Path) -> str | None:
    """Why code is not to be loaded from a file or folder, None where it may be. The last name must not be a link."""
    if not hasattr(os, "geteuid"):
        return None  # Windows: folders of a user are closed to others by default
    try:
        last = os.lstat(path)
        if stat.S_ISLNK(last.st_mode):
            return f"{path} is a link"
        if not stat.S_ISDIR(last.st_mode) and not stat.S_ISREG(last.st_mode):
            return f"{path} is neither a file nor a folder"
        # the last one itself: not even where only its own group may write
        if last.st_mode & _OTHERS_WRITE:
            return f"{path} may be written by others (mode {stat.S_IMODE(last.st_mode):04o})"
        reasons = (_of_one(part) for part in _chain(path))
        return next((reason for reason in reasons if reason), None)
    except OSError as error:
        return f"{path} cannot be looked at ({error.strerror})"


def _chain(path: Path) -> Iterator[Path]:
    """The place and all above it, as named and as links resolve."""
    named, real = Path(os.path.abspath(path)), path.resolve()
    yield from dict.fromkeys((named, *named.parents, real, *real.parents))


def _of_one(path: Path) -> str | None:
    found = os.lstat(path)
    # where this user's namespace does not know root, the root folder shows as whom it does
    owners = {0, os.geteuid(), os.lstat("/").st_uid}
    if found.st_uid not in owners:
        return f"{path} belongs to user {found.st_uid}"
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return None
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid())):
        return f"{path} may be written by others (mode {mode:04o})"
    return None
