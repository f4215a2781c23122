"""The floors of the package: imports point down, held by reading the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Floors by the longest prefix of a module's folder; an import points to its own prefix or to a lower floor.
FLOORS = {
    "common": 0,
    "plugins": 1,
    "runtime/data": 2,
    "runtime/bundle": 3,
    "runtime/backends": 4,
    "runtime": 5,
    "runtime/evaluation": 6,
    "runtime/verification": 7,
    "graph": 8,
    "synthetic": 8,
    "train/models": 9,
    "train": 10,
    "calib": 10,
    "train/paper": 11,
    "export": 12,
    "cli": 13,
}
TOP = sorted({prefix.split("/")[0] for prefix in FLOORS})
SOURCES = sorted(path for folder in TOP for path in (ROOT / folder).rglob("*.py"))
#: Packages that never run on a device.
HEAVY = {"torch", "torchvision", "open_clip", "onnx", "onnxscript", "safetensors", "mamba_ssm"}
#: Folders of which nothing runs on a device.
HEAVY_FLOORS = ("graph", "synthetic", "train", "calib", "export")


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


def prefix_of(parts: Sequence[str]) -> str | None:
    """Longest prefix in FLOORS of a path inside the package."""
    known = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((prefix for prefix in known if prefix in FLOORS), None)


def prefix_of_module(module: str) -> str | None:
    """Longest prefix in FLOORS of a dotted module of the package; None for other packages."""
    first, *rest = module.split(".")
    return prefix_of(rest) if first == "mambapro" else None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
class TestSource:
    def test_imports_point_down(self, path: Path) -> None:
        """A module imports from its own room or a lower floor; rooms of one floor do not know each other."""
        own = prefix_of(path.relative_to(ROOT).parts[:-1])
        assert own is not None

        wrong = [
            f"line {line}: {module}"
            for module, line in imports(path)
            if (target := prefix_of_module(module)) and target != own and FLOORS[target] >= FLOORS[own]
        ]

        assert wrong == []

    def test_inside_imports_are_relative(self, path: Path) -> None:
        """Inside the package nothing is imported as mambapro.x, nor from a folder by its bare name."""
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]

        absolute = [node.module for node in nodes if node.level == 0 and node.module]

        assert [name for name in absolute if name.split(".")[0] in {"mambapro", *TOP}] == []

    def test_the_runtime_is_light(self, path: Path) -> None:
        """What runs on a device imports nothing that a device lacks; cli reaches it through higher floors only."""
        if path.relative_to(ROOT).parts[0] in ("common", "runtime", "cli"):
            assert [name for name, _ in imports(path) if name.split(".")[0] in HEAVY] == []

    def test_python_310_reads_the_runtime(self, path: Path) -> None:
        """What a device runs has the syntax of Python 3.10."""
        if path.relative_to(ROOT).parts[0] in ("common", "runtime", "cli", "plugins"):
            assert ast.parse(path.read_text(), feature_version=(3, 10)).body


def test_models_know_only_what_is_below() -> None:
    """train/models imports nothing else of train/: a model can be had without the training."""
    for path in (ROOT / "train" / "models").rglob("*.py"):
        modules = [module for module, _ in imports(path) if module.startswith("mambapro.train")]
        assert [m for m in modules if not m.startswith("mambapro.train.models")] == [], path.name


@pytest.mark.parametrize(
    "module",
    (
        "mambapro.runtime.extractor",
        "mambapro.runtime.verification.check",
        "mambapro.runtime.extraction",
        "mambapro.cli.main",
    ),
)
def test_torch_stays_out(module: str) -> None:
    """Importing what runs on a device loads neither torch nor onnx, nor a part that a device does not need."""
    heavy = (*sorted(HEAVY), *(f"mambapro.{floor}" for floor in HEAVY_FLOORS))
    code = (
        f"import sys, {module}; print([m for m in sys.modules for h in {heavy!r} if m == h or m.startswith(h + '.')])"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"


@pytest.mark.parametrize("top", TOP)
def test_names_are_unique(top: str) -> None:
    """A top-level folder has no two modules of one name, and none that is called run.py."""
    names = Counter(path.name for path in SOURCES if path.parts[len(ROOT.parts)] == top and path.name != "__init__.py")

    assert [name for name, count in names.items() if count > 1 or name == "run.py"] == []


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
