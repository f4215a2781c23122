"""The CPU kernel's own threads: those that come late."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from mambapro.plugins.selective_scan.cpu import kernel as cpu_kernel

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


def test_late_threads_do_not_join_a_finished_crew(tmp_path: Path) -> None:
    """A crew lies on its caller's stack: a thread that wakes after its end must find nothing to do."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    source, program = tmp_path / "late.cpp", tmp_path / "late"
    source.write_text(LATE)
    flags = ["-std=c++17", "-O0", "-pthread", "-w", f"-I{cpu_kernel.CSRC}", '-DMAMBAPRO_SOURCE="test"']
    subprocess.run([compiler, *flags, source, "-o", program, "-ldl"], check=True)

    done = subprocess.run([program], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.returncode) == ("0\n", 0)
