"""Names of a model's modules stand in train/models alone: everything else reads them from the model or its bundle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("common", "runtime", "graph", "synthetic", "train", "calib", "export", "cli")
#: The model itself; the reproduction of its paper; the roles of bundles that hold none.
MAY_NAME = ("train/models", "train/paper", "runtime/bundle/module_roles.py")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

#: Names that mean nothing else.
_ALONE = "intra|inter|scans|x_proj|dt_proj|A_log|in_proj|out_proj|out_norm|reduction|aggregation|concat_head|fused_head"
NAME = re.compile(rf"(.*[.*])?({_ALONE})([.*].*)?|(.*[.*])?backbone(\.\w.*)?")


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Texts of a source file but for docstrings, with their lines; of an f-string its fixed parts."""
    tree = ast.parse(path.read_text())
    said = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_named(path: Path) -> None:
    """No text is a name of MambaPro's modules, or a pattern of one."""
    if str(path.relative_to(ROOT)).startswith(MAY_NAME):
        pytest.skip("may name them")

    assert [found for found in literals(path) if NAME.fullmatch(found[1])] == []


@pytest.mark.parametrize(
    "text", ["dt_proj", "backbone.layers.3", "*.scans", "aggregation.reduction", "backbone", ".intra"]
)
def test_names_are_found(text: str) -> None:
    """The pattern of the test above knows the names that passes used to hold."""
    assert NAME.fullmatch(text)
