"""Reading of foreign JSON with limits of size, digits and nesting."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from ...errors import ArtifactError, MambaProError
from ..files.open_files import read_limited
from ..foreign_text import shown_text

#: Default limit of a JSON file in bytes.
LARGEST = 64 * 2**20
#: Most digits of an integer; 64 bits have 19.
_DIGITS = 1000


def read_json(
    path: str | os.PathLike[str],
    what: str = "file",
    kind: type[MambaProError] = ArtifactError,
    *,
    limit: int = LARGEST,
    advice: str = "Copy it again.",
    unique: bool = False,
) -> Any:
    """Read the value in a JSON file of at most `limit` bytes; `what` and `advice` are used in the message.

    With `unique` an object with one key twice is an error; otherwise the last one counts.

    Raises:
        kind: missing, no regular file, too large, or not JSON.
    """
    content = read_limited(path, limit, what, kind)
    try:
        return parse_json(content, unique)
    except ValueError as error:
        raise kind(
            f"The {what} {shown_text(path)} cannot be read: it is not JSON ({shown_text(error)}). {advice}"
        ) from error


def parse_json(text: str | bytes, unique: bool = False) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: not JSON, nested too deep, with an integer of too many digits, or with a key twice if `unique`.
    """
    try:
        return json.loads(text, parse_int=_whole, object_pairs_hook=_once if unique else None)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _whole(digits: str) -> int:
    # the time to parse a number grows with the square of its digits
    if len(digits) > _DIGITS:
        raise ValueError(f"it holds a whole number of {len(digits):,} digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise ValueError(f"an object has {len(twice):,} keys twice, such as {shown_text(twice[0], 60)}")
    return values
