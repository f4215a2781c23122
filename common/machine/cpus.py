"""The processors that this process may use."""

from __future__ import annotations

import logging
import operator
import os

from ...errors import InputError
from ..foreign_text import shown_text

logger = logging.getLogger("mambapro")


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads(asked: int | None) -> int | None:
    """Return the number of threads to request: `asked`, limited to the CPUs with a warning. None stays None.

    More threads than CPUs wait for one another: two hundred on two CPUs were 250 times slower.

    Raises:
        InputError: not a whole number of at least 1.
    """
    if asked is None:
        return None
    threads, cpus = whole_number("threads", asked), usable_cpus()
    if threads > cpus:
        logger.warning("%d threads were asked for; this process may use %d CPUs, so it takes %d.", threads, cpus, cpus)
    return min(threads, cpus)


def whole_number(name: str, value: object) -> int:
    """Return an integer of at least 1, also of NumPy's types.

    Raises:
        InputError: anything else.
    """
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{name} must be a whole number, at least 1, or left out, not {shown_text(repr(value))}.")
    return int(number)
