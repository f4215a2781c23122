"""Writes the PTX that ships with the package: `python -m mambapro.plugins.selective_scan.cuda.build_ptx`.

One file for each I/O type, for compute capability 7.5: drivers compile it for any later GPU when they load it. Every
instruction in it is old, so the version is lowered to the first that knows 7.5, and drivers from CUDA 10 on accept it.
A test assembles it for all architectures.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from ....errors import SetupError
from ...cuda import compiler as cuda_compiler
from .kernel_table import PTX_FOLDER, TYPES

CSRC = Path(__file__).parent / "csrc"
#: The first PTX version with `.target sm_75`.
PTX_VERSION = "6.3"
FLAGS = ("-std=c++17", "-O3", "-arch=compute_75", "-ptx")
_HEADERS = ("scan_core.cuh", "scan_maps.cuh", "scan_forward.cuh", "scan_backward.cuh")


def sources(name: str) -> list[Path]:
    """What the PTX of a type ("fp32", "fp16", "bf16") is compiled from, headers first."""
    return [CSRC / file for file in (*_HEADERS, f"scan_forward_{name}.cu", f"scan_backward_{name}.cu")]


def source_hash(name: str) -> str:
    """sha256 over the flags and the sources of a type; stands in the first lines of its PTX."""
    digest = hashlib.sha256(" ".join((*FLAGS, PTX_VERSION)).encode())
    for path in sources(name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def build(name: str) -> str:
    """PTX text of all kernels of a type.

    Raises:
        SetupError: no nvcc, or it failed.
    """
    compiler = cuda_compiler.nvcc()
    bodies = [_compile(compiler, path) for path in sources(name) if path.suffix == ".cu"]
    header = [
        f"// The selective scan with {name} input and output; written by cuda/build_ptx.py",
        f"// sources: sha256 {source_hash(name)}",
        f".version {PTX_VERSION}",
        ".target sm_75",
        ".address_size 64",
    ]
    return "\n".join((*header, *bodies)) + "\n"


def _compile(compiler: Path, source: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "kernels.ptx"
        command = [str(compiler), *FLAGS, str(source), "-o", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(f"compiling {source.name} failed:\n$ {shlex.join(command)}\n{done.stderr.strip()}")
        return _plain(output.read_text(encoding="ascii"))


def _plain(ptx: str) -> str:
    """Without comments, empty lines, indentation and the three lines of the header: a quarter smaller."""
    ptx = re.sub(r"//[^\n]*|^\.(version|target|address_size)[^\n]*", "", ptx, flags=re.MULTILINE)
    lines = (re.sub(r"\s+", " ", line).strip().replace(", ", ",") for line in ptx.splitlines())
    return "\n".join(line for line in lines if line)


def main() -> None:
    """Write the files."""
    PTX_FOLDER.mkdir(exist_ok=True)
    for name in TYPES.values():
        path = PTX_FOLDER / f"scan_{name}.ptx"
        path.write_text(build(name), encoding="ascii")
        sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
