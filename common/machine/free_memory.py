"""How much memory this process may still take: the machine's, and that of the container around it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class ControlGroup:
    """Where a container is told its limit, what it uses of it, and what that is made of.

    Attributes:
        folder: of the files.
        limit, used: names of files that hold one number of bytes, or a word for no limit.
        cache: lines of memory.stat: files that were read or written and stay in memory until somebody wants the room.
    """

    folder: Path
    limit: str
    used: str
    cache: tuple[str, ...]

    def free(self) -> int | None:
        """Bytes that can be had, None where there is no limit or no such container."""
        most, now = _number(self.folder / self.limit), _number(self.folder / self.used)
        if most is None or now is None:
            return None
        parts = _table(self.folder / "memory.stat", " ")
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
    """Bytes that can be had, the smaller of the machine's and the container's; None where the system does not tell."""
    found = [value for value in (_of_machine(), *(group.free() for group in _GROUPS)) if value is not None]
    return min(found) if found else None


def _of_machine() -> int | None:
    words = _table(_MEMINFO, ":").get("MemAvailable", "").split()
    return int(words[0]) * 1024 if words and words[0].isdigit() else None


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _table(file: Path, between: str) -> dict[str, str]:
    """Lines of a name and a value."""
    parts = (line.partition(between) for line in _text(file).splitlines())
    return {name.strip(): value.strip() for name, _, value in parts}


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
