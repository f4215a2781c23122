"""Reading JSON of others: a size that was asked for, no endless numbers, no endless nesting."""

from __future__ import annotations

import json
import os
from typing import Any

from ...errors import ArtifactError, MambaProError
from ..files.open_files import read_limited
from ..foreign_text import shown_text

#: Bytes of a JSON file, where a caller says nothing else.
LARGEST = 64 * 2**20
#: Digits of a whole number; 64 bits have 19, and this many are read at once.
_DIGITS = 1000


def read_json(
    path: str | os.PathLike[str],
    what: str = "file",
    kind: type[MambaProError] = ArtifactError,
    *,
    limit: int = LARGEST,
    advice: str = "Copy it again.",
) -> Any:
    """The value in a JSON file of at most `limit` bytes; `what` and `advice` stand in the message.

    Raises:
        kind: missing, no regular file, too large, or not JSON.
    """
    content = read_limited(path, limit, what, kind)
    try:
        return parse_json(content)
    except ValueError as error:
        raise kind(
            f"The {what} {shown_text(path)} cannot be read: it is not JSON ({shown_text(error)}). {advice}"
        ) from error


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: not JSON, nested too deep, or with a whole number of more digits than anything has.
    """
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _whole(digits: str) -> int:
    # reading a number takes time that grows with the square of its digits
    if len(digits) > _DIGITS:
        raise ValueError(f"it holds a whole number of {len(digits):,} digits")
    return int(digits)
