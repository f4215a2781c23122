"""Limit on open files; a data loader whose worker processes reach it hangs."""

from __future__ import annotations

from pathlib import Path

from ...errors import SetupError

#: Pipes, semaphores and the batches on their way; measured with 1 and 4 workers: 15 and 39 open files in all.
_EACH_WORKER, _OTHERS = 10, 16
_OPEN = Path("/proc/self/fd")


def require_open_files(workers: int) -> None:
    """Raise the soft limit on open files to what `workers` loader processes need.

    Raises:
        SetupError: the hard limit is too low; the message gives it.
    """
    try:
        import resource
    except ImportError:
        # Windows
        return
    if not workers:
        return
    opened = len(list(_OPEN.iterdir())) if _OPEN.is_dir() else _OTHERS
    needed = opened + workers * _EACH_WORKER + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard == resource.RLIM_INFINITY or hard >= needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return
    raise SetupError(
        f"{workers} worker processes need about {needed} open files, and the limit is {hard} (ulimit -n). Raise it, or "
        "load the images with fewer: --set workers=0."
    )
