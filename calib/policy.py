"""Which layers compute in int8 and which stay in floating point: a few lines of YAML that people can write and keep.

    default: int8
    modules:
      backbone.layers.*.prompt: float
      backbone.layers.11.mlp.outer: float

A pattern names a module, with everything below it. `*` stands for anything within one part of a name, but not for a
dot. Where several patterns match a layer, the last one decides; where none does, the default.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.files.open_files import read_limited
from ..common.foreign_text import shown_text, shown_value
from ..errors import InputError, SetupError
from ..graph.layers import Point
from ..runtime.bundle.module_roles import MAMBAPRO, ModuleRoles
from ..runtime.data.readers.listing import shown

INT8, FLOAT = "int8", "float"
CHOICES = (INT8, FLOAT)

_FIELDS = ("default", "modules")
_PATTERN = re.compile(r"[\w*#-]+(\.[\w*#-]+)*")
#: Bytes of a file, rules in it, and letters of a pattern; a full-size model has some 300 layers.
_LARGEST_FILE, _MOST_RULES, _LONGEST = 1 << 17, 2000, 200
#: What YAML makes of so many lines: a name and a choice each.
_MOST_EVENTS = 2 * _MOST_RULES + 20
#: Mappings in mappings, with the document and the stream around them.
_DEEPEST = 6


def _check_choice(name: str, choice: object) -> None:
    if choice not in CHOICES:
        raise InputError(f"{name} must be {' or '.join(CHOICES)}, not {shown_value(choice, 80)}.")


@dataclass(frozen=True)
class Policy:
    """What computes in int8.

    Attributes:
        default: INT8 or FLOAT, for layers that no pattern matches.
        rules: (pattern, INT8 or FLOAT); of several that match the last one counts.

    Raises:
        InputError: a choice or pattern that cannot be meant, or a pattern twice.
    """

    default: str = INT8
    rules: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _check_choice("default", self.default)
        if len(self.rules) > _MOST_RULES:
            raise InputError(f"A policy has at most {_MOST_RULES} patterns, not {len(self.rules):,}.")
        for pattern, choice in self.rules:
            if len(pattern) > _LONGEST or not _PATTERN.fullmatch(pattern):
                raise InputError(
                    f"{shown_value(pattern, 80)} is no pattern of module names. Write a name such as "
                    "backbone.layers.7.mlp.inner, its beginning up to a dot, or * for a part of it."
                )
            _check_choice(pattern, choice)
        counts = Counter(pattern for pattern, _ in self.rules)
        twice = sorted(pattern for pattern, count in counts.items() if count > 1)
        if twice:
            raise InputError(f"A policy names each pattern once; {shown(twice)} stand twice.")

    def modules(self, points: Iterable[Point]) -> set[str]:
        """Names of the layers that compute in int8, out of what may be quantised (see `points.points`).

        Raises:
            InputError: a pattern that matches no layer; the nearest name is suggested.
        """
        names = [point.module for point in points]
        choices = dict.fromkeys(names, self.default)
        for pattern, choice in self.rules:
            found = [name for name in names if matches(pattern, name)]
            if not found:
                raise _nothing(pattern, names)
            choices.update(dict.fromkeys(found, choice))
        return {name for name, choice in choices.items() if choice == INT8}

    @property
    def insisted(self) -> set[str]:
        """Names of layers that a rule of their own puts in int8, not a pattern or the default."""
        return {pattern for pattern, choice in self.rules if choice == INT8}

    def to_yaml(self, header: Iterable[str] = ()) -> str:
        """The file's text; the lines of `header` stand above it as a comment."""
        lines = [f"# {line}".rstrip() for entry in header for line in entry.splitlines()]
        lines.append(f"default: {self.default}")
        if self.rules:
            # quoted: a plain * would be YAML's own sign for an alias
            lines += ["modules:", *(f'  "{pattern}": {choice}' for pattern, choice in self.rules)]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_yaml(cls, text: str, where: Path | str = "the policy") -> Policy:
        """The opposite of `to_yaml`.

        Raises:
            InputError: not YAML, or not of this form; `where` is named.
            SetupError: PyYAML is not installed.
        """
        value = _loaded(text, where)
        unknown = [name for name in value if name not in _FIELDS]
        if unknown:
            near = difflib.get_close_matches(unknown[0][:_LONGEST], _FIELDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            names = shown([shown_text(name, 80) for name in unknown])
            raise InputError(f"{where}: {names} is unknown; a policy has {' and '.join(_FIELDS)}.{hint}")
        modules = value.get("modules", {})
        if not isinstance(modules, dict):
            raise InputError(f"{where}: modules must be lines of the form `name: {INT8}` or `name: {FLOAT}`.")
        try:
            return cls(value.get("default", INT8), tuple(modules.items()))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error


def presets(roles: ModuleRoles = MAMBAPRO) -> dict[str, Policy]:
    """Policies by name: all that may compute in int8, each part of the model alone, nothing."""
    parts = {part: Policy(FLOAT, tuple((name, INT8) for name in names)) for part, names in roles.parts.items()}
    return {"linear": Policy(), **parts, "none": Policy(FLOAT)}


def read_policy(source: str | Path, roles: ModuleRoles = MAMBAPRO) -> Policy:
    """A policy by the name of a preset of the model with these roles, or from its YAML file.

    Raises:
        InputError: neither a preset nor a file, or a file of another form.
        SetupError: PyYAML is not installed.
    """
    known = presets(roles)
    if str(source) in known:
        return known[str(source)]
    if not os.path.lexists(source):
        raise InputError(
            f"{shown_text(source)} is neither a policy file nor a preset. The presets are {', '.join(known)}."
        )
    content = read_limited(source, _LARGEST_FILE, "policy (a few lines of YAML)")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"The policy {shown_text(source)} cannot be read: {error}.") from error
    return Policy.from_yaml(text, shown_text(source))


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern names the module `name` or something above it."""
    wanted, parts = pattern.split("."), name.split(".")
    # part by part, as names of files are matched: one expression of many stars could take for ever
    return len(wanted) <= len(parts) and all(
        fnmatch.fnmatchcase(part, one) for one, part in zip(wanted, parts, strict=False)
    )


def _nothing(pattern: str, names: list[str]) -> InputError:
    known = list(
        dict.fromkeys(".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count(".") + 1))
    )
    near = difflib.get_close_matches(pattern, known, n=1, cutoff=0.0)
    return InputError(
        f"{pattern} in the policy matches no layer of the model that can be quantised. The nearest name is {near[0]}. "
        "Correct the line, or remove it."
    )


def _loaded(text: str, where: Path | str) -> dict[str, Any]:
    """The mapping in a text of YAML, its values as they are written: texts, or mappings of texts.

    Nothing is constructed: a reference (`*name`) could stand for more than any memory holds, and plain words could
    mean dates or numbers of any length.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise SetupError('Policies need PyYAML, which is not installed: pip install "mambapro[calib]".') from error
    try:
        _refuse_references(yaml.parse(text, Loader=yaml.SafeLoader), where)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} is not YAML: {shown_text(' '.join(str(error).split()))}.") from error
    if not isinstance(tree, yaml.MappingNode):
        kind = {yaml.SequenceNode: "a list", yaml.ScalarNode: "a text"}.get(type(tree), "nothing")
        raise InputError(f"{where} must hold `default:` and `modules:`, not {kind}.")
    found: dict[str, Any] = {}
    for name, node in _entries(tree, where):
        if isinstance(node, yaml.MappingNode):
            found[name] = dict(_texts(node, where))
        else:
            found[name] = node.value if isinstance(node, yaml.ScalarNode) else []
    return found


