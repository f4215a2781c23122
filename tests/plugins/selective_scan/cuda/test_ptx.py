"""The PTX in the package: made from the present sources, and assembled for every architecture without spills."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mambapro.errors import SetupError
from mambapro.plugins.cuda import compiler as cuda_compiler
from mambapro.plugins.selective_scan.cuda import build_ptx
from mambapro.plugins.selective_scan.cuda.kernel_table import TYPES, ptx_file

NAMES = tuple(TYPES.values())


def stored(name: str) -> str:
    """The PTX text of a type as it ships."""
    return gzip.decompress(ptx_file(name).read_bytes()).decode("ascii")


@pytest.mark.parametrize("name", NAMES)
def test_it_was_made_from_these_sources(name: str) -> None:
    """After a change of the kernels `python -m mambapro.plugins.selective_scan.cuda.build_ptx` has to be run."""
    assert build_ptx.source_hash(name) in stored(name)[:400]


@pytest.mark.parametrize("name", NAMES)
def test_the_sources_compile_to_it(name: str) -> None:
    """The compiler that the head names gives the same text again."""
    try:
        release = build_ptx.compiler_release(cuda_compiler.nvcc())
    except SetupError as error:
        pytest.skip(str(error))
    if f"nvcc {release}\n" not in stored(name)[:400]:
        pytest.skip(f"another release than {release} wrote it")

    assert build_ptx.build(name) == stored(name)


def test_no_compiler_release() -> None:
    """A compiler that does not state its version is unknown, and never equal to the one in a head."""
    assert build_ptx.compiler_release(Path(sys.executable)) == "unknown"


@pytest.mark.parametrize("architecture", cuda_compiler.ARCHITECTURES)
@pytest.mark.parametrize("name", NAMES)
def test_it_assembles_without_spills(name: str, architecture: str, tmp_path: Path) -> None:
    """Every kernel keeps what it needs in registers: no spills and no stack, as the assembler reports them."""
    try:
        ptxas = cuda_compiler.ptxas()
    except SetupError as error:
        pytest.skip(str(error))
    ptx = tmp_path / "kernels.ptx"
    ptx.write_text(stored(name), encoding="ascii")
    command = [str(ptxas), "-v", f"-arch=sm_{architecture}", str(ptx), "-o", str(tmp_path / "kernels.cubin")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(frames) == stored(name).count(".entry")
    assert set(frames) == {("0", "0", "0")}
