"""Language of docstrings: rules that ruff's D group does not cover."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Folders whose docstrings follow the rules.
FOLDERS = (
    "benchmarks",
    "calib",
    "cli",
    "common",
    "export",
    "graph",
    "plugins",
    "runtime",
    "synthetic",
    "train",
)
RELATIVE = re.compile(r"(What|Whether|Which|Where|How|Who|Why|The ones? that)\b")


def docstrings(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Nodes of a source file that may have a docstring, and that, empty where there is none."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield node, ast.get_docstring(node) or ""


def test_no_docstring_is_a_relative_clause() -> None:
    """A summary names the thing or is an imperative sentence."""
    bad = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for _, text in docstrings(path)
        if RELATIVE.match(text)
    ]

    assert not bad, "\n".join(bad)


def test_every_test_states_its_behavior() -> None:
    """Each test function has a docstring."""
    bad = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node, text in docstrings(path)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not text
    ]

    assert not bad, "\n".join(bad)