def _refuse_references(events: Iterable[Any], where: Path | str) -> None:
    """Raise InputError for references, tags and nesting that no policy has, at the first of them."""
    depth = 0
    for number, event in enumerate(events):
        if number > _MOST_EVENTS:
            raise InputError(f"{where} has more than {_MOST_RULES} lines. Is it another file?")
        name = type(event).__name__
        if name == "AliasEvent" or getattr(event, "anchor", None) is not None:
            raise InputError(
                f"{where}, line {event.start_mark.line + 1}: references (&name, *name) are not read. Write the lines "
                'out, and a pattern with a star in quotes: "*.mlp".'
            )
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > _DEEPEST:
            raise InputError(f"{where}, line {event.start_mark.line + 1}: a policy is not nested that deep.")
        if getattr(event, "tag", None) is not None:
            raise InputError(f"{where}, line {event.start_mark.line + 1}: tags (!name) are not read. Leave it out.")


def _entries(mapping: Any, where: Path | str) -> Iterator[tuple[str, Any]]:
    """Names and nodes of a mapping; a name that stands twice is refused, which YAML's loader would not do."""
    pairs = [(_text(key, "a name", where), node) for key, node in mapping.value]
    twice = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    if twice:
        raise InputError(f"{where}: each name stands once; {shown([shown_text(n, 80) for n in twice])} stand twice.")
    return iter(pairs)


def _texts(mapping: Any, where: Path | str) -> Iterator[tuple[str, str]]:
    return ((name, _text(node, name, where)) for name, node in _entries(mapping, where))


def _text(node: Any, name: str, where: Path | str) -> str:
    if type(node).__name__ != "ScalarNode":
        raise InputError(f"{where}: {shown_text(name, 80)} must be {INT8} or {FLOAT}, not a list or a table.")
    return str(node.value)
