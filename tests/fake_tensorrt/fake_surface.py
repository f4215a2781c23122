"""Holds a fake TensorRT to the listing of a real one: what the real bindings lack cannot be used by accident.

    trt = fake_module("10.3", {"Runtime": Runtime, "get_plugin_registry": lambda: registry})

`trt` is a module whose enumerations come from the listing. Every attribute that the listing does not have is an
AttributeError, as in the real bindings; one that it has and the fake lacks is a NotImplementedError, so that a test
cannot take the one for the other. Calls whose number or names of arguments the listing does not know are a TypeError.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).with_name("surfaces")
#: Generation -> file of its listing.
GENERATIONS = {path.stem.split("-", 1)[1] if "_rtx" not in path.stem else "rtx": path for path in FOLDER.glob("*.json")}


@cache
def listing(generation: str) -> dict[str, Any]:
    """What `list_surface.py` wrote for "10.3", "10.12", "11.4" or "rtx"."""
    return json.loads(GENERATIONS[generation].read_text(encoding="utf-8"))


def members(generation: str, name: str) -> dict[str, list[str] | None]:
    """Members of a class, those of its bases included; a method has its signatures, anything else None."""
    classes = listing(generation)["classes"]
    found: dict[str, list[str] | None] = {}
    for base in classes[name]["bases"]:
        if base in classes:
            found |= members(generation, base)
    return found | classes[name]["members"]


class Module(ModuleType):
    """A module with the names of a listing."""

    def __init__(self, generation: str, parts: Mapping[str, Any], version: str | None = None) -> None:
        said = listing(generation)
        super().__init__(said["module"])
        self.__version__ = version or said["version"]
        self._generation = generation
        for name, kind in said["classes"].items():
            if "values" in kind:
                setattr(self, name, enumeration(name, kind["values"]))
        for name, part in parts.items():
            if name not in said["classes"] and name not in said["functions"]:
                raise AttributeError(f"{said['module']} {said['version']} has no {name}")
            setattr(self, name, held(generation, part, name) if isinstance(part, type) else part)

    def __getattr__(self, name: str) -> Any:
        said = listing(self._generation)
        text = f"{said['module']} {said['version']}"
        if name.startswith("_") or not (name in said["classes"] or name in said["functions"]):
            raise AttributeError(f"{text} has no {name}")
        raise NotImplementedError(f"{text} has {name}, the fake does not")


def fake_module(generation: str, parts: Mapping[str, Any], version: str | None = None) -> Module:
    """A module of a generation made of `parts`, classes and functions by their name in the listing.

    Raises:
        AttributeError: a part that the real module does not have.
    """
    return Module(generation, parts, version)


def enumeration(name: str, values: Mapping[str, int]) -> type[enum.IntEnum]:
    """An enumeration; names of one value are one member, as in the bindings."""
    return enum.IntEnum(name, dict(values))


def held(generation: str, implementation: type, name: str | None = None) -> type:
    """The class with the members that the listing has alone; names with an underscore are the fake's own.

    What an implementation has for other generations is hidden. `name` is that of the listing, if it is another.
    """
    listed = name or implementation.__name__
    allowed = members(generation, listed)
    nested = listing(generation)["classes"][listed]
    where = f"{listing(generation)['module']} {listing(generation)['version']}"

    class Held(implementation):  # type: ignore[misc, valid-type]
        def __getattribute__(self, attribute: str) -> Any:
            if attribute.startswith("_"):
                return super().__getattribute__(attribute)
            if attribute not in allowed and attribute not in nested.get("values", ()):
                # a logger or plugin in Python derives from the bindings' class and brings what it likes
                if type(self) is not Held:
                    return super().__getattribute__(attribute)
                raise AttributeError(f"{where}: {listed} has no {attribute}")
            try:
                value = super().__getattribute__(attribute)
            except AttributeError:
                raise NotImplementedError(f"{where} has {listed}.{attribute}, the fake does not") from None
            forms = allowed[attribute]
            return checked(value, forms, f"{listed}.{attribute}") if forms and callable(value) else value

        def __setattr__(self, attribute: str, value: Any) -> None:
            strange = not attribute.startswith("_") and attribute not in allowed
            if strange and type(self) is Held:
                raise AttributeError(f"{where}: {listed} has no {attribute} to set")
            super().__setattr__(attribute, value)

    Held.__name__ = Held.__qualname__ = listed
    return Held


def checked(function: Callable[..., Any], forms: list[str], what: str) -> Callable[..., Any]:
    """The function, for calls that fit one of the signatures."""

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if not any(_fits(form, len(arguments), set(named)) for form in forms):
            given = [*("_" * len(arguments)), *(f"{name}=" for name in named)]
            raise TypeError(f"{what}({', '.join(given)}) fits none of {forms}")
        return function(*arguments, **named)

    return call


def _fits(form: str, positional: int, named: set[str]) -> bool:
    if "*args" in form:
        return True
    parameters = [part.strip() for part in form.split(",") if part.strip()]
    names = [parameter.rstrip("=") for parameter in parameters]
    needed = {parameter for parameter in parameters[positional:] if not parameter.endswith("=")}
    return positional <= len(names) and named <= set(names[positional:]) and needed <= named
