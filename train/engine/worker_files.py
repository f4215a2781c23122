"""Folder of the sockets that transfer tensors from worker processes; remains of a killed training are removed."""

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
    """Create a temporary folder that lives as long as `owner`; the next call removes those of killed processes.

    Returns:
        its path, or None if the path is too long for sockets, if the system has no such sockets, or if the folder
            cannot be written; multiprocessing then makes its own folder, which stays when a worker is killed.
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
    """Make multiprocessing create the sockets of this process in the folder."""
    if folder is not None:
        # There is no public setting. With tempfile.tempdir it would make a folder of its own inside and report a
        # traceback at the end of a worker that outlives `owner` for a moment.
        current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]
