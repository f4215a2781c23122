"""Checks of the fields of records in a bundle."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from ...common.foreign_text import shown_value
from ...errors import InputError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def one_of(what: str, value: str, allowed: Iterable[str]) -> None:
    """Raise InputError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise InputError(f"{what} must be one of {', '.join(allowed)}, not {shown_value(value)}.")


def require_sha256(what: str, value: str) -> None:
    """Raise InputError unless `value` is a SHA-256 in hexadecimal digits."""
    if not _SHA256.fullmatch(value):
        raise InputError(f"{what} must be 64 lower-case hexadecimal digits, not {shown_value(value)}.")


def check_file_name(name: str) -> None:
    """Raise InputError unless `name` is a plain relative path with forward slashes that stays inside its folder."""
    plain = name and "\\" not in name and ":" not in name and name.isprintable()
    if not plain or PurePosixPath(name).is_absolute() or any(part in ("", ".", "..") for part in name.split("/")):
        raise InputError(f"the file name {name!r} must be relative and stay inside the bundle.")
