"""Who may import whom: the floors cli -> export, calib -> train -> runtime -> plugins, held by reading the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {"plugins": 1, "runtime": 2, "train": 3, "export": 4, "calib": 4, "cli": 5}
SOURCES = sorted(path for folder in FLOORS for path in (ROOT / folder).rglob("*.py"))
#: Packages that never run on a device.
HEAVY = {"torch", "torchvision", "open_clip", "onnx", "onnxscript", "safetensors", "mamba_ssm"}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted name inside the package or outside it, line) of every import, wherever it stands in the file."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or "", node.lineno
        elif isinstance(node, ast.ImportFrom):
            # mambapro itself is one level above the folders
            above = ("mambapro", *package)[: len(package) + 2 - node.level]
            yield ".".join([*above, *([node.module] if node.module else [])]), node.lineno


def folder_of(module: str) -> str | None:
    """The floor's folder of a module of ours."""
    parts = module.split(".")
    return parts[1] if parts[0] == "mambapro" and len(parts) > 1 and parts[1] in FLOORS else None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
class TestSource:
    def test_imports_point_down(self, path: Path) -> None:
        """A module imports from its own folder or a lower floor; export and calib do not know each other."""
        own = path.relative_to(ROOT).parts[0]

        wrong = [
            f"line {line}: {module}"
            for module, line in imports(path)
            if (target := folder_of(module)) and target != own and FLOORS[target] >= FLOORS[own]
        ]

        assert wrong == []

    def test_inside_imports_are_relative(self, path: Path) -> None:
        """Inside the package nothing is imported as mambapro.x, nor from a folder by its bare name."""
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]

        absolute = [node.module for node in nodes if node.level == 0 and node.module]

        assert [name for name in absolute if name.split(".")[0] in {"mambapro", *FLOORS}] == []

    def test_the_runtime_is_light(self, path: Path) -> None:
        """runtime/ and cli/ import nothing that a device lacks; cli reaches it through export and train only."""
        if path.relative_to(ROOT).parts[0] in ("runtime", "cli"):
            assert [name for name, _ in imports(path) if name.split(".")[0] in HEAVY] == []

    def test_python_310_reads_the_runtime(self, path: Path) -> None:
        """What a device runs has the syntax of Python 3.10."""
        if path.relative_to(ROOT).parts[0] in ("runtime", "cli", "plugins"):
            ast.parse(path.read_text(), feature_version=(3, 10))


def test_models_know_only_what_is_below() -> None:
    """train/models imports nothing else of train/: a model can be had without the training."""
    for path in (ROOT / "train" / "models").glob("*.py"):
        modules = [module for module, _ in imports(path) if folder_of(module) == "train"]
        assert [m for m in modules if not m.startswith("mambapro.train.models")] == [], path.name


@pytest.mark.parametrize(
    "module",
    (
        "mambapro.runtime.extractor",
        "mambapro.runtime.evaluation.check",
        "mambapro.runtime.extraction",
        "mambapro.cli.main",
    ),
)
def test_torch_stays_out(module: str) -> None:
    """Importing what runs on a device loads neither torch nor onnx."""
    code = f"import sys, {module}; print([name for name in {sorted(HEAVY)!r} if name in sys.modules])"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "[]"


def test_every_module_imports_alone() -> None:
    """No module depends on another one having been imported first."""
    modules = [".".join(("mambapro", *path.relative_to(ROOT).with_suffix("").parts)) for path in SOURCES]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    for known in [m for m in sys.modules if m == 'mambapro' or m.startswith('mambapro.')]:\n"
        "        if 'plugins' not in known: del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
