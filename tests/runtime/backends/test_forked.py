"""Extractors and backends in children of fork(), and pickled: opened again or refused in words, never a hang.

Everything runs in processes of its own with a time limit: a hang is a failure.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.environment import identity_model
from mambapro.runtime.extractor import Extractor

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

#: Opens a bundle, uses it and forks; `in_child` runs a function in a child that ends as a Python program does.
START = """
import multiprocessing, os, signal, sys
import numpy as np
from mambapro.errors import InputError
from mambapro.runtime.extractor import Extractor

# a process that hangs is ended; faulthandler's own thread would not survive a fork
signal.alarm(60)
extractor = Extractor(sys.argv[1], "cpu", target=sys.argv[2], threads=2)
images = {name: np.full((2, 16, 8, 3), 90, np.uint8) for name in ("rgb", "nir", "tir")}
wanted = extractor.embed(images)

def in_child(function):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        # the limit of the parent is not inherited
        signal.alarm(30)
        function()
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

USE = """
def use(_):
    return extractor.embed(images)

with multiprocessing.get_context("fork").Pool(2) as pool:
    for found in pool.map(use, range(4)):
        assert np.array_equal(found, wanted)

def call():
    assert np.array_equal(extractor(**images), extractor(**images))

assert in_child(call) == 7
assert np.array_equal(extractor.embed(images), wanted)
print("done")
"""

FREE = """
import gc

backend = extractor.backend

def refused():
    try:
        backend.run({})
    except InputError as error:
        assert "was opened in" in str(error) and "this is its child" in str(error), error
    else:
        sys.exit(1)
    backend.close()

def freed():
    global extractor, backend
    del extractor, backend
    gc.collect()

def closed():
    extractor.close()
    try:
        extractor.embed(images)
    except InputError:
        return
    sys.exit(1)

assert in_child(refused) == 7
assert in_child(freed) == 7
assert in_child(closed) == 7
assert np.array_equal(extractor.embed(images), wanted)
print("done")
"""

LOADER = """
import torch

class Frames(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return extractor.embed(images)

for batch in torch.utils.data.DataLoader(Frames(), batch_size=2, num_workers=2, multiprocessing_context="fork"):
    assert np.array_equal(batch[1].numpy(), wanted)
print("done")
"""


def run(code: str, *arguments: object) -> str:
    """What a program prints; it and all its children are ended after a while."""
    command = [sys.executable, "-c", START + code, *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code_of_exit = process.wait(timeout=90)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        said.seek(0)
        text = said.read()
    assert code_of_exit == 0, text[-3000:]
    return text


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
class TestChild:
    def test_a_child_opens_the_model_anew(self, with_openvino: Path, target: str) -> None:
        """A Pool and a plain fork get the parent's numbers; the parent goes on."""
        assert run(USE, with_openvino, target) == "done\n"

    def test_a_child_frees_nothing_of_the_parents(self, with_openvino: Path, target: str) -> None:
        """The backend itself refuses in words; garbage collection, close and the end of the child do not hang."""
        assert run(FREE, with_openvino, target) == "done\n"


def test_data_loader_with_workers(with_openvino: Path) -> None:
    """Workers of PyTorch's DataLoader use the parent's extractor on OpenVINO."""
    pytest.importorskip("torch")
    assert run(LOADER, with_openvino, "openvino") == "done\n"


def test_a_gpu_is_not_taken_over(bundle: Path, images: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model on CUDA is refused in a child: the driver does not survive a fork."""
    with Extractor(bundle, "cpu") as extractor:
        extractor._backend.provider = "CUDAExecutionProvider"
        extractor.after_fork()

        with pytest.raises(InputError, match=r"on CUDAExecutionProvider, by process .*spawn"):
            extractor.embed(images)


def test_the_driver_refuses_in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it was started in the parent, a child is told so before the driver is called."""
    monkeypatch.setattr(cuda_driver, "_forked_from", 17)
    cuda_driver.library.cache_clear()

    with pytest.raises(InputError, match="started by process 17"):
        cuda_driver.library()


class TestPickle:
    def test_unpickled_it_is_open(self, with_openvino: Path, images: dict) -> None:
        """The same artifact of the same bundle with the same options, and the same numbers."""
        given = {"batch_size": 3, "threads": 1, "sixteen_bit_range": (0, 4000)}
        with Extractor(with_openvino, "cpu", **given) as extractor, pickle.loads(pickle.dumps(extractor)) as other:
            np.testing.assert_array_equal(other(**images), extractor(**images))

            found = other.artifact, other.batch_size, other.backend.threads, other.fingerprint
            assert found == (extractor.artifact, 3, 1, extractor.fingerprint)

    def test_another_bundle_in_its_place_is_refused(self, with_openvino: Path) -> None:
        """ArtifactError where the bundle of that path holds another model by then."""
        with Extractor(with_openvino, "cpu", target="onnxruntime") as extractor:
            how, (*arguments, _) = extractor.__reduce__()

        with pytest.raises(ArtifactError, match="replaced meanwhile"):
            how(*arguments, "0" * 64)

    def test_a_backend_is_not_pickled(self) -> None:
        """InputError says what can be."""
        with pytest.raises(InputError, match="Pickle the Extractor"):
            pickle.dumps(OnnxRuntimeBackend(identity_model(), device="cpu"))
