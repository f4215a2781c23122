"""Folder of the sockets through which worker processes hand tensors over: what a killed training leaves is cleared."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack, suppress
from multiprocessing.process import current_process
from pathlib import Path

from ...common.files.locks import temporary_folder

#: Longest name of a socket, in bytes (Linux 107, macOS 103), less what multiprocessing adds: /listener-xxxxxxxx.
_LONGEST = 103 - 18


def folder_of_workers(owner: object) -> Path | None:
    """A folder among temporary files that lives as long as `owner`; the next one clears it where that was killed.

    None where the name is too long for sockets, where there are none, or where nothing can be written: then
    multiprocessing makes its own folder, which stays when a worker is killed.
    """
    if os.name != "posix":
        return None
    stack = ExitStack()
    with suppress(OSError):
        folder = stack.enter_context(temporary_folder("io"))
        if len(os.fsencode(folder)) <= _LONGEST:
            weakref.finalize(owner, stack.close)
            return folder
    stack.close()
    return None


def use_folder(folder: Path | None) -> None:
    """Let multiprocessing put the sockets of this process there."""
    if folder is not None:
        # There is no public setting. With tempfile.tempdir it would make a folder of its own inside and report a
        # traceback at the end of a worker that outlives `owner` for a moment.
        current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]
