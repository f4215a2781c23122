"""The selective scan in OpenVINO: a C++ extension on the CPU kernel, otherwise the inlined function.

The extension (csrc/openvino_extension.cpp) is compiled against the headers of the installed openvino package, on first
use or by `build()`, and cached.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import SetupError
from ...compile import cxx_compiler, shared_library

if TYPE_CHECKING:
    import onnx
    import openvino

NAME = "mambapro_selective_scan_openvino"
_SCAN = Path(__file__).parents[1]
SOURCES = tuple(
    _SCAN / name for name in ("openvino/csrc/openvino_extension.cpp", "contract/contract.cpp", "cpu/csrc/scan_cpu.cpp")
)
#: The kernel selects its instructions at run time: the flags must not set any.
_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden", "-Wno-psabi")

#: Ratio of the scans' times, function to extension, measured by benchmarks/openvino_profile.py.
SLOWER = "5 to 10"

logger = logging.getLogger("mambapro")


def build() -> Path:
    """Return the path of the extension; compiles it, in about ten seconds, unless the cache holds it.

    Raises:
        SetupError: openvino, its headers or a C++ compiler are missing, or the compiler failed.
    """
    package = _package()
    if not (package / "include" / "openvino").is_dir():
        raise SetupError(f"the installed openvino has no C++ headers in {package / 'include'}; its pip package does.")
    compiler = cxx_compiler()
    flags = [*_FLAGS, *_abi(package), f"-DMAMBAPRO_OPENVINO={_version()}", f"-I{package / 'include'}"]
    return shared_library(NAME, SOURCES, [*flags, *_links(package / "libs")], compiler)


def read_model(core: openvino.Core, model: str | os.PathLike[str] | bytes | onnx.ModelProto) -> openvino.Model:
    """Read an ONNX model with SelectiveScan nodes, for `core.compile_model`.

    The nodes run on the CPU kernel. If the extension is unavailable and the package onnx is installed, they are
    replaced by their function, with a warning: its scans are slower, and computed in the precision of the hint (the
    kernel's always in float32).

    Args:
        model: path of an ONNX file, its bytes, or a model in memory with the function inside.

    Raises:
        SetupError: neither way is possible.
    """
    return read_either(core, model)[0]


def read_either(
    core: openvino.Core, model: str | os.PathLike[str] | bytes | onnx.ModelProto
) -> tuple[openvino.Model, bool]:
    """Read as `read_model`; also return whether the scans were replaced by their function, which needs hint f32."""
    try:
        _add_extension(core)
    except SetupError as error:
        if importlib.util.find_spec("onnx") is None:
            raise SetupError(
                f"OpenVINO cannot run the selective scan here: {error} Without the extension the scan would have to be "
                'inlined, which needs the package onnx: pip install "mambapro[calib]".'
            ) from error
        logger.warning(
            "The selective scan runs as its ONNX function in OpenVINO: the scans take about %s times as long, and "
            "their precision is that of OpenVINO's hint, so compile with INFERENCE_PRECISION_HINT f32. The reason: %s",
            SLOWER,
            error,
        )
        return core.read_model(inlined(model).SerializeToString()), True
    if isinstance(model, bytes):
        return core.read_model(model), False
    if isinstance(model, (str, os.PathLike)):
        return core.read_model(os.fspath(model)), False
    return core.read_model(model.SerializeToString()), False


def _add_extension(core: openvino.Core) -> None:
    library = build()
    try:
        core.add_extension(str(library))
    except RuntimeError as error:
        raise SetupError(f"{library} cannot be loaded ({error}); delete it, and it is compiled again.") from error


def inlined(model: str | os.PathLike[str] | bytes | onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in standard operators only, with the types that OpenVINO requires inside the Scan.

    Raises:
        SetupError: onnx is not installed.
    """
    try:
        import onnx
        from onnx import inliner, shape_inference
    except ImportError as error:
        raise SetupError(
            f'onnx is needed to inline the selective scan ({error}): pip install "mambapro[calib]".'
        ) from error
    if isinstance(model, bytes):
        model = onnx.load_from_string(model)
    elif isinstance(model, (str, os.PathLike)):
        model = onnx.load(os.fspath(model))
    # shape inference sets the body's types: OpenVINO rejects values of unknown type there
    return shape_inference.infer_shapes(inliner.inline_local_functions(model), strict_mode=True)


def _package() -> Path:
    try:
        import openvino
    except ImportError as error:
        raise SetupError(
            f'openvino cannot be imported ({error}). Install it: pip install "mambapro[openvino]".'
        ) from error
    return Path(openvino.__file__).parent


def _version() -> str:
    """Return the version with the build number, part of the cache's key."""
    import openvino

    return openvino.get_version()


def _links(libraries: Path) -> list[str]:
    """Return linker arguments with full names, since the package has only versioned ones; TBB provides the threads."""
    libraries_found = [
        path for pattern in ("libopenvino.so*", "libtbb.so*") for path in sorted(libraries.glob(pattern))[:1]
    ]
    return [f"-L{libraries}", *(f"-l:{path.name}" for path in libraries_found)]


def _abi(package: Path) -> list[str]:
    """Return the flag of the C++ ABI, since strings passed to OpenVINO must have its layout."""
    config = package / "cmake" / "OpenVINOConfig.cmake"
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    flag = re.search(r'set\(OpenVINO_GLIBCXX_USE_CXX11_ABI "([01])"\)', text)
    return [f"-D_GLIBCXX_USE_CXX11_ABI={flag[1]}"] if flag else []
