"""Hook of mkdocs: gives griffe the package under its name, since the repository's root is the package."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

ROOT = Path(__file__).parents[1]
FOLDER = tempfile.TemporaryDirectory(prefix="mambapro-docs-")


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: Any) -> None:
    """Link the package's folders and modules into a folder `mambapro`, and have it read from there."""
    package = Path(FOLDER.name, "mambapro")
    package.mkdir(exist_ok=True)
    for path in (*ROOT.glob("*/__init__.py"), *ROOT.glob("[!s]*.py")):
        source = path.parent if path.parent != ROOT else path
        if not (link := package / source.name).exists():
            link.symlink_to(source)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [FOLDER.name]


def on_shutdown() -> None:
    """Remove the links."""
    FOLDER.cleanup()
