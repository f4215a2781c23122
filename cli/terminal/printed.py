"""Printed form of reports: text for people, JSON for programs."""

from __future__ import annotations

import json
import math

from ...common.foreign_text import escaped

#: Longest printed string: more than the longest path of a system.
LONGEST_VALUE = 5000


def printed_text(report: object) -> str:
    """Return a report as text: line breaks stay, control characters are escaped, very long words are cut."""
    lines = escaped(str(report), keep="\n").split("\n")
    return "\n".join(line if len(line) <= LONGEST_VALUE else _cut(line) for line in lines)


def printed_json(value: object) -> str:
    """Return a report as ASCII JSON, valid in every locale, with every control character escaped.

    A surrogate of an undecodable byte of a file name becomes its escape (Python restores it), a number that is not
    finite becomes null, and a string beyond 5,000 letters is cut.
    """
    return json.dumps(_printable(value), indent=2, allow_nan=False).replace("\x7f", "\\u007f")


def _printable(value: object) -> object:
    if isinstance(value, dict):
        return {_printable(key): _printable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return _cut(value)
    return value


def _cut(text: str) -> str:
    return f"{text[:LONGEST_VALUE]}... ({len(text) - LONGEST_VALUE} more characters)"
