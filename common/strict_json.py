"""Frozen dataclasses to and from JSON, strictly: every unknown, missing or wrong-typed field is named."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

#: Types of a class's fields; finding them takes longer than reading an object.
_hints = functools.cache(get_type_hints)

#: Metadata of a field that is no part of the JSON value.
NOT_STORED: dict[str, object] = {"stored": "never"}
#: Metadata of a field that came later: it is written where it is not empty, so that older values stay what they were.
STORED_IF_SET: dict[str, object] = {"stored": "if set"}

_JSON_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
#: Lines that one file may fill: what is wrong in every entry of a long list is known after so many.
_MOST_PROBLEMS = 1000
#: Of whole numbers; the largest that 64 bits hold.
_LARGEST = 2**63 - 1


def decode(cls: type[T], value: object, path: str, problems: list[str]) -> T | None:
    """Build the dataclass `cls` from the JSON value; what is wrong is appended to `problems`, one line each.

    Returns None where anything in it was wrong, so that one pass finds every problem. A ValueError of the class itself
    (a check in `__post_init__`) counts as a problem too.
    """
    if not isinstance(value, dict):
        problems.append(f"{path or 'the file'} must be an object, not {_show(value)}")
        return None
    before = len(problems)
    known = {f.name: f for f in fields(cls) if f.metadata.get("stored") != "never"}  # type: ignore[arg-type]
    hints = _hints(cls)  # type: ignore[arg-type]
    problems.extend(f"{_join(path, name)} is unknown" for name in value if name not in known)
    arguments = {}
    for name, field in known.items():
        if name in value:
            arguments[name] = _value(hints[name], value[name], _join(path, name), problems)
        elif field.default is MISSING and field.default_factory is MISSING:
            problems.append(f"{_join(path, name)} is missing")
    if len(problems) > before:
        return None
    try:
        return cls(**arguments)
    except ValueError as error:
        problems.append(f"{path}: {error}" if path else str(error))
        return None


def encode(value: Any) -> Any:
    """The plain JSON value (dicts, lists, scalars) of a dataclass, tuple, list or dict."""
    if is_dataclass(value):
        pairs = ((field.metadata.get("stored"), field.name, getattr(value, field.name)) for field in fields(value))
        return {name: encode(item) for when, name, item in pairs if when is None or (when == "if set" and item)}
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def _value(hint: Any, value: object, path: str, problems: list[str]) -> Any:
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(hint, value, path, problems)
    if origin is tuple:
        return _tuple(get_args(hint), value, path, problems)
    if origin is dict:
        return _dict(get_args(hint)[1], value, path, problems)
    if is_dataclass(hint):
        return decode(hint, value, path, problems)  # type: ignore[arg-type]
    if not _is_scalar(hint, value):
        problems.append(f"{path} must be {_wanted(hint, value)}, not {_show(value)}")
        return None
    return float(value) if hint is float else value  # type: ignore[arg-type]


def _union(hint: Any, value: object, path: str, problems: list[str]) -> Any:
    choices = get_args(hint)
    for choice in choices:
        if choice in _JSON_NAMES and _is_scalar(choice, value):
            return value
    compound = [choice for choice in choices if choice not in _JSON_NAMES]
    if compound:
        return _value(compound[0], value, path, problems)
    names = " or ".join(_wanted(choice, value) if choice in (int, float) else _JSON_NAMES[choice] for choice in choices)
    problems.append(f"{path} must be {names}, not {_show(value)}")
    return None


def _tuple(hints: tuple[Any, ...], value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, list):
        problems.append(f"{path} must be a list, not {_show(value)}")
        return None
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(value)
    elif len(hints) != len(value):
        problems.append(f"{path} must have {len(hints)} entries, not {len(value)}")
        return None
    found = []
    for i, (hint, item) in enumerate(zip(hints, value, strict=True)):
        found.append(_value(hint, item, f"{path}[{i}]", problems))
        if len(problems) > _MOST_PROBLEMS:
            break
    return tuple(found)


def _dict(hint: Any, value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{path} must be an object, not {_show(value)}")
        return None
    return {name: _value(hint, item, _join(path, name), problems) for name, item in value.items()}


def _is_scalar(hint: Any, value: object) -> bool:
    # bool is an int to Python, and neither is a number to the reader of a JSON file.
    if isinstance(value, bool):
        return hint is bool
    if isinstance(value, int | float) and not _fits(value):
        return False
    return isinstance(value, int | float) if hint is float else isinstance(value, hint)


def _fits(value: int | float) -> bool:
    """Python reads NaN, Infinity and whole numbers of any length, which JSON has not or nobody can compute with."""
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= _LARGEST


def _wanted(hint: Any, value: object) -> str:
    if isinstance(value, int | float) and not _fits(value):
        return "a finite number" if isinstance(value, float) else f"a number of at most {_LARGEST}"
    return _JSON_NAMES[hint]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _show(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:
        # Python writes no whole number of more than some thousand digits
        text = f"a {type(value).__name__} of very many digits"
    return text if len(text) <= 40 else text[:37] + "..."


def first_lines(lines: list[str], most: int = 10) -> Iterator[str]:
    """The first `most` lines, and how many more there are."""
    yield from lines[:most]
    if len(lines) > most:
        yield f"... and {len(lines) - most} more"
