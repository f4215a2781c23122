"""The C++ plugin library for TensorRT: location of headers and compiler, build, loading.

It cannot be part of a wheel: it needs TensorRT's headers, which come with the SDK, and is specific to one major
version. csrc/CMakeLists.txt builds the same sources without Python.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....common.foreign_text import escaped
from ....errors import InputError, SetupError
from ... import compile as compiling
from ...cuda import compiler as cuda_compiler
from . import registration

FRONT = "library"
NAME = "mambapro_selective_scan_tensorrt"
FOLDER = Path(__file__).parent / "csrc"
_HEADER = "NvInferRuntime.h"
#: TensorRT-RTX has the plugin interfaces of this major version of TensorRT; its own headers call themselves 1.
_RTX_MAJORS = (1, 11)
#: The compute capability whose PTX serves those after it that have no machine code here.
_PORTABLE = 90


def available(trt: Any) -> str | None:
    """Return the reason why this variant cannot be used with the module `trt`, or None; nothing is built."""
    try:
        check_headers(trt, headers_version(include_folder()))
        cuda_compiler.nvcc()
    except (SetupError, InputError) as error:
        return str(error)
    return None


def register(trt: Any, library: Path | None = None) -> None:
    """Load the library into `trt`'s registry, building it if none is given; may be repeated.

    To embed it in an engine, name its file in the builder configuration's `plugins_to_serialize`.

    Raises:
        SetupError: it cannot be built, is for another TensorRT, or another variant is registered already.
    """
    if registration.is_registered(trt, FRONT):
        return
    path = build() if library is None else library
    check_headers(trt, library_version(path))
    if trt.get_plugin_registry().load_library(str(path)) is None:
        raise SetupError(f"{trt.__name__} could not load {path}; its log says why.")
    registration.remember(trt, FRONT)


def build(include: Path | None = None, architectures: Sequence[int] | None = None) -> Path:
    """Return the path of the library; compiles it (about a minute) unless the cache holds it.

    Args:
        include: TensorRT's headers; `include_folder()` if not given.
        architectures: compute capabilities, 86 for 8.6; by default those of cuda/compiler.py that nvcc supports.

    Raises:
        SetupError: headers or compiler are missing, or it does not compile.
        InputError: an architecture the compiler does not know.
    """
    headers = include_folder(include)
    nvcc = str(cuda_compiler.nvcc())
    version = "{}.{}.{}".format(*headers_version(headers))
    flags = ["-std=c++17", "-O3", f"-isystem={headers}", f"-DMAMBAPRO_TENSORRT={version}", "--threads=2"]
    flags += ["-Xcompiler=-fPIC,-fvisibility=hidden", "-Xlinker=--exclude-libs,ALL,-z,defs", "-cudart=static"]
    code = _code_flags(nvcc, architectures)
    flags.append("-DMAMBAPRO_GPUS=" + ":".join(flag.rpartition("code=")[2] for flag in code))
    return compiling.shared_library(NAME, sources(), [*flags, *code], nvcc)


def sources() -> list[Path]:
    """Return the source files, which CMakeLists.txt reads from the same list."""
    return [FOLDER / name for name in (FOLDER / "tensorrt_sources.txt").read_text(encoding="ascii").split()]


def include_folder(given: Path | None = None) -> Path:
    """Return the folder of TensorRT's headers: `given`, `$TENSORRT_INCLUDE_DIR`, or that of the system's packages.

    Raises:
        SetupError: they are not there.
    """
    named = given or os.environ.get("TENSORRT_INCLUDE_DIR")
    system = (Path("/usr/include"), Path("/usr/include") / (sysconfig.get_config_var("MULTIARCH") or "."))
    for folder in (Path(named),) if named else system:
        if (folder / _HEADER).is_file():
            return folder.resolve()
    raise SetupError(
        f"TensorRT's headers were not found ({_HEADER}, looked in {named or ', '.join(map(str, system))}). They come "
        "with the TensorRT SDK, not with its pip packages; let $TENSORRT_INCLUDE_DIR name their folder."
    )


def headers_version(include: Path) -> tuple[int, int, int]:
    """Return the version of TensorRT's headers.

    Raises:
        SetupError: NvInferVersion.h does not define it.
    """
    file = include / "NvInferVersion.h"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    defined = dict(re.findall(r"^#define\s+(\w+)\s+(\w+)", text, re.MULTILINE))
    parts = [defined.get(f"NV_TENSORRT_{part}", "") for part in ("MAJOR", "MINOR", "PATCH")]
    # newer headers define them by way of another name
    numbers = [defined.get(part, part) for part in parts]
    if not all(number.isdigit() for number in numbers):
        raise SetupError(f"{file} does not tell TensorRT's version; are these the headers of TensorRT 10 or later?")
    major, minor, patch = map(int, numbers)
    return major, minor, patch


def library_version(library: Path) -> tuple[int, int, int]:
    """Return the version of the headers a library was built with.

    Raises:
        SetupError: it cannot be loaded, or is not ours.
    """
    try:
        number = ctypes.CDLL(str(library)).mambapro_tensorrt_headers()
    except (OSError, AttributeError) as error:
        raise SetupError(f"{library} is not a plugin library of mambapro: {error}") from error
    return number // 10000, number // 100 % 100, number % 100


def library_gpus(library: Path) -> tuple[set[int], set[int]]:
    """Return the compute capabilities, 86 for 8.6, of a library's machine code and of its PTX.

    Raises:
        SetupError: the library does not state them.
    """
    try:
        function = ctypes.CDLL(str(library)).mambapro_gpus
    except AttributeError as error:
        raise SetupError(
            f"The plugin library {escaped(library)} does not state the GPUs it has code for: it was built by an "
            "earlier release. Build it again: mambapro plugins build tensorrt."
        ) from error
    function.restype = ctypes.c_char_p
    code = re.findall(r"(sm|compute)_(\d+)", function().decode())
    numbers = [{int(number) for kind, number in code if kind == wanted} for wanted in ("sm", "compute")]
    return numbers[0], numbers[1]


def require_gpus(library: Path, capabilities: Sequence[str]) -> None:
    """Reject a library without code for every one of the GPUs, such as "8.6".

    Machine code runs on later GPUs of the same major version, PTX on all later ones.

    Raises:
        SetupError: it has none for some.
    """
    code, ptx = library_gpus(library)

    def runs_on(gpu: int) -> bool:
        """Return True if the library has code for a GPU."""
        return any(x // 10 == gpu // 10 and x <= gpu for x in code) or any(x <= gpu for x in ptx)

    missing = [capability for capability in capabilities if not runs_on(int(capability.replace(".", "")))]
    if missing:
        has = ", ".join(f"{x // 10}.{x % 10}" for x in sorted(code | ptx)) or "no GPU at all"
        least = min(map(int, cuda_compiler.ARCHITECTURES))
        raise SetupError(
            f"The plugin library {escaped(library)} has code for compute capability {has}, not for "
            f"{', '.join(missing)}. Build it again: mambapro plugins build tensorrt compiles one for "
            f"{least // 10}.{least % 10} and all later."
        )


def check_headers(trt: Any, version: tuple[int, int, int]) -> None:
    """Require the same major version: TensorRT 11 calls some plugin interfaces differently than 10.

    Raises:
        SetupError: it is not.
    """
    major = int(trt.__version__.split(".")[0])
    allowed = _RTX_MAJORS if trt.__name__ == "tensorrt_rtx" else (major,)
    if version[0] not in allowed:
        raise SetupError(
            f"the headers are those of TensorRT {version[0]}.{version[1]}, but {trt.__name__} {trt.__version__} takes "
            f"plugins built with headers of version {' or '.join(map(str, allowed))}; set $TENSORRT_INCLUDE_DIR."
        )


def _code_flags(nvcc: str, wanted: Sequence[int] | None) -> list[str]:
    """Return flags for machine code of every architecture, and PTX for others: the newest, and 9.0 if included.

    Between 9.0 and the newest there are GPUs, 11.0 for one, that support neither other machine code nor the newest PTX.
    """
    output = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=False).stdout
    known = {int(number) for number in re.findall(r"compute_(\d+)", output)}
    ours = {int(number) for number in cuda_compiler.ARCHITECTURES}
    chosen = sorted(known & ours if wanted is None else set(wanted))
    if not chosen or not known.issuperset(chosen):
        refused = sorted(set(chosen or ours) - known)
        raise InputError(f"{nvcc} compiles for compute capabilities {sorted(known)}, not for {refused}.")
    code = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in chosen]
    portable = sorted({chosen[-1], *({_PORTABLE} & set(chosen))})
    return code + [f"-gencode=arch=compute_{number},code=compute_{number}" for number in portable]
