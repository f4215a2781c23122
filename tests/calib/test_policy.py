"""Policies: which layers compute in int8, as a few lines of YAML."""

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


def test_yaml_and_back() -> None:
    """What is written is read as the same policy, and the header is a comment."""
    policy = Policy(FLOAT, (("backbone.layers.*.mlp", INT8), ("backbone.layers.1", FLOAT)))

    text = policy.to_yaml(["measured on\ntwo lines", "sha256 0"])

    assert text.startswith("# measured on\n# two lines\n# sha256 0\ndefault: float\n")
    assert Policy.from_yaml(text) == policy
    assert all(Policy.from_yaml(preset.to_yaml()) == preset for preset in presets().values())


def test_people_write_less() -> None:
    """Both fields may be left out, and names need no quotes."""
    assert Policy.from_yaml("modules:\n  backbone.layers.*: float\n") == Policy(rules=(("backbone.layers.*", FLOAT),))
    assert Policy.from_yaml("default: float") == Policy(FLOAT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defaults: int8", "Did you mean default"),
        ("default: int4", "int8 or float, not 'int4'"),
        ("default: no", "not 'no'"),
        ("modules:\n  a.b: fp16", "a.b must be int8 or float"),
        ("modules:\n  a.b: [1]", "a.b must be int8 or float"),
        ("modules: [a, b]", "modules must be lines"),
        ("modules:\n  'a b': float", "no pattern of module names"),
        ("modules:\n  a: float\n  a: int8", "a stand twice"),
        ("default: int8\ndefault: float", "default stand twice"),
        ("- a", "must hold"),
        ("", "must hold"),
        ("a: [", "is not YAML"),
        ("default: !!python/object/apply:os.getcwd []", "tags .* are not read"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_bad_files(text: str, said: str) -> None:
    """Everything that is not a policy is refused, with the file's name and what is wrong."""
    with pytest.raises(InputError, match=said) as caught:
        Policy.from_yaml(text, "mine.yaml")

    assert "mine.yaml" in str(caught.value)


def test_no_such_policy(tmp_path: Path) -> None:
    """A name that is neither a file nor a preset lists the presets; files of other kinds are refused."""
    with pytest.raises(InputError, match="linear, backbone, none"):
        read_policy(tmp_path / "absent.yaml")
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_policy(tmp_path / "picture")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(InputError, match="a few lines"):
        read_policy(tmp_path / "large")


def test_a_file(tmp_path: Path) -> None:
    """A policy is read from a path."""
    (tmp_path / "mine.yaml").write_text("default: float\n")

    assert read_policy(str(tmp_path / "mine.yaml")) == Policy(FLOAT)
