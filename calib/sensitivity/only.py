"""One run at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError


@contextmanager
def only_run(folder: Path) -> Iterator[bool]:
    """Hold a folder, so that no second run writes into it; a killed run holds nothing.

    Yields whether it is held: not on systems and disks that have no locks.

    Raises:
        InputError: another run holds it.
    """
    try:
        import fcntl
    except ImportError:
        # Windows
        yield False
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another run is working in {folder}. Wait for its end, or give another folder with --out."
            ) from error
        except OSError:
            held = False
        else:
            held = True
        yield held
    finally:
        os.close(handle)
