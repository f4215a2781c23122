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
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, SetupError
from ..runtime.data.folders import shown
from .points import Point

INT8, FLOAT = "int8", "float"
CHOICES = (INT8, FLOAT)

_FIELDS = ("default", "modules")
_PATTERN = re.compile(r"[\w*#-]+(\.[\w*#-]+)*")
_LARGEST_FILE = 1 << 20


def _check_choice(name: str, choice: object) -> None:
    if choice not in CHOICES:
        raise InputError(f"{name} must be {' or '.join(CHOICES)}, not {choice!r}.")


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
        for pattern, choice in self.rules:
            if not _PATTERN.fullmatch(pattern):
                raise InputError(
                    f"{pattern!r} is no pattern of module names. Write a name such as backbone.layers.7.mlp.inner, its "
                    "beginning up to a dot, or * for a part of it."
                )
            _check_choice(pattern, choice)
        patterns = [pattern for pattern, _ in self.rules]
        twice = sorted({pattern for pattern in patterns if patterns.count(pattern) > 1})
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
        unknown = [str(name) for name in value if name not in _FIELDS]
        if unknown:
            near = difflib.get_close_matches(unknown[0], _FIELDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InputError(f"{where}: {shown(unknown)} is unknown; a policy has {' and '.join(_FIELDS)}.{hint}")
        modules = value.get("modules", {})
        if not isinstance(modules, dict):
            raise InputError(f"{where}: modules must be lines of the form `name: {INT8}` or `name: {FLOAT}`.")
        try:
            return cls(value.get("default", INT8), tuple((str(name), choice) for name, choice in modules.items()))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error


PRESETS = {
    "linear": Policy(),
    "backbone": Policy(FLOAT, (("backbone", INT8),)),
    "none": Policy(FLOAT),
}


def read_policy(source: str | Path) -> Policy:
    """A policy by the name of a preset, or from its YAML file.

    Raises:
        InputError: neither a preset nor a file, or a file of another form.
        SetupError: PyYAML is not installed.
    """
    if str(source) in PRESETS:
        return PRESETS[str(source)]
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{source} is neither a policy file nor a preset. The presets are {', '.join(PRESETS)}.")
    if path.stat().st_size > _LARGEST_FILE:
        raise InputError(f"{path} has {path.stat().st_size} bytes; a policy has a few lines. Is it another file?")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    return Policy.from_yaml(text, path)


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern names the module `name` or something above it."""
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch("[^.]*".join(parts) + r"(\..*)?", name) is not None


def _nothing(pattern: str, names: list[str]) -> InputError:
    known = list(
        dict.fromkeys(".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count(".") + 1))
    )
    near = difflib.get_close_matches(pattern, known, n=1, cutoff=0.0)
    return InputError(
        f"{pattern} in the policy matches no layer of the model that can be quantised. The nearest name is {near[0]}. "
        "Correct the line, or remove it."
    )


def _loaded(text: str, where: Path | str) -> dict[Any, Any]:
    """The mapping that the text holds; a key that stands twice is refused, which YAML's loader would not do."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise SetupError('Policies need PyYAML, which is not installed: pip install "mambapro[calib]".') from error
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{where} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(value, dict) or not isinstance(tree, yaml.MappingNode):
        raise InputError(f"{where} must hold `default:` and `modules:`, not {type(value).__name__}.")
    for mapping in (tree, *(node for _, node in tree.value if isinstance(node, yaml.MappingNode))):
        keys = [key.value for key, _ in mapping.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise InputError(f"{where}: each name stands once; {shown(twice)} stand twice.")
    return value
