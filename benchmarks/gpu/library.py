"""The C++ plugin library for TensorRT, driven by a small host program: every type and split of its enqueue."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from part import ROOT, NoGpu, Record, Skipped, finish

NO_GPU = 3


def host_program(headers: Path, output: Path) -> Path:
    """tensorrt_host.cpp, compiled against TensorRT's and CUDA's headers."""
    from mambapro.plugins.compile import cxx_compiler
    from mambapro.plugins.cuda import compiler as cuda_compiler

    includes = ["-isystem", str(headers), "-isystem", str(cuda_compiler.include_folder())]
    source = str(ROOT / "tests/plugins/selective_scan/tensorrt/csrc/tensorrt_host.cpp")
    subprocess.run([cxx_compiler(), "-std=c++17", "-O2", *includes, source, "-o", str(output), "-ldl"], check=True)
    return output


def run(record: Record) -> None:
    from mambapro.errors import SetupError
    from mambapro.plugins.selective_scan.tensorrt import plugin_library

    try:
        headers = plugin_library.include_folder()
        library = plugin_library.build(headers)
    except SetupError as error:
        raise Skipped(str(error)) from None
    with tempfile.TemporaryDirectory() as folder:
        program = host_program(headers, Path(folder) / "host")
        done = subprocess.run([program, library], capture_output=True, text=True, check=False)
    if done.returncode == NO_GPU:
        raise NoGpu("enqueue found no GPU; all else of the library is right")
    lines = [line for line in done.stdout.splitlines() if " lanes " in line]
    record.notes += lines
    for line in lines:
        record.hold(line, not line.startswith("WRONG"))
    record.hold(f"the host program ended with {done.returncode}: {done.stdout[-500:]}", done.returncode == 0)


if __name__ == "__main__":
    finish(run)
