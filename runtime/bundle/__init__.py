"""The bundle format on disk."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Names of the module `bundle`, imported on first use."""
    if name.startswith("__"):
        raise AttributeError(name)
    from . import bundle

    return getattr(bundle, name)
