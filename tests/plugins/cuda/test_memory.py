"""Device: what ctypes hands to the driver is what cuda.h's prototypes ask for."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path

import fake_cuda
import numpy as np
import pytest
from mambapro.errors import InputError, SetupError
from mambapro.plugins import compile as compiling
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.plugins.cuda.memory import Device, gpu, view

SOURCE = Path(fake_cuda.__file__).with_name("cuda_prototypes.cpp")


@pytest.fixture
def prototypes(monkeypatch):
    """A driver with the real prototypes, compiled against cuda.h."""
    spec = util.find_spec("nvidia")
    places = (spec.submodule_search_locations if spec else None) or ()
    headers = [path for place in places for path in Path(place).rglob("cuda.h")]
    if not headers:
        pytest.skip("no cuda.h here: it comes with NVIDIA's pip packages of the CUDA runtime")
    try:
        compiler = compiling.cxx_compiler()
    except SetupError as error:
        pytest.skip(str(error))
    flags = ["-std=c++17", "-fPIC", f"-I{headers[0].parent}"]
    library = ctypes.CDLL(str(compiling.shared_library("cuda_prototypes", [SOURCE], flags, compiler)))
    monkeypatch.setattr(cuda_driver, "library", lambda: library)
    return library


def test_every_call_arrives_whole(prototypes):
    """Addresses, sizes, flags and handles of 64 bits, by position; data go there and back."""
    device = Device(2)
    assert (device.gpu.name, device.gpu.capability) == ("Prototype", "8.7")
    with device.current():
        assert prototypes.fake_current() == 1
        there, here, stream = device.allocate(1000), device.allocate_host(1000), device.stream()
        values = view(here, np.dtype(np.float32), 250)
        values[:] = np.arange(250)
        device.to_device(there, here, 1000, stream)
        values[:] = 0
        device.to_host(here, there, 1000, stream)
        device.synchronize(stream)
        np.testing.assert_array_equal(values, np.arange(250))
        device.begin_capture(stream)
        graph = device.end_capture(stream)
        device.launch(graph, stream)
        device.begin_capture(stream)
        device.abandon_capture(stream)
        device.abandon_capture(stream)
        device.destroy_graph(graph)
        device.destroy_stream(stream)
        device.free(there)
        device.free_host(here)

    assert (prototypes.fake_launches(), prototypes.fake_current()) == (1, 0)


def test_errors_are_in_the_drivers_words(prototypes):
    """SetupError with the call, what it was about, the words and the number."""
    with pytest.raises(SetupError, match=r"refused cuMemAlloc_v2 of 999 bytes: invalid argument \(1\)"):
        Device(2).allocate(999)
    with pytest.raises(InputError, match="no GPU 3: the driver sees 3"):
        gpu(3)


def test_a_gpu_keeps_its_context(monkeypatch):
    """Retained once for each GPU, whoever asks, on whatever thread, however often; nothing gives it back."""
    driver = fake_cuda.FakeDriver(gpus=2)
    monkeypatch.setattr(cuda_driver, "library", lambda: driver)

    def use(ordinal):
        with Device(ordinal).current():
            return driver.contexts[-1]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(use, [0, 1, 0, 0, 1, 0]))

    assert [cuda_driver.primary_context(ordinal) for ordinal in (0, 1, 0, 0, 1, 0)] == found
    assert len(set(found)) == 2
    assert dict(driver.retained) == {0: 1, 1: 1}
    assert [name for name in driver.calls if "Release" in name or "Reset" in name] == []


def test_a_context_that_was_refused_is_asked_for_again(monkeypatch):
    """SetupError in the driver's words; the next try may succeed."""
    driver = fake_cuda.FakeDriver()
    monkeypatch.setattr(cuda_driver, "library", lambda: driver)
    driver.fail("cuDevicePrimaryCtxRetain")

    with pytest.raises(SetupError, match=r"refused cuDevicePrimaryCtxRetain: out of memory \(2\)"):
        Device(0)
    with Device(0).current():
        assert driver.retained[0] == 1


def test_all_functions_of_the_fake_have_their_prototype(prototypes):
    """The Python fake has no function that was not compiled against cuda.h."""
    assert [name for name in fake_cuda.symbols() if not hasattr(prototypes, name)] == []
