"""Reading of foreign TOML: limits of size and line length bound the time of parsing and display."""

from __future__ import annotations

import os
import sys
from typing import Any

from ...errors import InputError
from ..files.open_files import read_limited
from ..foreign_text import shown_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Bytes of a file, and characters of a line: a key of n parts costs memory that grows with the square of n.
LARGEST, LONGEST_LINE = 2**16, 1000


def read_toml(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """Read the table in a TOML file; `what` is the role of the file for the message, such as "recipe".

    Raises:
        InputError: missing, no regular file, beyond a limit, or not TOML.
    """
    text = read_text(path, what, LARGEST)
    try:
        return parse_toml(text)
    except ValueError as error:
        raise _unreadable(path, what, error) from error


def read_text(path: str | os.PathLike[str], what: str, largest: int) -> str:
    """Return the text of a file of at most `largest` bytes.

    Raises:
        InputError: missing, no regular file, larger, or not UTF-8.
    """
    try:
        return read_limited(path, largest, what).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(path, what, error) from error


def _unreadable(path: str | os.PathLike[str], what: str, error: ValueError) -> InputError:
    yaml = " It has the name of a YAML file, and must be TOML." if str(path).endswith((".yml", ".yaml")) else ""
    return InputError(f"The {what} {shown_text(path)} cannot be read: {shown_text(error).rstrip('.')}.{yaml}")


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML text.

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
