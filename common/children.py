"""Child processes that end with their parent, however that ends.

A child of ours is told its parent's number and asks the kernel to be killed with it. A program of others (a compiler)
runs under a small process of ours that does the same for it and for what it starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

#: Holds the number of the process that a child is to end with.
PARENT = "MAMBAPRO_PARENT"

_SET_DEATH_SIGNAL = 1
# Windows has no such signal, and none of the calls that take it; its children watch their parent
_KILLED = getattr(signal, "SIGKILL", signal.SIGTERM)
_POLL_SECONDS = 0.5


def environment_of_child(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment for a child that calls `tie_to_parent`; nothing is imported from the folder it is started in."""
    given = os.environ if environment is None else environment
    return {**given, "PYTHONSAFEPATH": "1", PARENT: str(os.getpid())}


def tie_to_parent(parent: int | None = None) -> None:
    """End this process when its parent does: to be called first of all in a child.

    Args:
        parent: number of the parent; None = what its environment says, and nothing happens where it says nothing.
    """
    told = os.environ.pop(PARENT, "")
    parent = parent if parent is not None else int(told) if told.isdecimal() else None
    if parent is None:
        return
    if not _killed_with_parent():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # it may have ended before the kernel was asked
    if os.getppid() != parent:
        os._exit(128 + signal.SIGTERM)


def tied(command: Sequence[str]) -> list[str]:
    """A command line that runs a program of others, which ends with this process, and so do its own children.

    On Windows, which has no sessions and no groups of processes, it is the command itself.
    """
    if os.name != "posix":
        return list(command)
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *command]


def _killed_with_parent(number: int = _KILLED) -> bool:
    """Ask the kernel for a signal at the parent's end; False where there is no such thing (not Linux)."""
    try:
        return ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, int(number), 0, 0, 0) == 0
    except (AttributeError, OSError, TypeError):
        return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(128 + signal.SIGTERM)


def _guard(parent: int, command: Sequence[str]) -> int:
    """Run a command in a session of its own, and end all of it with the parent; returns its exit code."""
    process: subprocess.Popen[bytes] | None = None
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        # it may be about to start
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, _KILLED)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    if not _killed_with_parent(signal.SIGTERM):
        threading.Thread(target=_watch_and_stop, args=(parent,), daemon=True).start()
    if stopped or os.getppid() != parent:
        return 128 + signal.SIGTERM
    try:
        # one thread: nothing is lost between fork and exec
        process = subprocess.Popen(command, start_new_session=True, preexec_fn=_killed_with_parent)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    if stopped:
        stop(stopped[0], None)
    code = process.wait()
    return 128 + stopped[0] if stopped else code if code >= 0 else 128 - code


def _watch_and_stop(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(_guard(int(sys.argv[1]), sys.argv[2:]))
