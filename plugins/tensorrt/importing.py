"""Import of TensorRT and TensorRT-RTX."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from ...errors import InputError, SetupError
from .rtx import import_tensorrt_rtx
from .versions import RANGES, TENSORRT_RTX, version_problem

#: Modules that can be imported.
MODULES = tuple(RANGES)


def import_module(name: str) -> Any:
    """Import the module tensorrt or tensorrt_rtx, of any version, prepared for plugins.

    Raises:
        InputError: another name.
        SetupError: it is not installed or cannot be loaded.
    """
    if name not in MODULES:
        raise InputError(f"there is no TensorRT called {name!r}; allowed are {', '.join(MODULES)}.")
    if name == TENSORRT_RTX:
        return import_tensorrt_rtx()
    if importlib.util.find_spec(name) is None:
        raise SetupError("TensorRT is not installed (no module tensorrt); pip install 'mambapro[tensorrt]'.")
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise SetupError(f"TensorRT is installed but cannot be imported: {error}") from error


def import_supported(name: str) -> Any:
    """Import the module tensorrt or tensorrt_rtx, of a supported version.

    Raises:
        InputError: another name.
        SetupError: it is not installed, cannot be loaded, or has an unsupported version.
    """
    trt = import_module(name)
    if problem := version_problem(name, trt.__version__):
        raise SetupError(problem)
    return trt
