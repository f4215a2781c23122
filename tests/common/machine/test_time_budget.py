"""What may never end has a budget, and says so."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import odd_graphs
import pytest
from mambapro.common.machine import time_budget
from mambapro.common.machine.time_budget import VARIABLE, Deadline, first_run_seconds, loading_seconds, within
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.bundle.checksums import MODEL, write_sums
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.verification.check import check_bundle

pytestmark = pytest.mark.alone


def test_endless_loop_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """ArtifactError after the budget, which it names; ONNX Runtime is free for other work then."""
    monkeypatch.setenv(VARIABLE, "0.2")
    backend = OnnxRuntimeBackend(odd_graphs.odd_graphs()["endless_loop"], "cpu")
    before = threading.active_count()
    started = time.monotonic()

    with pytest.raises(ArtifactError, match=r"first run of the model in memory did not end within 0 s.*set MAMBAPRO_"):
        backend.run({"x": np.ones(4, np.float32)})

    assert time.monotonic() - started < 5
    assert threading.active_count() <= before


def test_only_the_first_run_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a graph has ended, its runs cost nothing more."""
    backend = OnnxRuntimeBackend(odd_graphs.plain_graph(), "cpu")
    watched: list[float] = []
    monkeypatch.setattr(
        "mambapro.runtime.backends.onnxruntime.Deadline",
        lambda stop, seconds: watched.append(seconds) or Deadline(stop, seconds),  # type: ignore[func-returns-value]
    )

    found = [backend.run({"x": np.ones(4, np.float32)})["y"] for _ in range(3)]

    assert len(watched) == 1
    np.testing.assert_array_equal(found, -np.ones((3, 4), np.float32))


def test_a_busy_machine_gets_more_time() -> None:
    """What was given none of the processor during its budget may go on, but not for ever."""
    assert within(lambda: threading.Event().wait(0.3), 0.1, "The loading of m.onnx") is False

    started = time.monotonic()
    with pytest.raises(ArtifactError, match="did not end within 0 s"):
        within(lambda: threading.Event().wait(5), 0.1, "The loading of m.onnx")
    time_budget._stuck.clear()
    assert 0.5 < time.monotonic() - started < 4


def test_a_call_that_computes_has_its_budget_alone() -> None:
    """One that keeps the processor busy is ended after it."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            pass

    used = time.process_time()
    with pytest.raises(ArtifactError, match="did not end"):
        within(compute, 0.2, "The loading of m.onnx")
    stop.set()
    time_budget._stuck.clear()
    assert time.process_time() - used < 1


def test_what_does_not_end_is_left_behind() -> None:
    """ArtifactError names the budget, and the process ends all the same."""
    code = (
        "import threading\n"
        "from mambapro.common.machine.time_budget import is_stuck, within\n"
        "from mambapro.errors import ArtifactError\n"
        "try:\n    within(threading.Event().wait, 0.05, 'The loading of m.onnx')\n"
        "except ArtifactError as error:\n    print(error, is_stuck())\n"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout

    assert said.startswith("The loading of m.onnx did not end within 0 s, its budget") and said.endswith("True\n")


def test_results_and_errors_come_through() -> None:
    """What the call returns is returned, what it raises is raised, and neither counts as stuck."""
    assert within(lambda: 7, 10, "x") == 7
    with pytest.raises(KeyError, match="mine"):
        within(lambda: {}["mine"], 10, "x")
    assert not time_budget._stuck.is_set()


def test_budgets_grow_with_the_model_and_the_batch() -> None:
    """A large model on a slow board has its minutes, a tiny foreign one does not."""
    assert loading_seconds(10_000) < 9 and first_run_seconds(10_000, 32) < 9
    assert loading_seconds(557_000_000) > 120
    assert first_run_seconds(557_000_000, 32) > 10 * first_run_seconds(557_000_000, 1) > 100


def test_budget_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """MAMBAPRO_GRAPH_SECONDS stands for both; what is no number of seconds is InputError."""
    monkeypatch.setenv(VARIABLE, "77")
    assert loading_seconds(1) == first_run_seconds(10**9, 32) == 77
    for text in ("0", "-1", "nan", "inf", "soon"):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(InputError, match="number of seconds"):
            loading_seconds(1)


def test_check_of_a_bundle_that_never_ends(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign model.onnx with a Loop is refused by check and by the extractor before any runtime loads it."""
    (bundle / MODEL).write_bytes(odd_graphs.odd_graphs()["endless_loop"])
    write_sums(bundle)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    for call in (check_bundle, Extractor):
        with pytest.raises(ArtifactError, match=r"model\.onnx holds Loop"):
            call(bundle, "cpu")


def test_a_first_run_on_a_busy_machine_gets_more_time() -> None:
    """A run that was given none of the processor during its budget is not stopped yet, but later it is."""
    stopped = threading.Event()

    with Deadline(stopped.set, 0.1) as short:
        assert not stopped.wait(0.3)
    assert not short.passed and not stopped.is_set()

    with Deadline(stopped.set, 0.1) as long:
        assert stopped.wait(5)
    assert long.passed
