"""Environment variables that hold a number."""

from __future__ import annotations

import math
import os

from ...errors import InputError
from ..foreign_text import shown_text


def positive_number(variable: str, most: float, meaning: str) -> float | None:
    """Return the number in an environment variable, None if it is not set or empty.

    Args:
        variable: its name.
        most: the largest accepted value.
        meaning: its unit, with an example, for the message.

    Raises:
        InputError: no number above 0 and of at most `most`.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # written so that NaN fails
    if not 0 < value <= most:
        raise InputError(f"{variable} is {shown_text(text, 40)!r}; it must be a positive number of {meaning}.")
    return value
