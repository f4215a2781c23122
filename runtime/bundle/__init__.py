"""The bundle format on disk."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Import the names of the module `bundle` on first use."""
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(importlib.import_module(".bundle", __name__), name)
