"""How much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

from ..errors import SetupError

_MEMINFO = Path("/proc/meminfo")
#: A container's own limit, and what it uses of it; version 2 of control groups, then version 1.
_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def available_memory() -> int | None:
    """Bytes that can be had, the smaller of the machine's and the container's; None where the system does not tell."""
    found = [value for value in (_of_machine(), *(_of_container(*pair) for pair in _LIMITS)) if value is not None]
    return max(0, min(found)) if found else None


def _of_machine() -> int | None:
    for line in _text(_MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _of_container(limit: Path, used: Path) -> int | None:
    most, now = _text(limit).strip(), _text(used).strip()
    return int(most) - int(now) if most.isdigit() and now.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def require_memory(needed: int, what: str) -> int | None:
    """What is available, or SetupError where it is less than `needed` bytes for `what`."""
    available = available_memory()
    if available is not None and available < needed:
        raise SetupError(
            f"{what} needs about {needed / 2**30:.1f} GiB of memory; {available / 2**30:.1f} GiB are available. Close "
            "other programs, or calibrate on a larger machine: the table of scales can be used anywhere."
        )
    return available
