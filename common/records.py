"""Records: frozen dataclasses to and from JSON values, validated strictly by pydantic.

Every unknown, missing or wrong-typed field is a problem with its path and value. Scalars are never converted, except
integers where a number is expected; NaN, infinity and integers of more than 64 bits are rejected.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..errors import ArtifactError
from .foreign_text import shown_text, shown_value

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails, SchemaValidator

T = TypeVar("T")

#: Metadata of a field that is not part of the JSON value.
NOT_STORED: dict[str, object] = {"stored": "never"}
#: Metadata of a field that came later: it is written where it is not its default, so that older values stay what they
#: were.
STORED_IF_SET: dict[str, object] = {"stored": "if set"}

#: Largest whole number of 64 bits.
_LARGEST = 2**63 - 1
_SCALARS: dict[str, tuple[str, dict[str, object]]] = {
    "str": ("a string", {}),
    "int": ("a whole number", {"ge": -_LARGEST, "le": _LARGEST}),
    "float": ("a number", {"allow_inf_nan": False}),
    "bool": ("true or false", {}),
    "none": ("null", {}),
}
_CONTAINERS = {"dataclass_type": "an object", "dict_type": "an object", "tuple_type": "a list"}
#: Length of a list from which only the first problem is collected, to bound the memory.
_LONG_LIST = 1000


class RecordError(ValueError):
    """Validation error of a JSON value.

    Attributes:
        problems: one line each.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(first_lines(problems, 3)))
        self.problems = problems


def decode(cls: type[T], value: object, path: str = "") -> T:
    """Build the dataclass `cls` from a JSON value; `path` precedes the names of fields in messages.

    A ValueError of the class itself (a check in `__post_init__`) counts as a problem too.

    Raises:
        RecordError: with every problem, or of lists of more than 1,000 entries with the first one.
    """
    from pydantic_core import ValidationError

    try:
        # mypy does not take a class for hashable
        return _validator(cls, _has_long_list(value)).validate_python(value)  # type: ignore[arg-type]
    except ValidationError as error:
        details = error.errors(include_url=False)
    # entries that a list of fixed length lacks are one problem each
    short = Counter(item["loc"][:-1] for item in details if _lacks_entry(item))
    lines = [_line(item, path, short[item["loc"][:-1]]) for item in details]
    raise RecordError(list(dict.fromkeys(lines)))


def record_of(cls: type[T], value: object, failure: str) -> T:
    """Decode a file's value; `failure` names the file and the remedy.

    Raises:
        ArtifactError: `failure` and the problems (all counted, ten shown).
    """
    try:
        return decode(cls, value)
    except RecordError as error:
        lines = "\n  ".join(first_lines(error.problems))
        raise ArtifactError(f"{failure}\n  {lines}") from None


class Report:
    """Base of dataclasses that are the result of a command: their fields as JSON values."""

    #: Properties that are among the values too.
    also: ClassVar[tuple[str, ...]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {**_fields(self), **{name: encode(getattr(self, name)) for name in self.also}}


def encode(value: Any) -> Any:
    """Convert a dataclass, tuple, list, dict or path to plain JSON values (dicts, lists, scalars)."""
    if isinstance(value, Report):
        return value.to_json()
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: encode(getattr(value, field.name)) for field in fields(value) if _is_stored(field, value)}


def _is_stored(field: Field[Any], record: Any) -> bool:
    stored, value = field.metadata.get("stored"), getattr(record, field.name)
    return stored is None or (stored == "if set" and bool(value) and value != field.default)


def first_lines(lines: list[str], most: int = 10) -> Iterator[str]:
    """Yield the first `most` lines, and how many more there are."""
    yield from lines[:most]
    if len(lines) > most:
        yield f"... and {len(lines) - most} more"


@functools.cache
def _validator(cls: type, fail_fast: bool) -> SchemaValidator:
    # imported on first use: the import takes about as long as the rest of the runtime's modules
    from pydantic import TypeAdapter
    from pydantic_core import SchemaValidator

    return SchemaValidator(_strict(TypeAdapter(cls).core_schema, fail_fast))


def _strict(node: Any, fail_fast: bool) -> Any:
    """Make a schema of pydantic strict: no conversion of scalars, no unknown fields.

    pydantic's own strict mode accepts neither dataclasses from dicts nor tuples from lists, the forms of JSON.
    """
    if isinstance(node, list | tuple):
        return type(node)(_strict(item, fail_fast) for item in node)
    if not isinstance(node, dict):
        return node
    leaves = _leaves(node)
    if leaves:
        wanted = " or ".join(_SCALARS[leaf["type"]][0] for leaf in leaves)
        choices = [{**leaf, "strict": True, **_SCALARS[leaf["type"]][1]} for leaf in leaves]
        schema = choices[0] if len(choices) == 1 else {"type": "union", "choices": choices}
        error = {"custom_error_type": "scalar", "custom_error_message": wanted}
        return {"type": "custom-error", "schema": schema, **error}
    if node.get("type") == "dataclass":
        never = {field.name for field in fields(node["cls"]) if field.metadata.get("stored") == "never"}
        inner = node["schema"]
        stored = [field for field in inner["fields"] if field["name"] not in never]
        node = {**node, "schema": {**inner, "fields": stored, "extra_behavior": "forbid"}}
    if node.get("type") == "tuple":
        node = {**node, "fail_fast": fail_fast}
    return {key: item if key in ("default", "metadata") else _strict(item, fail_fast) for key, item in node.items()}


def _leaves(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the scalar types of a schema node, empty if it has others."""
    kind = node.get("type")
    if kind in _SCALARS:
        return [node]
    if kind == "nullable":
        inner = _leaves(node["schema"])
        return [*inner, {"type": "none"}] if inner else []
    if kind == "union":
        choices = [_leaves(choice) for choice in node["choices"]]
        return [leaf for choice in choices for leaf in choice] if all(choices) else []
    return []


def _has_long_list(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_long_list, value.values()))
    return isinstance(value, list) and (len(value) > _LONG_LIST or any(map(_has_long_list, value)))


def _lacks_entry(item: ErrorDetails) -> bool:
    return item["type"] == "missing" and isinstance(item["input"], list | tuple)


def _line(item: ErrorDetails, path: str, missing: int) -> str:
    kind, value, loc = item["type"], item["input"], item["loc"]
    where = _joined(path, loc[:-1] if _lacks_entry(item) else loc)
    if _lacks_entry(item):
        return f"{where} must have {len(value) + missing} entries, not {len(value)}"
    if kind == "too_long":
        return f"{where} must have {item['ctx']['max_length']} entries, not {len(value)}"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "unexpected_keyword_argument":
        return f"{where} is unknown"
    if kind == "value_error":
        return f"{where}: {item['ctx']['error']}" if where else str(item["ctx"]["error"])
    if kind in _CONTAINERS or kind == "scalar":
        wanted = _CONTAINERS.get(kind) or _wanted(item["msg"], value)
        return f"{where or 'the file'} must be {wanted}, not {shown_value(value, 40)}"
    return f"{where or 'the file'}: {item['msg']}"


def _wanted(names: str, value: object) -> str:
    """Return the allowed types; for NaN, infinity and huge integers the reason."""
    number = None
    if isinstance(value, float) and not math.isfinite(value):
        number = "a finite number"
    elif isinstance(value, int) and abs(value) > _LARGEST:
        number = f"a number of at most {_LARGEST}"
    return " or ".join(number if number and "number" in name else name for name in names.split(" or "))


def _joined(path: str, loc: tuple[int | str, ...]) -> str:
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{shown_text(part, 80)}"
    return path
