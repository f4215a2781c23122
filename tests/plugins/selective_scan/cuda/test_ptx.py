"""The PTX in the package: made from the present sources, and assembled for every architecture without spills."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from mambapro.errors import SetupError
from mambapro.plugins.cuda import compiler as cuda_compiler
from mambapro.plugins.selective_scan.cuda import build_ptx
from mambapro.plugins.selective_scan.cuda.kernel_table import PTX_FOLDER, TYPES

NAMES = tuple(TYPES.values())


@pytest.mark.parametrize("name", NAMES)
def test_it_was_made_from_these_sources(name: str) -> None:
    """After a change of the kernels `python -m mambapro.plugins.selective_scan.cuda.build_ptx` has to be run."""
    header = (PTX_FOLDER / f"scan_{name}.ptx").read_text(encoding="ascii")[:400]

    assert build_ptx.source_hash(name) in header


@pytest.mark.parametrize("architecture", cuda_compiler.ARCHITECTURES)
@pytest.mark.parametrize("name", NAMES)
def test_it_assembles_without_spills(name: str, architecture: str, tmp_path: Path) -> None:
    """Every kernel keeps what it needs in registers: no spills and no stack, as the assembler reports them."""
    try:
        ptxas = cuda_compiler.ptxas()
    except SetupError as error:
        pytest.skip(str(error))
    ptx = PTX_FOLDER / f"scan_{name}.ptx"
    command = [str(ptxas), "-v", f"-arch=sm_{architecture}", str(ptx), "-o", str(tmp_path / "kernels.cubin")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(frames) == ptx.read_text(encoding="ascii").count(".entry")
    assert set(frames) == {("0", "0", "0")}
