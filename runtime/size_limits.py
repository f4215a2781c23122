"""How much one file of others may hold once it is read, and the one option that allows more."""

from __future__ import annotations

import math
import os

from ..errors import InputError
from .foreign_text import shown_text

#: The variable of the environment that raises all these limits, in GiB; it works for commands and for the library.
VARIABLE = "MAMBAPRO_MAX_GIB"
#: How a message ends that refuses a size.
ADVICE = f"If the file is meant to be that large, set {VARIABLE} to so many GiB."


def size_limit(default: int) -> int:
    """Bytes that may be read from one file, or be asked for by it: `default`, or more where MAMBAPRO_MAX_GIB says so.

    Raises:
        InputError: the variable is no positive number.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 2**20:
        raise InputError(f"{VARIABLE} is {shown_text(text, 40)!r}; it must be a positive number of GiB, such as 16.")
    return max(default, int(value * 2**30))
