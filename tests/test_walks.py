"""benchmarks/walks.py: functions on the way of a command, and comings back to a file."""

from __future__ import annotations

import importlib
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
    """Leaves, properties, special methods and what a service does inside are details; common/ is passed through."""
    call = walks.Call
    leaf = call("export/a.py", "leaf")
    service = call("graph/cast.py", "typed", [call("graph/cast_plan.py", "plan", [leaf])])
    callback = call("common/progress.py", "track", [call("export/b.py", "step", [leaf])])
    formatted = call("export/c.py", "formatted", [call("common/foreign_text.py", "escaped")])
    record = call("export/a.py", "Report.size", [leaf], is_property=True)
    report = call("export/a.py", "Report.__str__", [leaf])
    calls = [service, callback, service, formatted, record, report, leaf]
    root = call("", "", [call("cli/commands/build.py", "build", calls)])

    lines, files = walks.walk(root)

    assert lines == ["cli/commands/build.py build", "  graph/cast.py typed", "  export/b.py step"]
    command = "cli/commands/build.py"
    assert files == [command, "export/b.py", command]


def test_services_and_details_are_counted_too(walks: ModuleType) -> None:
    """The columns in brackets hold every function that calls another, and each call of a service as a visit."""
    call = walks.Call
    leaf = call("export/a.py", "leaf")
    service = call("graph/cast.py", "typed", [leaf])
    formatted = call("export/c.py", "formatted", [call("common/foreign_text.py", "escaped")])
    session = call("runtime/session.py", "Session.run", [call("runtime/loader.py", "open", [leaf])])
    record = call("export/a.py", "Report.size", [leaf], is_property=True)
    root = call("", "", [call("cli/commands/build.py", "build", [service, formatted, session, record])])

    lines, files = walks.walk(root, strict=True)

    names = ["build", "typed", "formatted", "Session.run", "open", "Report.size"]
    assert [line.split()[1] for line in lines] == names
    assert files.count("cli/commands/build.py") == 5 and "runtime/loader.py" in files


def test_properties(walks: ModuleType) -> None:
    """A function behind a property or a cached property is known as one; others are not."""
    module = "mambapro.runtime.bundle.bundle"
    importlib.import_module(module)

    assert walks.is_property(module, "Bundle.base") and walks.is_property(module, "Bundle.artifacts")
    assert not walks.is_property(module, "Bundle.read") and not walks.is_property(module, "Bundle.read.<locals>.f")
