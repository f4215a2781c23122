"""The CPU kernel's threads: their denormal numbers, forks, and threads that come late."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mambapro.plugins.selective_scan import cpu_op
from mambapro.plugins.selective_scan.schema import INPUTS, ScanShape

#: A pool whose crews are done before its new threads have started: none of them may come to a crew that has ended.
LATE = r"""
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>
// the portable kernel alone is compiled in a third of the time
#undef __x86_64__
#include "scan_cpu.cpp"

int main() {
    int late = 0;
    for (int i = 0; i < 20; ++i) {
        Pool &pool = *new Pool;
        Crew &crew = *new Crew{[](void *, int64_t, int) {}, nullptr, 1};
        if (!pool.run(crew, 8)) return 2;
        const int arrived = crew.arrived;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        late += crew.arrived - arrived;
    }
    std::printf("%d\n", late);
    return 0;
}
"""

#: Forks after the kernel's threads have worked. With an argument its threads are those of OpenMP.
FORK = """
import ctypes, os, signal, sys
import numpy as np
from mambapro.plugins.selective_scan import cpu_op
from mambapro.plugins.selective_scan.schema import ScanShape

if sys.argv[1:]:
    ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
inputs = [np.ones(n, np.float32) for n in (65536, 65536, 4096, 4096, 4096, 256, 256)]

def scan():
    y = np.zeros(65536, np.float32)
    places = [array.ctypes.data for array in inputs]
    cpu_op.forward(ScanShape(1, 256, 256, 1, 16), "float32", 2, places, y.ctypes.data)
    return y

wanted = scan()
signal.alarm(60)
child = os.fork()
if child == 0:
    signal.alarm(20)
    before = len(os.listdir("/proc/self/task"))
    right = (scan() == wanted).all()
    print(before, len(os.listdir("/proc/self/task")), right, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert (scan() == wanted).all()
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("kind", "small", "smaller"), [("float32", 1e-30, 1e-10), ("float64", 1e-300, 1e-10)])
@pytest.mark.parametrize("instructions", cpu_op.instruction_sets())
def test_denormal_numbers_are_zero(instructions: str, kind: str, small: float, smaller: float, threads: int) -> None:
    """In every thread, as a result (u D) and as an input (u): without a state y is their product."""
    before = cpu_op.instruction_set()
    cpu_op.use_instruction_set(instructions)
    size = ScanShape(2, 64, 256, 1, 4)
    shapes = dict(zip(INPUTS, [(2, 64, 256)] * 2 + [(256, 4)] + [(2, 64, 1, 4)] * 2 + [(256,)] * 2, strict=True))
    denormal = np.finfo(kind).smallest_normal / 4
    found = []
    try:
        for u, scale in ((small, smaller), (denormal, 1e10)):
            arrays = {name: np.zeros(shape, kind) for name, shape in shapes.items()}
            arrays["u"][:], arrays["D"][:] = u, scale
            y = np.full(shapes["u"], 7, kind)
            cpu_op.forward(size, kind, threads, [arrays[name].ctypes.data for name in INPUTS], y.ctypes.data)
            found.append(y)
    finally:
        cpu_op.use_instruction_set(before)

    assert all((y == 0).all() for y in found)
    # not by the numbers alone: outside of the kernel they are none
    assert np.full(1, small, kind)[0] * np.array(smaller, kind) > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux to count threads")
class TestFork:
    def test_a_child_gets_threads_of_its_own(self) -> None:
        """It has none of its parent's, so it makes one for two; the numbers are the same."""
        done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=90)

        assert (done.stdout, done.returncode) == ("1 2 True\n", 0), done.stderr

    def test_a_child_does_not_wait_for_openmp(self) -> None:
        """OpenMP's threads are gone in a child as well, and it would wait for them for ever."""
        library = "libgomp.so.1"
        found = subprocess.run(
            [sys.executable, "-c", f"import ctypes; ctypes.CDLL('{library}')"], capture_output=True, check=False
        )
        if found.returncode:
            pytest.skip(f"needs {library}")

        done = subprocess.run([sys.executable, "-c", FORK, library], capture_output=True, text=True, timeout=90)

        assert (done.stdout, done.returncode) == ("1 2 True\n", 0), done.stderr


def test_late_threads_do_not_join_a_finished_crew(tmp_path: Path) -> None:
    """A crew lies on its caller's stack: a thread that wakes after its end must find nothing to do."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    source, program = tmp_path / "late.cpp", tmp_path / "late"
    source.write_text(LATE)
    flags = ["-std=c++17", "-O0", "-pthread", "-w", f"-I{cpu_op.CSRC}", '-DMAMBAPRO_SOURCE="test"']
    subprocess.run([compiler, *flags, source, "-o", program, "-ldl"], check=True)

    done = subprocess.run([program], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.returncode) == ("0\n", 0)
