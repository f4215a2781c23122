"""Recipes from TOML files, the published ones by name, with changes of single fields: `solver.epochs=30`."""

from __future__ import annotations

import dataclasses
import os
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import tomllib

from ...common.foreign_text import escaped, shown_text, shown_value
from ...common.formats.toml_files import parse_toml, read_toml
from ...errors import InputError
from .training_config import OVERRIDES, TrainConfig

#: Longest name that is compared with the known ones; the search time grows with its length.
_LONGEST_NAME = 100
#: Parts of a field's name.
_DEEPEST = 5

FOLDER = Path(__file__).parent / "recipes"


def recipe_names() -> list[str]:
    """Return the names of the packaged recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(source: str | os.PathLike[str], changes: Iterable[str] = ()) -> TrainConfig:
    """Load a recipe by name or from a TOML file and change fields.

    Args:
        source: a name of `recipe_names`, or the path of a file.
        changes: "field.path=value"; values as in TOML, a bare word is a string, `none` unsets.

    Raises:
        InputError: no such recipe, a file that is not TOML, an unknown field (the nearest is named), a wrong type.
    """
    values = _read(source)
    for change in changes:
        _apply(values, change)
    return from_values(values)


def from_values(values: Mapping[str, Any]) -> TrainConfig:
    """Build a recipe from nested plain values as returned by `TrainConfig.to_json`.

    Raises:
        InputError: an unknown field or a wrong type, by its path.
    """
    return _build(TrainConfig, values, "")


def _read(source: str | os.PathLike[str]) -> dict[str, Any]:
    name = os.fspath(source)
    if name in recipe_names():
        return read_toml(FOLDER / f"{name}.toml", "recipe")
    if not os.path.lexists(name):
        near = get_close_matches(name[:_LONGEST_NAME], recipe_names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"No training recipe is called {shown_value(name)}, and no file either; there are "
            f"{', '.join(recipe_names())}.{hint}"
        )
    return read_toml(name, "recipe")


def _apply(values: dict[str, Any], change: str) -> None:
    """Write one "field.path=value" into nested values."""
    path, equals, text = change.partition("=")
    names = path.strip().split(".")
    if not equals or not all(names):
        raise InputError(f"{shown_value(change)} changes nothing; write field=value, such as solver.epochs=30.")
    if len(names) > _DEEPEST:
        raise InputError(f"{shown_value(change)}: no field has so many parts. Write for example solver.epochs=30.")
    table = values
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{shown_value(change)}: {shown_text(name, 60)} is a value, it has no fields.")
    table[names[-1]] = _value(text.strip(), change)


def _value(text: str, change: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        loaded = parse_toml(f"value = {text}")
    except tomllib.TOMLDecodeError:
        # a bare word: a shell eats the quotes a string would have in TOML
        return text
    except ValueError as error:
        raise InputError(f"{shown_value(change)} cannot be read: {shown_text(error)}.") from error
    if len(loaded) != 1:
        raise InputError(f"{shown_value(change)} is more than one change; give --set once for each.")
    return loaded["value"]


def _build(kind: type[Any], values: Any, path: str) -> Any:
    """Build a dataclass from plain values; `path` is its field path for messages."""
    if not isinstance(values, Mapping):
        raise InputError(f"{path.rstrip('.')} must be a table of fields, not {shown_value(values, 80)}.")
    hints = get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]
    _check_names(values, known, path)
    if required := [item.name for item in dataclasses.fields(kind) if _is_required(item) and item.name not in values]:
        raise InputError(f"The recipe lacks {', '.join(path + name for name in required)}.")
    return kind(**{name: _typed(hints[name], value, path + name) for name, value in values.items()})


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _check_names(values: Mapping[str, Any], known: Iterable[str], path: str) -> None:
    for name in values:
        if name not in known:
            near = get_close_matches(str(name)[:_LONGEST_NAME], list(known), n=1)
            hint = f"did you mean {path}{near[0]}?" if near else f"allowed are {', '.join(known)}."
            raise InputError(f"The recipe has no field {escaped(path)}{shown_text(name, 60)}; {hint}")


def _typed(hint: Any, value: Any, path: str) -> Any:
    """Convert `value` to the type of a field; whole numbers pass for floats, lists for tuples.

    Raises:
        InputError: another type.
    """
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{path}.")  # type: ignore[arg-type]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _typed(next(x for x in arguments if x is not type(None)), value, path)
    if origin is tuple:
        if isinstance(value, list | tuple) and len(value) == len(arguments):
            return tuple(_typed(one, part, path) for one, part in zip(arguments, value, strict=True))
        raise InputError(f"{escaped(path)} must be a list of {len(arguments)} values, not {shown_value(value, 80)}.")
    if origin is dict:
        return _overrides(value, path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return float(value)
    if type(value) is not hint:
        raise InputError(f"{escaped(path)} must be {_words(hint)}, not {shown_value(value, 80)}.")
    return value


def _overrides(value: Any, path: str) -> dict[str, Any]:
    """Return fields of the model's own config; the model checks their types."""
    if not isinstance(value, Mapping):
        raise InputError(f"{escaped(path)} must be a table of the model's fields, not {shown_value(value, 80)}.")
    _check_names(value, OVERRIDES, f"{path}.")
    return {name: tuple(one) if isinstance(one, list) else one for name, one in value.items()}


def _words(hint: Any) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(hint, str(hint))
