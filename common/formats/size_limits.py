"""How much one file of others may hold once it is read, and the one option that allows more."""

from __future__ import annotations

from ..machine.variables import positive_number

#: The variable of the environment that raises all these limits, in GiB; it works for commands and for the library.
VARIABLE = "MAMBAPRO_MAX_GIB"
#: How a message ends that refuses a size.
ADVICE = f"If the file is meant to be that large, set {VARIABLE} to so many GiB."


def size_limit(default: int) -> int:
    """Bytes that may be read from one file, or be asked for by it: `default`, or more where MAMBAPRO_MAX_GIB says so.

    Raises:
        InputError: the variable is no positive number.
    """
    asked = positive_number(VARIABLE, 2**20, "GiB, such as 16")
    return default if asked is None else max(default, int(asked * 2**30))
