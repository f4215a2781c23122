"""Policies: which layers compute in int8, as a few lines of TOML."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.calib.policy import FLOAT, INT8, Policy, matches, presets, read_policy
from mambapro.errors import InputError
from mambapro.graph.layers import MATMUL, Point

NAMES = (
    "backbone.embedding.patches",
    "backbone.layers.1.mlp.inner",
    "backbone.layers.1.mlp.outer",
    "backbone.layers.10.mlp.outer",
    "aggregation.blocks.0.intra.in_proj.rgb",
)
POINTS = tuple(Point(f"node{i}", name, "x", "w", MATMUL, 1) for i, name in enumerate(NAMES))


def test_default_is_everything() -> None:
    """Without rules every layer that may be quantised is."""
    assert Policy().modules(POINTS) == set(NAMES)


@pytest.mark.parametrize(
    ("preset", "count"), [("linear", 5), ("backbone", 4), ("none", 0)], ids=["linear", "backbone", "none"]
)
def test_presets(preset: str, count: int) -> None:
    """The three presets take all, those of the backbone, or nothing."""
    chosen = read_policy(preset).modules(POINTS)

    assert len(chosen) == count
    assert all(name.startswith("backbone") for name in chosen) or preset == "linear"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("backbone.layers.1.mlp.inner", NAMES[1:2]),
        ("backbone.layers.1", NAMES[1:3]),
        ("backbone.layers.*.mlp.outer", NAMES[2:4]),
        ("backbone.layers.1*", NAMES[1:4]),
        ("aggregation.blocks.*.intra.in_proj.*", NAMES[4:]),
        ("backbone.*.outer", ()),
        ("layers.1", ()),
    ],
)
def test_patterns(pattern: str, expected: tuple[str, ...]) -> None:
    """A pattern is a name with all below it; a star stays within one part."""
    assert tuple(name for name in NAMES if matches(pattern, name)) == expected


def test_the_last_rule_decides() -> None:
    """A later rule takes back what an earlier one said."""
    policy = Policy(INT8, (("backbone", FLOAT), ("backbone.layers.1.mlp", INT8)))

    assert policy.modules(POINTS) == {NAMES[1], NAMES[2], NAMES[4]}


def test_a_rule_for_nothing() -> None:
    """A pattern that matches no layer is refused with the name that it was probably meant to be."""
    with pytest.raises(InputError, match=r"nearest name is backbone\.layers\.1\.mlp\.inner"):
        Policy(rules=(("backbone.layer.1.mlp.inner", FLOAT),)).modules(POINTS)


def test_toml_and_back() -> None:
    """What is written is read as the same policy, and the header is a comment."""
    policy = Policy(FLOAT, (("backbone.layers.*.mlp", INT8), ("backbone.layers.1", FLOAT)))

    text = policy.to_toml(["measured on\ntwo lines", "sha256 0"])

    assert text.startswith('# measured on\n# two lines\n# sha256 0\ndefault = "float"\n')
    assert Policy.from_toml(text) == policy
    assert all(Policy.from_toml(preset.to_toml()) == preset for preset in presets().values())


def test_people_write_less() -> None:
    """Both fields may be left out, and a name without a dot needs no quotes."""
    assert Policy.from_toml('[modules]\n"a.*" = "float"\nb = "int8"') == Policy(rules=(("a.*", FLOAT), ("b", INT8)))
    assert Policy.from_toml("default = 'float'") == Policy(FLOAT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defaults = 'int8'", "Did you mean default"),
        ("default = 'int4'", "int8 or float, not 'int4'"),
        ("default = false", "int8 or float, not False"),
        ("modules.'a.b' = 'fp16'", "a.b must be int8 or float"),
        ("modules.'a.b' = ['int8']", "a.b must be int8 or float"),
        ("modules.a.b = 'float'", "a must be int8 or float, not a table. Write names with dots in quotes"),
        ("modules = ['a', 'b']", "modules must be a table"),
        ("modules.'a b' = 'float'", "no pattern of module names"),
        ("[modules]\na = 'float'\na = 'int8'", "cannot be read as TOML: Cannot overwrite a value .at line 3"),
        ("default = 'int8'\ndefault = 'float'", "cannot be read as TOML: Cannot overwrite a value .at line 2"),
        ("# nothing", "is empty. A policy is TOML"),
        ("", "is empty"),
        ("a = [", "cannot be read as TOML"),
        ("a = '\x00'", "cannot be read as TOML"),
    ],
)
def test_bad_files(text: str, said: str) -> None:
    """Everything that is not a policy is refused, with the file's name and what is wrong."""
    with pytest.raises(InputError, match=said) as caught:
        Policy.from_toml(text, "mine.toml")

    assert "mine.toml" in str(caught.value)


_YAML = """\
# Which layers compute in int8; written by mambapro sensitivity.
default: int8
modules:
  "backbone.layers.*.mlp": float  # measured
  aggregation.blocks.0#2: 'int8'
"""


def test_yaml_is_refused_with_its_toml() -> None:
    """A policy as release 0.1.0 wrote it is an error that holds the same policy in TOML, ready to be saved."""
    with pytest.raises(InputError, match=r"mine\.yaml is YAML, and policies are TOML") as caught:
        Policy.from_toml(_YAML, "mine.yaml")

    _, converted = str(caught.value).split("\n\n", 1)
    rules = (("backbone.layers.*.mlp", FLOAT), ("aggregation.blocks.0#2", INT8))
    assert Policy.from_toml(converted) == Policy(INT8, rules)


@pytest.mark.parametrize(
    "text",
    [
        "default: fp16",
        "default: int8\ndefault: float",
        "default:\n",
        "modules: int8",
        "modules:\n  a.b: [int8]",
        "modules:\n  a: float\n  a: int8",
        "modules:\n  *.mlp: &x int8",
        "names: int8",
        "- int8",
    ],
)
def test_other_yaml_is_not_converted(text: str) -> None:
    """YAML that was no policy, or that says nothing definite, is refused without a guess; the form is shown."""
    with pytest.raises(InputError, match=r'cannot be read as TOML.* A policy is TOML: default = "int8"') as caught:
        Policy.from_toml(text, "mine.yaml")

    assert "YAML" not in str(caught.value)


def test_no_such_policy(tmp_path: Path) -> None:
    """A name that is neither a file nor a preset lists the presets; files of other kinds are refused."""
    with pytest.raises(InputError, match="linear, backbone, none"):
        read_policy(tmp_path / "absent.toml")
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_policy(tmp_path / "picture")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(InputError, match="a few lines"):
        read_policy(tmp_path / "large")


def test_a_file(tmp_path: Path) -> None:
    """A policy is read from a path."""
    (tmp_path / "mine.toml").write_text('default = "float"\n')

    assert read_policy(str(tmp_path / "mine.toml")) == Policy(FLOAT)
