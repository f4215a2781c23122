"""One front of the plugin in a process: two under one name would leave it to chance which of them an engine gets."""

from __future__ import annotations

from typing import Any

from ....errors import SetupError
from .rules import NAME, NAMESPACE, PLUGIN_VERSION

#: Name of the module, tensorrt or tensorrt_rtx -> the front registered with it, and what has to live as long.
_REGISTERED: dict[str, tuple[str, Any]] = {}


def registered(trt: Any) -> str | None:
    """The front that this process has registered with `trt`, "unknown" if someone else did, None if there is none."""
    if _creator(trt) is None:
        return None
    return _REGISTERED.get(trt.__name__, ("unknown", None))[0]


def is_registered(trt: Any, front: str) -> bool:
    """Whether `front` is registered already.

    Raises:
        SetupError: another one is.
    """
    found = registered(trt)
    if found is not None and found != front:
        by = "code other than mambapro's" if found == "unknown" else f"the front {found!r}"
        raise SetupError(
            f"{NAMESPACE}::{NAME} is registered with {trt.__name__} by {by} already, so {front!r} cannot be: "
            "one process can have one front; use that one, or another process."
        )
    return found is not None


def remember(trt: Any, front: str, alive: Any = None) -> None:
    """Note that `front` was registered; `alive` is kept until the process ends.

    Raises:
        SetupError: the registry does not have it.
    """
    if _creator(trt) is None:
        raise SetupError(f"{trt.__name__} did not take the plugin {NAMESPACE}::{NAME}; its log says why.")
    _REGISTERED[trt.__name__] = (front, alive)


def _creator(trt: Any) -> Any:
    registry = trt.get_plugin_registry()
    if registry is None:
        raise SetupError(f"{trt.__name__} has no plugin registry; its libraries are not complete.")
    for creator in registry.all_creators:
        if (creator.name, creator.plugin_namespace, creator.plugin_version) == (NAME, NAMESPACE, PLUGIN_VERSION):
            return creator
    return None
