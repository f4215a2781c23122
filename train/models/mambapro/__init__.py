"""The MambaPro model: config, sizes, composition."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import the names of the module `mambapro` on first use."""
    if name.startswith("__"):
        raise AttributeError(name)
    from . import mambapro

    return getattr(mambapro, name)
