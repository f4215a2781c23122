"""Three variants of the plugin for TensorRT: availability and registration.

| front | for | what an engine needs when it runs |
|---|---|---|
| library | TensorRT 10 and 11, TensorRT-RTX; built with nvcc and headers | the library, or nothing if it was put in |
| aot | TensorRT from 10.9 | nothing: the kernel is in the engine |
| python | TensorRT 10 and 11, TensorRT-RTX | a Python process that has registered it |
"""

from __future__ import annotations

from typing import Any

from ....errors import InputError, SetupError
from ...tensorrt import rtx
from . import aot_plugin, plugin_library, python_plugin

FRONTS = {module.FRONT: module for module in (plugin_library, aot_plugin, python_plugin)}


def unavailable(trt: Any) -> dict[str, str | None]:
    """Return for each variant the reason why it cannot be used with the module `trt`, or None."""
    trap = rtx.trap() if trt.__name__ == rtx.PACKAGE else None
    return {name: trap or front.available(trt) for name, front in FRONTS.items()}


def register(trt: Any, front: str) -> None:
    """Register a variant with the module `trt`, for all builders and runtimes of this process; may be repeated.

    Raises:
        InputError: no variant of that name.
        SetupError: it cannot be used here; or another one is registered.
    """
    if front not in FRONTS:
        raise InputError(f"there is no variant {front!r}; allowed are {', '.join(FRONTS)}.")
    if reason := unavailable(trt)[front]:
        raise SetupError(f"the variant {front!r} cannot be used: {reason}")
    FRONTS[front].register(trt)
