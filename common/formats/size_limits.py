"""Size limits of foreign files, and the environment variable that raises them."""

from __future__ import annotations

from ..machine.variables import positive_number

#: Environment variable that raises all these limits, in GiB, for commands and the library.
VARIABLE = "MAMBAPRO_MAX_GIB"
#: End of a message that rejects a size.
ADVICE = f"If the file is meant to be that large, set {VARIABLE} to so many GiB."


def size_limit(default: int) -> int:
    """Return the bytes that one file may have or request: `default`, or more if MAMBAPRO_MAX_GIB is set.

    Raises:
        InputError: the variable is no positive number.
    """
    asked = positive_number(VARIABLE, 2**20, "GiB, such as 16")
    return default if asked is None else max(default, int(asked * 2**30))
