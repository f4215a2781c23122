"""The three fronts of the plugin for TensorRT side by side: which can be used here, and the one way to register one.

| front | for | what an engine needs when it runs |
|---|---|---|
| library | TensorRT 10 and 11, TensorRT-RTX; built with nvcc and headers | the library, or nothing if it was put in |
| aot | TensorRT from 10.9 | nothing: the kernel is in the engine |
| python | TensorRT 10 and 11, TensorRT-RTX | a Python process that has registered it |
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from ...errors import InputError, SetupError
from . import tensorrt_aot, tensorrt_library, tensorrt_python, tensorrt_rtx

#: What can be imported: TensorRT and TensorRT-RTX.
MODULES = ("tensorrt", "tensorrt_rtx")
FRONTS = {module.FRONT: module for module in (tensorrt_library, tensorrt_aot, tensorrt_python)}


def import_module(name: str) -> Any:
    """The module tensorrt or tensorrt_rtx, in the way in which plugins work.

    Raises:
        InputError: another name.
        SetupError: it is not installed or cannot be loaded.
    """
    if name not in MODULES:
        raise InputError(f"there is no TensorRT called {name!r}; allowed are {', '.join(MODULES)}.")
    if name == tensorrt_rtx.PACKAGE:
        return tensorrt_rtx.import_tensorrt_rtx()
    if importlib.util.find_spec(name) is None:
        raise SetupError("TensorRT is not installed (no module tensorrt); pip install 'mambapro[tensorrt]'.")
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise SetupError(f"TensorRT is installed but cannot be imported: {error}") from error


def unavailable(trt: Any) -> dict[str, str | None]:
    """For each front why it cannot be used with the module `trt`, or None if it can."""
    trap = tensorrt_rtx.trap() if trt.__name__ == tensorrt_rtx.PACKAGE else None
    return {name: trap or front.available(trt) for name, front in FRONTS.items()}


def register(trt: Any, front: str) -> None:
    """Register a front with the module `trt`, for all builders and runtimes of this process; again is fine.

    Raises:
        InputError: no front of that name.
        SetupError: it cannot be used here, with the reason; or another one is registered.
    """
    if front not in FRONTS:
        raise InputError(f"there is no front {front!r}; allowed are {', '.join(FRONTS)}.")
    if reason := unavailable(trt)[front]:
        raise SetupError(f"the front {front!r} cannot be used: {reason}")
    FRONTS[front].register(trt)
