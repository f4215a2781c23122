"""Import of TensorRT-RTX with working plugins, around a missing library link in its wheel.

When its ONNX parser adds a plugin layer it loads `libtensorrt_rtx.so` from the parser's own folder; the wheel has only
`libtensorrt_rtx.so.1`, so the load fails and the process ends in `std::terminate`. The workaround does not change the
installation: a folder of links with both names, from which the libraries are loaded before the bindings. To the loader
they are the same files, but the parser's folder is ours.
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
    """Import the module `tensorrt_rtx`, able to build networks with plugin layers.

    Raises:
        SetupError: it is not installed, or was imported before without the workaround.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise SetupError(
            "TensorRT-RTX is not installed (no module tensorrt_rtx); do: pip install 'mambapro[tensorrt-rtx]'."
        )
    if not _PREPARED and sys.platform == "linux":
        _prepare()
    return importlib.import_module(PACKAGE)


def trap() -> str | None:
    """Return the reason why a plugin layer would end this process (foreign import of TensorRT-RTX), or None."""
    folder = _wheel_folder()
    if _PREPARED or folder is None or (folder / _LIBRARY).exists() or _BINDINGS not in sys.modules:
        return None
    return (
        "tensorrt_rtx was imported before mambapro could prepare it, and its parser would end the process at the first "
        "plugin layer; call mambapro.plugins.tensorrt.rtx.import_tensorrt_rtx() instead of importing it."
    )


def _wheel_folder() -> Path | None:
    """Return the folder of the wheel's libraries; None for the SDK, which has every name."""
    spec = importlib.util.find_spec(_WHEEL)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _prepare() -> None:
    folder = _wheel_folder()
    if folder is None or (folder / _LIBRARY).exists():
        return
    if reason := trap():
        raise SetupError(reason)
    # the links must exist as long as a parser may load the library
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
