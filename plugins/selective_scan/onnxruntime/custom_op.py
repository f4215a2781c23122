"""The selective scan as a native operator of ONNX Runtime on the CPU kernel; optional, faster than the function.

ONNX Runtime's pip packages have no headers. If `ONNXRUNTIME_INCLUDE_DIR` names the folder of `onnxruntime_c_api.h`,
`build()` compiles the operator; once loaded by `SessionOptions.register_custom_ops_library` it takes precedence over
the function in the file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ....errors import SetupError
from ...compile import cxx_compiler, shared_library

NAME = "mambapro_selective_scan_onnxruntime"
#: Environment variable of the folder of ONNX Runtime's C headers.
VARIABLE = "ONNXRUNTIME_INCLUDE_DIR"
#: Key for `SessionOptions.add_session_config_entry`: threads of one scan, "0" (or none) for one for each CPU. ONNX
#: Runtime does not expose intra_op_num_threads to operators. Requires headers of 1.24 or later.
THREADS = "mambapro.threads"
_HEADER = "onnxruntime_c_api.h"
_SCAN = Path(__file__).parents[1]
SOURCES = tuple(
    _SCAN / name for name in ("onnxruntime/csrc/onnxruntime_op.cpp", "contract/contract.cpp", "cpu/csrc/scan_cpu.cpp")
)
#: The kernel selects its instructions at run time: the flags must not set any.
_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden", "-Wno-psabi")


def build(include: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of the operator's library; compiles it, in about ten seconds, unless the cache holds it.

    It can be loaded by ONNX Runtime of the headers' version and later.

    Args:
        include: folder of ONNX Runtime's C headers, 1.17 or later; `$ONNXRUNTIME_INCLUDE_DIR` if not given.

    Raises:
        SetupError: no headers or no compiler, or the compiler failed.
    """
    headers = include_folder(include)
    flags = [*_FLAGS, f"-DMAMBAPRO_ONNXRUNTIME={api_version(headers)}", f"-I{headers}"]
    return shared_library(NAME, SOURCES, flags, cxx_compiler())


def include_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of ONNX Runtime's C headers: `given`, or `$ONNXRUNTIME_INCLUDE_DIR`.

    Raises:
        SetupError: neither is set, or the header is missing.
    """
    named = given or os.environ.get(VARIABLE)
    if not named:
        raise SetupError(f"ONNX Runtime's C headers are needed: let ${VARIABLE} name the folder of {_HEADER}.")
    folder = Path(named).resolve()
    if not (folder / _HEADER).is_file():
        raise SetupError(f"there is no {_HEADER} in {folder}; let ${VARIABLE} name the folder that has it.")
    return folder


def api_version(include: Path) -> int:
    """Return the version of the C interface in the headers: 24 for ONNX Runtime 1.24.

    Raises:
        SetupError: the header does not define it.
    """
    text = (include / _HEADER).read_text(encoding="utf-8", errors="replace")
    version = re.search(r"^#define\s+ORT_API_VERSION\s+(\d+)", text, re.MULTILINE)
    if not version:
        raise SetupError(f"{include / _HEADER} does not tell its ORT_API_VERSION; is it ONNX Runtime's?")
    return int(version[1])
