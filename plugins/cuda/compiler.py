"""Location of NVIDIA's compiler: the user's, or that of the wheels (`pip install cuda-toolkit[nvcc]`)."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...errors import SetupError

#: Compute capabilities of the kernels, from Turing to Blackwell; Orin (8.7) is Jetson's.
ARCHITECTURES = ("75", "80", "86", "87", "89", "90", "100", "120")


def _candidates() -> Iterator[Path]:
    given = os.environ.get("NVCC")
    if given:
        # the user's choice is used or rejected, never replaced
        yield Path(given)
        return
    found = shutil.which("nvcc")
    if found:
        yield Path(found)
    wheels = importlib.util.find_spec("nvidia")
    for folder in (wheels.submodule_search_locations or ()) if wheels else ():
        yield from sorted(Path(folder).glob("cu*/bin/nvcc"), reverse=True)
    yield Path("/usr/local/cuda/bin/nvcc")


def nvcc() -> Path:
    """Return the path of nvcc: `$NVCC`, on the path, in the wheels, or in /usr/local/cuda.

    Raises:
        SetupError: there is none.
    """
    for path in _candidates():
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise SetupError(
        "no CUDA compiler found (looked for $NVCC, nvcc on the path, in NVIDIA's wheels and in /usr/local/cuda); "
        "pip install 'cuda-toolkit[nvcc]', or install the CUDA toolkit and set NVCC to its nvcc."
    )


def ptxas() -> Path:
    """Return the path of the assembler that belongs to `nvcc()`.

    Raises:
        SetupError: there is none.
    """
    compiler = nvcc()
    for folder in (compiler.parent, compiler.resolve().parent):
        if (folder / "ptxas").is_file():
            return folder / "ptxas"
    found = shutil.which("ptxas")
    if found:
        return Path(found)
    raise SetupError(f"{compiler} has no ptxas beside it and none is on the path; install the whole CUDA toolkit.")


def include_folder() -> Path:
    """Return the folder of CUDA's headers: of the toolkit of `nvcc()`, of NVIDIA's wheels, or in `$CUDA_HOME`.

    Raises:
        SetupError: there are none.
    """
    tried = [nvcc().resolve().parents[1] / "include"]
    wheels = importlib.util.find_spec("nvidia")
    for folder in (wheels.submodule_search_locations or ()) if wheels else ():
        tried += sorted(Path(folder).glob("*/include"), reverse=True)
    tried.append(Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include")
    for path in tried:
        if all((path / name).is_file() for name in ("cuda_runtime_api.h", "crt/host_defines.h")):
            return path
    raise SetupError(
        f"no CUDA headers found (looked in {', '.join(map(str, tried))}); pip install 'cuda-toolkit[nvcc]', or install "
        "the CUDA toolkit and set CUDA_HOME."
    )
