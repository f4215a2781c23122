"""Child processes that end with their parent.

A child of ours gets its parent's process id and asks the kernel to be killed with it. A foreign program (a compiler)
runs under a small process of ours that does the same for it and its children.
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

#: Environment variable with the process id of the parent.
PARENT = "MAMBAPRO_PARENT"

_SET_DEATH_SIGNAL = 1
# Windows has no such signal; its children watch their parent
_KILLED = getattr(signal, "SIGKILL", signal.SIGTERM)
_POLL_SECONDS = 0.5


def environment_of_child(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for a child that calls `tie_to_parent`; the working directory is not on its path."""
    base = os.environ if environment is None else environment
    return {**base, "PYTHONSAFEPATH": "1", PARENT: str(os.getpid())}


def tie_to_parent(parent: int | None = None) -> None:
    """End this process with its parent; call first in a child.

    Args:
        parent: process id of the parent; None = from the environment, without effect if it is not set.
    """
    number_text = os.environ.pop(PARENT, "")
    parent = parent if parent is not None else int(number_text) if number_text.isdecimal() else None
    if parent is None:
        return
    if not _killed_with_parent():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # it may have ended before the request
    if os.getppid() != parent:
        os._exit(128 + signal.SIGTERM)


def tied(command: Sequence[str]) -> list[str]:
    """Return a command line for a foreign program that ends with this process, including its children.

    On Windows, which has no sessions and process groups, it is the command itself.
    """
    if os.name != "posix":
        return list(command)
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *command]


def _killed_with_parent(number: int = _KILLED) -> bool:
    """Request a signal at the parent's end; False where this is unsupported (not Linux)."""
    try:
        return ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, int(number), 0, 0, 0) == 0
    except (AttributeError, OSError, TypeError):
        return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(128 + signal.SIGTERM)


def _guard(parent: int, command: Sequence[str]) -> int:
    """Run a command in a session of its own, and end all of it with the parent; return its exit code."""
    process: subprocess.Popen[bytes] | None = None
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        """End the session."""
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
