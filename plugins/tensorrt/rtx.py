"""Imports TensorRT-RTX in the one way in which plugins work.

When its ONNX parser adds a plugin layer it loads `libtensorrt_rtx.so`, looked for beside the parser's own library; the
wheel holds that library as `libtensorrt_rtx.so.1` alone, nothing is found and the process ends in `std::terminate`.
The way out writes nothing into the installation: a folder of links that has both names, and the libraries loaded from
there before the bindings load them. To the loader they are then the same files, but the parser's folder is ours.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import importlib.util
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...common.files.locks import temporary_folder
from ...errors import SetupError

_LIBRARY = "libtensorrt_rtx.so"
_PARSER = "libtensorrt_onnxparser_rtx.so"
PACKAGE, _BINDINGS, _WHEEL = "tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt_rtx_libs"
_PREPARED: list[Path] = []


def import_tensorrt_rtx() -> Any:
    """The module `tensorrt_rtx`, able to build networks with plugin layers.

    Raises:
        SetupError: it is not installed, or was imported before in the way that ends the process at the first plugin.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise SetupError(
            "TensorRT-RTX is not installed (no module tensorrt_rtx); do: pip install 'mambapro[tensorrt-rtx]'."
        )
    if not _PREPARED and sys.platform == "linux":
        _prepare()
    return importlib.import_module(PACKAGE)


def trap() -> str | None:
    """Why a plugin layer would end this process, or None: TensorRT-RTX was imported by someone else first."""
    folder = _wheel_folder()
    if _PREPARED or folder is None or (folder / _LIBRARY).exists() or _BINDINGS not in sys.modules:
        return None
    return (
        "tensorrt_rtx was imported before mambapro could prepare it, and its parser would end the process at the first "
        "plugin layer; call mambapro.plugins.tensorrt.rtx.import_tensorrt_rtx() instead of importing it."
    )


def _wheel_folder() -> Path | None:
    """Folder of the wheel's libraries; None where TensorRT-RTX comes from its SDK, which has every name."""
    spec = importlib.util.find_spec(_WHEEL)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _prepare() -> None:
    folder = _wheel_folder()
    if folder is None or (folder / _LIBRARY).exists():
        return
    if reason := trap():
        raise SetupError(reason)
    # the links are needed as long as a parser may load the library
    held = ExitStack()
    links = held.enter_context(temporary_folder("rtx"))
    atexit.register(held.close)
    for library in sorted(folder.glob("*.so.*")):
        (links / library.name).symlink_to(library)
        plain = library.name.split(".so.")[0] + ".so"
        if not (links / plain).exists():
            (links / plain).symlink_to(library.name)
    for name in (_LIBRARY, _PARSER):
        try:
            ctypes.CDLL(str(links / name))
        except OSError as error:
            raise SetupError(f"TensorRT-RTX's {name} in {folder} cannot be loaded: {error}") from error
    _PREPARED.append(links)
