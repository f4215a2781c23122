"""Registration of one plugin variant per process; with two under one name, the choice would be undefined."""

from __future__ import annotations

from typing import Any

from ....errors import SetupError
from .rules import NAME, NAMESPACE, PLUGIN_VERSION

#: Name of the module, tensorrt or tensorrt_rtx -> the variant registered with it, and objects to keep alive.
_REGISTERED: dict[str, tuple[str, Any]] = {}


def registered(trt: Any) -> str | None:
    """Return the variant registered with `trt` in this process, "unknown" for foreign code, None without any."""
    if _creator(trt) is None:
        return None
    return _REGISTERED.get(trt.__name__, ("unknown", None))[0]


def is_registered(trt: Any, front: str) -> bool:
    """Return True if `front` is registered already.

    Raises:
        SetupError: another one is.
    """
    current = registered(trt)
    if current is not None and current != front:
        by = "code other than mambapro's" if current == "unknown" else f"the variant {current!r}"
        raise SetupError(
            f"{NAMESPACE}::{NAME} is registered with {trt.__name__} by {by} already, so {front!r} cannot be: "
            "one process can have one variant; use that one, or another process."
        )
    return current is not None


def remember(trt: Any, front: str, alive: Any = None) -> None:
    """Record that `front` was registered; `alive` is referenced until the process ends.

    Raises:
        SetupError: it is missing in the registry.
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
