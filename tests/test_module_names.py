"""Names of a model's modules stand in train/models alone: everything else reads them from the model or its bundle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("common", "runtime", "graph", "synthetic", "train", "calib", "export", "cli")
#: Files that name modules, with the reason.
MAY_NAME = {
    "train/models/mambapro/": "the model itself, and its spec, from which everything else takes the names",
    "train/models/parts/aggregation.py": "defines the modules intra and inter",
    "train/models/checkpoints/": "translates the names of other checkpoints into the model's",
    "train/models/attributes/": "models of their own, whose parts have some of the same names",
    "train/models/parts/mamba_mixer.py": "defines the products of the Mamba mixer under the authors' names",
    "train/engine/training_config.py": "weights to start from have the name of the option --backbone",
    "train/attributes/": "recipes set a field of the attribute models' config that is called backbone",
    "train/paper/ablation/": "the rows of the paper's tables switch single modules off",
    "train/paper/cost/": "the paper counts parameters and operations by module",
    "runtime/bundle/module_roles.py": "the roles for bundles written before they held their own",
}
ALL = {str(path.relative_to(ROOT)): path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))}
SOURCES = [name for name in ALL if not name.startswith(tuple(MAY_NAME))]

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


def named(name: str) -> list[tuple[int, str]]:
    """Lines and texts of a file that are names of MambaPro's modules."""
    return [literal for literal in literals(ALL[name]) if NAME.fullmatch(literal[1])]


@pytest.mark.parametrize("name", SOURCES)
def test_no_module_is_named(name: str) -> None:
    """No text is a name of MambaPro's modules, or a pattern of one."""
    assert named(name) == []


@pytest.mark.parametrize("start", MAY_NAME)
def test_every_exception_is_needed(start: str) -> None:
    """Files that may name modules do: an exception that is not used any more is removed."""
    assert any(named(name) for name in ALL if name.startswith(start))


@pytest.mark.parametrize(
    "text", ["dt_proj", "backbone.layers.3", "*.scans", "aggregation.reduction", "backbone", ".intra"]
)
def test_names_are_found(text: str) -> None:
    """The pattern of the test above knows the names that passes used to hold."""
    assert NAME.fullmatch(text)
