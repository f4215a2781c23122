"""Hook of mkdocs that gives griffe the package under its name, since the repository root is the package."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

ROOT = Path(__file__).parents[1]
FOLDER = tempfile.TemporaryDirectory(prefix="mambapro-docs-")


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: Any) -> None:
    """Link the modules and folders of the package into a folder `mambapro`, and search there."""
    package = Path(FOLDER.name, "mambapro")
    sources = (*(path.parent for path in ROOT.glob("*/__init__.py")), *ROOT.glob("[!s]*.py"))
    if not package.exists():
        package.mkdir()
        for source in sources:
            (package / source.name).symlink_to(source)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [FOLDER.name]


def on_shutdown() -> None:
    """Remove the links."""
    FOLDER.cleanup()
