"""Check of the host memory for calibration."""

from __future__ import annotations

from ..common.machine.memory import free_memory
from ..errors import SetupError


def require_memory(needed: int, what: str) -> int | None:
    """Return the available bytes; raise SetupError if they are fewer than `needed` for `what`."""
    available = free_memory()
    if available is not None and available < needed:
        raise SetupError(
            f"{what} needs about {needed / 2**30:.1f} GiB of memory; {available / 2**30:.1f} GiB are available. Close "
            "other programs, or calibrate on a larger machine: the table of scales can be used anywhere."
        )
    return available
