"""Free memory of the machine and its container, and memory of this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")


@dataclass(frozen=True)
class ControlGroup:
    """Files with the memory limit of a container and its use.

    Attributes:
        folder: of the files.
        limit, used: names of files that hold one number of bytes, or a word for no limit.
        cache: lines of memory.stat with the file cache, which the kernel frees on demand.
    """

    folder: Path
    limit: str
    used: str
    cache: tuple[str, ...]

    def free(self) -> int | None:
        """Return the bytes that are free, None where there is no limit or no such container."""
        most, now = _number(self.folder / self.limit), _number(self.folder / self.used)
        if most is None or now is None:
            return None
        parts = proc_fields(self.folder / "memory.stat", " ")
        cached = sum(int(parts[name]) for name in self.cache if parts.get(name, "").isdigit())
        # the files are read one after the other, so the parts may be more than the whole
        return max(0, most - max(0, now - cached))


#: Version 2 of control groups, then version 1.
_GROUPS = (
    ControlGroup(Path("/sys/fs/cgroup"), "memory.max", "memory.current", ("inactive_file", "active_file")),
    ControlGroup(
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)


def free_memory() -> int | None:
    """Return the free bytes, the smaller of the machine's and the container's; None where they are not known."""
    limits = (proc_bytes(MEMINFO, "MemAvailable"), *(group.free() for group in _GROUPS))
    return min((value for value in limits if value is not None), default=None)


def resident_memory() -> int | None:
    """Return the bytes of resident memory of this process now; None where they are not known."""
    return proc_bytes(STATUS, "VmRSS")


def peak_memory() -> int | None:
    """Return the largest resident memory of this process in bytes; None where it is not known."""
    # getrusage is second: there a new process starts with what its parent held
    if peak := proc_bytes(STATUS, "VmHWM"):
        return peak
    try:
        import resource
    except ImportError:
        return None
    # kibibytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def proc_fields(file: Path, separator: str = ":") -> dict[str, str]:
    """Read lines of a name and a value; of repeated names the first counts. Empty where the file cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    parts = (line.partition(separator) for line in reversed(lines) if separator in line)
    return {name.strip(): value.strip() for name, _, value in parts}


def proc_bytes(file: Path, name: str) -> int | None:
    """Read a line such as `VmHWM:  1234 kB` in bytes; None where there is none."""
    number, _, unit = proc_fields(file).get(name, "").partition(" ")
    return int(number) * 1024 if unit == "kB" and number.isdigit() else None


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None
