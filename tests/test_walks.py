"""benchmarks/walks.py: functions on the way of a command, and comings back to a file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def walks() -> ModuleType:
    """The benchmark as a module."""
    path = Path(__file__).parents[1] / "benchmarks" / "walks.py"
    spec = importlib.util.spec_from_file_location("walks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["walks"] = module
    spec.loader.exec_module(module)
    return module


def test_what_counts(walks: ModuleType) -> None:
    """Leaves, special methods and what a service does inside are details; common/ is passed through."""
    call = walks.Call
    leaf = call("export/a.py", "leaf")
    service = call("graph/cast.py", "typed", [call("graph/cast_plan.py", "plan", [leaf])])
    callback = call("common/progress.py", "track", [call("export/b.py", "step", [leaf])])
    report = call("export/a.py", "Report.__str__", [leaf])
    root = call("", "", [call("cli/commands/build.py", "build", [service, callback, service, report, leaf])])

    lines, files = walks.walk(root)

    assert lines == ["cli/commands/build.py build", "  graph/cast.py typed", "  export/b.py step"]
    command = "cli/commands/build.py"
    assert files == [command, "graph/cast.py", command, "export/b.py", command]
