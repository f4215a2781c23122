"""Valid ranges of numbers in recipes and checkpoint configs; values outside are mistakes or attacks."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...common.foreign_text import shown_value
from ...errors import InputError


class Range(NamedTuple):
    """Smallest and largest value, both allowed; `whole` restricts to integers."""

    low: float
    high: float
    whole: bool = True


def check_range(name: str, value: Any, allowed: Range) -> None:
    """Check that a number lies in its range.

    Raises:
        InputError: not a number, NaN, infinite or outside.
    """
    # NaN is in no range
    kinds = (int,) if allowed.whole else (int, float)
    if type(value) not in kinds or not allowed.low <= value <= allowed.high:
        kind = "a whole number" if allowed.whole else "a number"
        ends = f"from {_written(allowed.low)} to {_written(allowed.high)}"
        raise InputError(f"{name} must be {kind} {ends}, not {shown_value(value, 80)}.")


def _written(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
