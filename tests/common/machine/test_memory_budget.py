"""What asks for all memory has a budget, and says so."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading

import numpy as np
import odd_graphs
import pytest
from mambapro.common.machine.memory_budget import bounded
from mambapro.common.machine.time_budget import within
from mambapro.errors import ArtifactError
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.backends.openvino import OpenVinoBackend

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process may have")


def limit() -> int:
    """The limit of this process now."""
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


def test_a_graph_that_asks_for_all_memory_is_refused_at_its_first_run() -> None:
    """ArtifactError names the budget and the option; the limit is gone afterwards, and other models run."""
    before = limit()
    # ONNX Runtime 1.24 computes the constant when it loads the model, 1.32 when it runs it
    words = r"(first run|loading) of the model in memory asks for more than \d+ GiB.*MAX_GIB"

    with pytest.raises(ArtifactError, match=words):
        OnnxRuntimeBackend(odd_graphs.all_memory(), "cpu").run({"x": np.ones(4, np.float32)})

    assert limit() == before
    found = OnnxRuntimeBackend(odd_graphs.plain_graph(), "cpu").run({"x": np.ones(4, np.float32)})["y"]
    np.testing.assert_array_equal(np.unique(found), [-1])


def test_a_graph_that_is_unfolded_while_it_is_loaded() -> None:
    """OpenVINO computes constants when it compiles: the loading has the budget too."""
    content = odd_graphs.all_memory()

    with (
        pytest.raises(ArtifactError, match=r"The loading of it asks for more than \d+ GiB"),
        bounded(0, 0, "The loading of it"),
    ):
        within(lambda: OpenVinoBackend(content), 60, "The loading of it")


def test_the_last_of_several_lifts_the_limit() -> None:
    """Blocks of several threads share one limit, which ends with the last of them."""
    before, inside, leave = limit(), threading.Event(), threading.Event()

    def other() -> None:
        with bounded(0, 1, "x"):
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    with bounded(0, 0, "y"):
        held = limit()
        thread.start()
        assert inside.wait(30)
    assert before != held == limit()
    leave.set()
    thread.join()
    assert limit() == before


def test_a_child_of_fork_is_free() -> None:
    """A child does not inherit a limit that nothing in it would lift."""
    before = limit()
    with bounded(0, 0, "x"), multiprocessing.get_context("fork").Pool(1) as pool:
        assert limit() != before
        assert pool.apply(limit) == before


def test_a_limit_of_the_user_s_own_is_kept() -> None:
    """Under ulimit -v nothing is set, and what is raised there stays what it is."""
    code = (
        "import resource\n"
        "from mambapro.common.machine.memory_budget import bounded\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))\n"
        "try:\n"
        "    with bounded(0, 0, 'x'):\n"
        "        print(resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY)\n"
        "        raise MemoryError('mine')\n"
        "except MemoryError as error:\n"
        "    print(error)\n"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout

    assert said == "True\nmine\n"
