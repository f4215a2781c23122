"""Policies: the layers that compute in int8 and those that stay in floating point, as a few lines of TOML.

    default = "int8"

    [modules]
    "backbone.layers.*.prompt" = "float"
    "backbone.layers.11.mlp.outer" = "float"

A pattern names a module, with everything below it. `*` stands for anything within one part of a name, but not for a
dot. Where several patterns match a layer, the last one decides; where none does, the default.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..common.foreign_text import shown_text, shown_value
from ..common.formats.toml_files import parse_toml, read_text
from ..errors import InputError
from ..graph.layers import Point
from ..runtime.bundle.module_roles import MAMBAPRO, ModuleRoles
from ..runtime.data.readers.listing import shown

INT8, FLOAT = "int8", "float"
CHOICES = (INT8, FLOAT)

_FIELDS = ("default", "modules")
_PATTERN = re.compile(r"[\w*#-]+(\.[\w*#-]+)*")
#: Bytes of a file, rules in it, and letters of a pattern; a full-size model has some 300 layers.
_LARGEST_FILE, _MOST_RULES, _LONGEST = 1 << 17, 2000, 200
_FORM = 'A policy is TOML: default = "int8", then [modules] with lines such as "backbone.layers.7.mlp" = "float".'
#: A line of a YAML policy without its comment: `default: int8`, `modules:`, or an indented `"name": float`.
_YAML_LINE = re.compile(r"""( *)(["']?)([\w.*#-]+)\2 *:(?: +(["']?)(\w+)\4)?""")


def _check_choice(name: str, choice: object) -> None:
    if choice not in CHOICES:
        raise InputError(f"{name} must be {' or '.join(CHOICES)}, not {shown_value(choice, 80)}.")


@dataclass(frozen=True)
class Policy:
    """Layers that compute in int8, by patterns of their names.

    Attributes:
        default: INT8 or FLOAT, for layers that no pattern matches.
        rules: (pattern, INT8 or FLOAT); of several that match the last one counts.

    Raises:
        InputError: an invalid choice or pattern, or a pattern twice.
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
        """Return the names of the layers that compute in int8, out of those that may be quantized (`layers.points`).

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

    def to_toml(self, header: Iterable[str] = ()) -> str:
        """Return the text of the file; the lines of `header` stand above it as a comment."""
        lines = [f"# {line}".rstrip() for entry in header for line in entry.splitlines()]
        lines.append(f'default = "{self.default}"')
        if self.rules:
            # quoted: a dot in a bare key would begin a table
            lines += ["", "[modules]", *(f'"{pattern}" = "{choice}"' for pattern, choice in self.rules)]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str, where: Path | str = "the policy") -> Policy:
        """Parse the text of a file, the opposite of `to_toml`.

        Raises:
            InputError: not TOML, or not of this form; `where` is named. Of a policy in YAML, as release 0.1.0 wrote
                them, the message holds the same policy in TOML.
        """
        try:
            # a line break at the end: of a file without it errors have no line number
            value = parse_toml(f"{text}\n")
        except ValueError as error:
            _refuse_yaml(text, where)
            problem = shown_text(error).rstrip(".")
            raise InputError(f"{where} cannot be read as TOML: {problem}. {_FORM}") from error
        if not value:
            raise InputError(f"{where} is empty. {_FORM}")
        unknown = [name for name in value if name not in _FIELDS]
        if unknown:
            near = difflib.get_close_matches(unknown[0][:_LONGEST], _FIELDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            names = shown([shown_text(name, 80) for name in unknown])
            raise InputError(f"{where}: {names} is unknown; a policy has {' and '.join(_FIELDS)}.{hint}")
        modules = value.get("modules", {})
        if not isinstance(modules, dict):
            raise InputError(f"{where}: modules must be a table. {_FORM}")
        for name, choice in modules.items():
            if isinstance(choice, dict):
                raise InputError(
                    f"{where}: {shown_text(name, 80)} must be {INT8} or {FLOAT}, not a table. Write names with dots "
                    f"in quotes. {_FORM}"
                )
        try:
            return cls(value.get("default", INT8), tuple(modules.items()))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error


def presets(roles: ModuleRoles = MAMBAPRO) -> dict[str, Policy]:
    """Return the policies by name: all layers that may compute in int8, each part of the model alone, none."""
    parts = {part: Policy(FLOAT, tuple((name, INT8) for name in names)) for part, names in roles.parts.items()}
    return {"linear": Policy(), **parts, "none": Policy(FLOAT)}


def read_policy(source: str | Path, roles: ModuleRoles = MAMBAPRO) -> Policy:
    """Return a policy by the name of a preset of the model with these roles, or from its TOML file.

    Raises:
        InputError: neither a preset nor a file, or a file of another form.
    """
    known = presets(roles)
    if str(source) in known:
        return known[str(source)]
    if not os.path.lexists(source):
        raise InputError(
            f"{shown_text(source)} is neither a policy file nor a preset. The presets are {', '.join(known)}."
        )
    text = read_text(source, "policy (a few lines of TOML)", _LARGEST_FILE)
    return Policy.from_toml(text, shown_text(source))


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern names the module `name` or one above it."""
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
        f"{pattern} in the policy matches no layer of the model that can be quantized. The nearest name is {near[0]}. "
        "Correct the line, or remove it."
    )


def _refuse_yaml(text: str, where: Path | str) -> None:
    """Raise InputError, with the same policy in TOML, if a text is a policy in YAML; return for any other text."""
    policy = _policy_of_yaml(text)
    if policy is not None:
        raise InputError(
            f"{where} is YAML, and policies are TOML. Save these lines as a .toml file and "
            f"give that one:\n\n{policy.to_toml()}"
        )


def _policy_of_yaml(text: str) -> Policy | None:
    """Return the policy in a YAML text; None if a line is not of the form that policies had."""
    top: dict[str, str] = {}
    rules: list[tuple[str, str]] = []
    for line in text.splitlines():
        content = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if not content:
            continue
        match = _YAML_LINE.fullmatch(content)
        if match is None or len(rules) > _MOST_RULES:
            return None
        indent, _, name, _, choice = match.groups()
        if indent:
            rules.append((name, choice or ""))
        elif name in top or name not in _FIELDS or (choice is None) != (name == "modules"):
            return None
        else:
            top[name] = choice
    try:
        return Policy(top.get("default", INT8), tuple(rules)) if top else None
    except InputError:
        return None
