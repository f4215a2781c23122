"""Memory limit for the first use of a foreign graph, which could otherwise exhaust the memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import ArtifactError
from ..formats.size_limits import VARIABLE, size_limit
from .memory import STATUS, proc_bytes

#: Bytes for any graph; for each byte of a model, each sample, and the stack and the buffers of each processor's thread.
_LEAST, _PER_BYTE, _PER_SAMPLE, _PER_CPU = 4 << 30, 8, 256 << 20, 16 << 20
#: Texts in libraries' errors about missing memory.
_WORDS = ("bad_alloc", "bad allocation", "failed to allocate", "cannot allocate", "out of memory")

_lock = threading.Lock()
_users = 0
_before: tuple[int, int] | None = None


@contextmanager
def bounded(size: int, batch: int, what: str) -> Iterator[None]:
    """Limit the additional memory of this process during the block; `what` is used in the message.

    The kernel enforces the limit for all threads of the process; it is removed when the last such block ends. Only
    Linux supports this: elsewhere, and with a limit set by the user, nothing happens.

    Args:
        size: bytes of the model's file.
        batch: samples of the run; 0 where the model is only loaded.

    Raises:
        ArtifactError: a library got no memory.
        Whatever is raised in the block.
    """
    budget = size_limit(_LEAST + _PER_BYTE * size + _PER_SAMPLE * batch + _PER_CPU * (os.cpu_count() or 1))
    held = _begin(budget)
    try:
        yield
    except Exception as error:
        if held and (isinstance(error, MemoryError) or any(word in str(error).lower() for word in _WORDS)):
            raise ArtifactError(
                f"{what} asks for more than {budget / 2**30:.0f} GiB of memory, its budget, or for more than there is. "
                f"Where the model is yours, set {VARIABLE} to so many GiB."
            ) from error
        raise
    finally:
        if held:
            _end()


def _begin(budget: int) -> bool:
    """Set the limit unless another block has; return False where unsupported."""
    global _users, _before
    with _lock:
        if _users == 0:
            _before = _set(budget)
        if _before is None:
            return False
        _users += 1
        return True


def _end() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            _restore()


def _set(budget: int) -> tuple[int, int] | None:
    """Set the limits; return the previous ones, None if nothing was set."""
    # what counts against the limit now
    used = proc_bytes(STATUS, "VmData")
    try:
        import resource
    except ImportError:
        # Windows
        return None
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    limited = {limits[0], resource.getrlimit(resource.RLIMIT_AS)[0]} != {resource.RLIM_INFINITY}
    if limited or not used:
        return None
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (used + budget, limits[1]))
    except (OSError, ValueError):
        return None
    return limits


def _restore() -> None:
    global _before
    if _before is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, _before)
    _before = None


def _after_fork() -> None:
    """Remove the inherited limit in a child, which is outside the block."""
    global _lock, _users
    _lock, _users = threading.Lock(), 0
    _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
