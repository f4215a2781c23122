"""Reading TOML of others: short files of short lines, so that neither parsing nor showing a value takes long."""

from __future__ import annotations

import os
from typing import Any

import tomllib

from ...errors import InputError
from ..files.open_files import read_limited
from ..foreign_text import shown_text

#: Bytes of a file, and characters of a line: a key of n parts costs memory that grows with the square of n.
LARGEST, LONGEST_LINE = 2**16, 1000


def read_toml(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """The table in a TOML file; `what` is the file's part in the message, such as "recipe".

    Raises:
        InputError: missing, no regular file, beyond a limit, or not TOML.
    """
    content = read_limited(path, LARGEST, what)
    try:
        return parse_toml(content.decode("utf-8"))
    except ValueError as error:
        raise InputError(f"The {what} {shown_text(path)} cannot be read: {shown_text(error).rstrip('.')}.") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        ValueError: not TOML, a line that is too long, nested too deep, or a number of too many digits.
    """
    longest = max(map(len, text.splitlines()), default=0)
    if longest > LONGEST_LINE:
        raise ValueError(f"a line has {longest:,} characters; at most {LONGEST_LINE:,} are read")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
