"""Recipes from TOML files, the published ones by name, with changes of single fields: `solver.epochs=30`."""

from __future__ import annotations

import dataclasses
import importlib
import os
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import tomllib

from ...common.foreign_text import escaped, shown_text, shown_value
from ...common.formats.toml_files import parse_toml, read_toml
from ...errors import InputError
from ...runtime.bundle.tasks import ATTRIBUTES, RE_IDENTIFICATION
from .recipe import Recipe
from .training_config import TrainConfig

#: Longest name that is compared with the known ones; the search time grows with its length.
_LONGEST_NAME = 100
#: Parts of a field's name.
_DEEPEST = 5

#: Longest chain of recipes that are each based on another.
_LONGEST_CHAIN = 5

FOLDER = Path(__file__).parent / "recipes"
#: Recipe by task: the class, or the module of this package and the class in it, imported when a recipe is read.
RECIPES: dict[str, type[Recipe] | tuple[str, str]] = {
    RE_IDENTIFICATION: TrainConfig,
    ATTRIBUTES: ("train.attributes.attribute_recipe", "AttributeRecipe"),
}
R = TypeVar("R", bound=Recipe)


def recipe_names() -> list[str]:
    """Return the names of the packaged recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(
    source: str | os.PathLike[str],
    changes: Iterable[str] = (),
    task: str | None = None,
    kind: type[R] = Recipe,  # type: ignore[assignment]
) -> R:
    """Load a recipe by name or from a TOML file and change fields.

    A file may be based on a packaged recipe: `base = "vim_s"`; its own fields replace those.

    Args:
        source: a name of `recipe_names`, or the path of a file.
        changes: "field.path=value"; values as in TOML, a bare word is a string, `none` unsets.
        task: of a file that names none, else re-identification.
        kind: class of the recipe that the caller needs.

    Raises:
        InputError: no such recipe, a file that is not TOML, an unknown field (the nearest is named), a wrong type, a
            recipe of another task.
    """
    values = _read(source)
    if task is not None and values.setdefault("task", task) != task:
        raise InputError(
            f"The recipe {shown_value(os.fspath(source))} is for {shown_text(values['task'], 60)}, not for {task}. "
            "Give another recipe, or leave out the task."
        )
    for change in changes:
        _apply(values, change)
    recipe = from_values(values)
    if not isinstance(recipe, kind):
        raise InputError(
            f"The recipe {shown_value(os.fspath(source))} is for {recipe.task}; this needs one for {kind.task}."
        )
    return recipe


def from_values(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from nested plain values as returned by `Recipe.to_json`.

    Raises:
        InputError: an unknown task or field, or a wrong type, by its path.
    """
    values = dict(values)
    return cast(Recipe, _build(_recipe_class(values.pop("task", RE_IDENTIFICATION)), values, ""))


def _recipe_class(task: object) -> type[Recipe]:
    entry = RECIPES.get(task) if isinstance(task, str) else None
    if entry is None:
        raise InputError(f"task must be one of {', '.join(RECIPES)}, not {shown_value(task, 80)}.")
    if isinstance(entry, tuple):
        package = __package__.split(".")[0]
        entry = RECIPES[str(task)] = getattr(importlib.import_module(f"{package}.{entry[0]}"), entry[1])
    return entry


def _read(source: str | os.PathLike[str], depth: int = 0) -> dict[str, Any]:
    """Return the values of a recipe over those of its base."""
    name = os.fspath(source)
    if name in recipe_names():
        values = read_toml(FOLDER / f"{name}.toml", "recipe")
        if "base" not in values:
            values.setdefault("task", RE_IDENTIFICATION)
    elif depth == 0 and os.path.lexists(name):
        values = read_toml(name, "recipe")
    else:
        raise _unknown(name)
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str) or depth == _LONGEST_CHAIN:
        raise InputError(f"base must be the name of a packaged recipe, not {shown_value(base, 80)}.")
    return _merged(_read(base, depth + 1), values)


def _unknown(name: str) -> InputError:
    near = get_close_matches(name[:_LONGEST_NAME], recipe_names(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(
        f"No training recipe is called {shown_value(name)}, and no file either; there are "
        f"{', '.join(recipe_names())}.{hint}"
    )


def _merged(base: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with those of `values` in place of their own."""
    for name, value in values.items():
        below = base.get(name)
        base[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return base


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
    names = {item.name: item.metadata.get("names", ()) for item in dataclasses.fields(kind)}
    return kind(**{name: _typed(hints[name], value, path + name, names[name]) for name, value in values.items()})


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _check_names(values: Mapping[str, Any], known: Iterable[str], path: str) -> None:
    for name in values:
        if name not in known:
            near = get_close_matches(str(name)[:_LONGEST_NAME], list(known), n=1)
            hint = f"did you mean {path}{near[0]}?" if near else f"allowed are {', '.join(known)}."
            raise InputError(f"The recipe has no field {escaped(path)}{shown_text(name, 60)}; {hint}")


def _typed(hint: Any, value: Any, path: str, names: Iterable[str] = ()) -> Any:
    """Convert `value` to the type of a field; whole numbers pass for floats, lists for tuples.

    `names` are those allowed in a table.

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
        return _overrides(value, path, names)
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return float(value)
    if type(value) is not hint:
        raise InputError(f"{escaped(path)} must be {_words(hint)}, not {shown_value(value, 80)}.")
    return value


def _overrides(value: Any, path: str, names: Iterable[str]) -> dict[str, Any]:
    """Return fields of the model's own config; the model checks their types."""
    if not isinstance(value, Mapping):
        raise InputError(f"{escaped(path)} must be a table of the model's fields, not {shown_value(value, 80)}.")
    _check_names(value, names, f"{path}.")
    return {name: tuple(one) if isinstance(one, list) else one for name, one in value.items()}


def _words(hint: Any) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(hint, str(hint))
