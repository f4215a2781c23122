"""The selective scan in OpenVINO: a C++ extension on the CPU kernel, or the inlined function where there is none.

The extension (csrc/openvino_extension.cpp) is compiled against the headers inside the installed openvino package, on
first use or ahead by `build()`, and kept in the cache.
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
#: The kernel chooses its instructions when it runs: the flags must not name any.
_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden", "-Wno-psabi")

#: How many times as long the scans take as the inlined function; benchmarks/openvino_profile.py measures it.
SLOWER = "5 to 10"

logger = logging.getLogger("mambapro")


def build() -> Path:
    """Path of the extension for the installed openvino; compiled now, in about ten seconds, unless the cache holds it.

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
    """An ONNX model with SelectiveScan nodes, for `core.compile_model`.

    The nodes run on the CPU kernel. Where the extension cannot be had and the package onnx is installed they are
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
    """`read_model`, and whether the scans were replaced by their function, which needs the hint f32."""
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
    """The model in standard operators alone, with the types that OpenVINO wants inside the Scan.

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
    # the inference is what types the body: OpenVINO takes no values of unknown type there
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
    """Version with the build number: a part of the cache's key."""
    import openvino

    return openvino.get_version()


def _links(libraries: Path) -> list[str]:
    """By full name: the package has them with their version alone. TBB is asked for the threads of the model."""
    found = [path for pattern in ("libopenvino.so*", "libtbb.so*") for path in sorted(libraries.glob(pattern))[:1]]
    return [f"-L{libraries}", *(f"-l:{path.name}" for path in found)]


def _abi(package: Path) -> list[str]:
    """Strings cross the border to OpenVINO, so they must be laid out as in the compiler that built it."""
    config = package / "cmake" / "OpenVINOConfig.cmake"
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    found = re.search(r'set\(OpenVINO_GLIBCXX_USE_CXX11_ABI "([01])"\)', text)
    return [f"-D_GLIBCXX_USE_CXX11_ABI={found[1]}"] if found else []
