"""First calls of a fresh process from many threads at once, opening and closing included: never a deadlock.

Each case is a process of its own with a time limit, in which threads change as often as the interpreter lets them.
"""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import openvino
import pytest
from mambapro.runtime.backends import openvino as module
from mambapro.runtime.backends.openvino import OpenVinoBackend
from mambapro.runtime.environment import identity_model

CODE = """
import faulthandler, sys, threading
import numpy as np
from mambapro.errors import InputError
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.backends.openvino import OpenVinoBackend
from mambapro.runtime.environment import identity_model

make, scene = {"openvino": OpenVinoBackend, "onnxruntime": OnnxRuntimeBackend}[sys.argv[1]], sys.argv[2]
faulthandler.dump_traceback_later(60, exit=True)
shared = None if scene == "open" else make(identity_model(), threads=1)
barrier, ended = threading.Barrier(16), []
sys.setswitchinterval(1e-6)

def work(number):
    barrier.wait()
    backend = shared or make(identity_model(), threads=1)
    if scene == "close" and number == 7:
        backend.close()
    try:
        for _ in range(20 if scene == "close" else 1):
            assert backend.run({"x": np.ones(1, np.float32)})["y"] == 1
    except InputError:
        # what comes after the close
        assert scene == "close"
    if shared is None:
        backend.close()
    ended.append(number)

threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(ended) == 16
"""
CASES = [
    *[("openvino", scene) for scene in ("run", "run", "open", "close", "close")],
    *[("onnxruntime", scene) for scene in ("run", "open", "close")],
]


def test_cold_calls_from_many_threads() -> None:
    """Sixteen threads: first runs, first openings, and a close in the middle of runs."""
    processes = [
        subprocess.Popen([sys.executable, "-c", CODE, *case], stderr=subprocess.PIPE, text=True) for case in CASES
    ]

    ends = [
        (case, process.communicate(timeout=120)[1], process.returncode)
        for case, process in zip(CASES, processes, strict=True)
    ]

    assert [(case, said) for case, said, code in ends if code] == []


def test_a_run_asks_for_no_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are known from opening: OpenVINO's table of types is filled on first use and fights for Python's lock."""
    backend = OpenVinoBackend(identity_model(), threads=1)

    def asked(kind: object) -> None:
        raise AssertionError("a type was looked up while the model ran")

    monkeypatch.setattr(openvino.Type, "to_dtype", asked)

    assert backend.run({"x": np.ones(1, np.float32)})["y"] == 1


def test_the_first_opening_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until one model is open only one thread is in OpenVINO; afterwards they need not wait."""
    inside, most, real = [], [], module._read

    def read(*arguments: object) -> object:
        inside.append(1)
        most.append(len(inside))
        try:
            return real(*arguments)  # type: ignore[arg-type]
        finally:
            inside.pop()

    monkeypatch.setattr(module, "_read", read)
    monkeypatch.setattr(module, "_opened_before", False)
    first = threading.Event()

    def open_one() -> None:
        first.wait()
        OpenVinoBackend(identity_model(), threads=1).close()

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    first.set()
    for thread in threads:
        thread.join()

    assert most == [1, 1, 1, 1]
    assert module._opened_before
