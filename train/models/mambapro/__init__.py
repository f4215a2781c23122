"""The MambaPro model: config, sizes, composition."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Import a name of the module `mambapro` on first use, which this package was before it became one.

    Raises:
        AttributeError: there is no such name; submodules are left to the import system.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    # not `from . import`, which asks this function again
    return getattr(importlib.import_module(".mambapro", __name__), name)
