"""Launches through the CUDA driver, on the emulated one: arguments, grids, errors. Host memory is its device memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import cuda_host
import numpy as np
import pytest
import torch
from mambapro.errors import InputError, SetupError
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.plugins.selective_scan import torch_op
from mambapro.plugins.selective_scan.cuda import kernel_table, launch
from mambapro.plugins.selective_scan.schema import INPUTS, ScanShape
from scan_cases import (
    GRADIENT_LIMIT,
    LIMITS,
    Case,
    assert_close,
    output_gradient,
    stored,
    wanted,
    wanted_gradients,
)

CASE = Case(2, 37, 20, 2, 5)
SIZE = ScanShape(2, 37, 20, 2, 5)


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """The emulated driver, with the first GPU's context on this thread."""
    library = cuda_host.library()
    library.cuda_on_host_context(0)
    monkeypatch.setattr(cuda_driver, "LIBRARY", library._name)
    cuda_host.forget_driver()
    yield library
    library.cuda_on_host_context(0)
    cuda_host.forget_driver()


@pytest.fixture
def arrays() -> Iterator[dict[str, np.ndarray]]:
    yield stored(CASE, "float32")


def addresses(arrays: dict[str, np.ndarray]) -> list[int]:
    return [arrays[name].ctypes.data for name in INPUTS]


def elsewhere(work: Callable[[], Any]) -> Any:
    """What `work` returns on a thread of its own, which has no context."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(60)


@pytest.mark.parametrize("lanes", [0, 1, 4, 16])
def test_forward(arrays: dict[str, np.ndarray], lanes: int) -> None:
    """y agrees, also when the prepared launch is used again with other addresses."""
    for _ in range(2):
        y = np.full_like(arrays["u"], np.nan)
        launch.forward(SIZE, "float32", addresses(arrays), y.ctypes.data, lanes, 0)
        assert_close(y, wanted(CASE, "float32"), LIMITS["float32"])


def test_launches_are_prepared_for_each_shape_type_and_lanes() -> None:
    """Scans of other sizes and types on one thread, each twice and mixed: every one has its own grid and sizes."""
    cases = [CASE, Case(2, 37, 20, 2, 16), Case(1, 9, 20, 2, 5), Case(2, 37, 12, 1, 5), Case(3, 37, 20, 2, 5)]
    for case in (*cases, *cases[::-1]):
        size = ScanShape(case.batch, case.length, case.channels, case.groups, case.state)
        for kind in ("float32", "float16"):
            arrays = stored(case, kind)
            y = np.full_like(arrays["u"], np.nan)

            launch.forward(size, kind, addresses(arrays), y.ctypes.data, 4, 0)

            assert_close(y, wanted(case, kind), LIMITS[kind], f"{case}, {kind}")


def test_lanes_that_are_asked_for_are_taken() -> None:
    """1, 4 and 16 lanes of one shape are three kernels, whichever was prepared first."""
    for lanes in (1, 4, 16, 1):
        launch.prepare(SIZE, "float32", lanes)

    kernels = {launch.kernel for launch in launch._thread.launches.values()}
    assert kernels == {kernel_table.kernel_name("float32", lanes, SIZE.state) for lanes in (1, 4, 16)}


def test_each_thread_prepares_its_own_launches(arrays: dict[str, np.ndarray]) -> None:
    """Their memory is written in place, so that no two threads may share one."""
    y = np.full_like(arrays["u"], np.nan)

    elsewhere(lambda: launch.forward(SIZE, "float32", addresses(arrays), y.ctypes.data, 0, 0))

    assert_close(y, wanted(CASE, "float32"), LIMITS["float32"])
    assert not launch._thread.__dict__


def test_backward(arrays: dict[str, np.ndarray]) -> None:
    """All seven gradients agree."""
    gradients = {name: np.full_like(x, np.nan) for name, x in arrays.items()}
    dy = output_gradient(CASE).astype(np.float32)
    work = np.zeros(launch.workspace_bytes(SIZE), np.uint8)

    launch.backward(SIZE, "float32", dy.ctypes.data, addresses(arrays), addresses(gradients), work.ctypes.data, 0)

    for name, expected in wanted_gradients(CASE, "float32").items():
        assert_close(gradients[name], expected, GRADIENT_LIMIT, name)


@pytest.mark.parametrize(
    ("sizes", "zeros"),
    [
        ({"batch": 0}, ("A", "D", "delta_bias")),
        ({"length": 0}, ("A", "D", "delta_bias")),
        ({"channels": 0}, ("B", "C")),
        ({"channels": 0, "length": 0}, ()),
    ],
)
def test_nothing_to_scan(arrays: dict[str, np.ndarray], sizes: dict[str, int], zeros: tuple[str, ...]) -> None:
    """No launch forward; backward every gradient that has elements is the zeros of an empty sum, others are let be."""
    size = SIZE._replace(**sizes)
    gradients = {name: np.full_like(x, np.nan) for name, x in arrays.items()}
    work = np.zeros(max(launch.workspace_bytes(size), 16), np.uint8)

    launch.forward(size, "float32", addresses(arrays), 0, 0, 0)
    launch.backward(size, "float32", 0, addresses(arrays), addresses(gradients), work.ctypes.data, 0)

    assert [name for name in INPUTS if (gradients[name] == 0).all()] == [name for name in INPUTS if name in zeros]
    assert all(np.isnan(gradients[name]).all() for name in INPUTS if name not in zeros)


def test_more_launches_than_are_kept(arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the prepared ones are forgotten, not kept for ever."""
    monkeypatch.setattr(launch, "_PREPARED", 2)
    y = np.empty_like(arrays["u"])
    for length in range(1, 6):
        launch.forward(SIZE._replace(batch=1, length=length), "float32", addresses(arrays), y.ctypes.data, 0, 0)

    assert len(launch._thread.launches) <= 2


@pytest.fixture
def on_gpu(library, arrays: dict[str, np.ndarray]) -> Callable[..., int]:  # type: ignore[no-untyped-def]
    """The GPU that a forward pass with this last argument ran on."""

    def run(*device: int | None) -> int:
        y = np.full_like(arrays["u"], np.nan)
        launch.forward(SIZE, "float32", addresses(arrays), y.ctypes.data, 4, 0, *device)
        assert_close(y, wanted(CASE, "float32"), LIMITS["float32"])
        return int(library.cuda_on_host_launched_on())

    return run


class TestContexts:
    """Which context a launch goes to. The emulated driver refuses a kernel that was loaded in another one."""

    @pytest.mark.parametrize(("device", "expected"), [((), 0), ((None,), 0), ((0,), 0), ((1,), 1)])
    def test_a_thread_without_context_gets_the_gpus(
        self,
        library,  # type: ignore[no-untyped-def]
        on_gpu: Callable[..., int],
        device: tuple[int | None, ...],
        expected: int,
    ) -> None:
        """The primary context of the GPU that was named, or the first one's; it stays, and is retained once."""
        before = [library.cuda_on_host_retained(gpu) for gpu in (0, 1)]

        def twice() -> tuple[int, int, int, int]:
            assert library.cuda_on_host_current() == -1
            return on_gpu(*device), on_gpu(*device), library.cuda_on_host_current(), library.cuda_on_host_depth()

        assert [elsewhere(twice) for _ in range(2)] == [(expected, expected, expected, 1)] * 2
        now = [library.cuda_on_host_retained(gpu) for gpu in (0, 1)]
        assert [after - first for first, after in zip(before, now, strict=True)] == [expected == 0, expected == 1]

    def test_another_gpus_context_is_put_aside(self, library, on_gpu: Callable[..., int]) -> None:  # type: ignore[no-untyped-def]
        """The launch goes to the arrays' GPU; then the caller's context is current as before, also after an error."""
        assert [on_gpu(1), on_gpu(0), on_gpu(1), on_gpu()] == [1, 0, 1, 0]
        with pytest.raises(InputError):
            launch.forward(SIZE, "float64", [0] * 7, 0, 0, 0, 1)
        assert (library.cuda_on_host_current(), library.cuda_on_host_depth()) == (0, 1)

    def test_a_context_of_ones_own(self, library, on_gpu: Callable[..., int]) -> None:  # type: ignore[no-untyped-def]
        """It is used where it is on the right GPU, with kernels loaded into it."""
        first = on_gpu(0)
        library.cuda_on_host_context(2)

        assert (first, on_gpu(0), on_gpu(), on_gpu(1)) == (0, 0, 0, 1)
        assert library.cuda_on_host_depth() == 1

    def test_backward_without_a_context(self, library, arrays: dict[str, np.ndarray]) -> None:  # type: ignore[no-untyped-def]
        """As PyTorch's backward passes come: on a thread that never touched CUDA."""
        gradients = {name: np.full_like(x, np.nan) for name, x in arrays.items()}
        dy = output_gradient(CASE).astype(np.float32)
        work = np.zeros(launch.workspace_bytes(SIZE), np.uint8)
        places = (dy.ctypes.data, addresses(arrays), addresses(gradients), work.ctypes.data)

        elsewhere(lambda: launch.backward(SIZE, "float32", *places, 0, 1))

        assert library.cuda_on_host_launched_on() == 1
        for name, expected in wanted_gradients(CASE, "float32").items():
            assert_close(gradients[name], expected, GRADIENT_LIMIT, name)

    def test_multiprocessors_without_a_context(self) -> None:
        """They are the first GPU's."""
        assert elsewhere(cuda_driver.multiprocessors) == cuda_driver.multiprocessors() > 0


class TestWhileCapturing:
    """While a graph is recorded the emulated driver loads kernels for relaxed threads only, as real ones do."""

    @pytest.fixture(autouse=True)
    def capturing(self, library) -> Iterator[None]:  # type: ignore[no-untyped-def]
        """Some stream is recorded all the time."""
        library.cuda_on_host_capturing(1)
        yield
        library.cuda_on_host_capturing(0)

    def test_kernels_are_loaded(self, library, on_gpu: Callable[..., int]) -> None:  # type: ignore[no-untyped-def]
        """The first pass of its kind loads its kernel; the thread's mode is as before."""
        assert on_gpu(0) == 0
        assert library.cuda_on_host_capture_mode() == 0

    def test_the_mode_comes_back_after_an_error(self, library, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
        """Also where the driver takes no such kernel."""
        monkeypatch.setattr(launch, "kernel_ptx", lambda kind, kernel: "nothing")

        with pytest.raises(SetupError, match="loading the PTX of selective_scan_forward_fp32_l4_s4 failed"):
            launch.prepare(SIZE, "float32", 4)
        assert library.cuda_on_host_capture_mode() == 0


@pytest.mark.parametrize("lanes", [0, 4])
def test_what_is_prepared_is_only_launched(  # type: ignore[no-untyped-def]
    on_gpu: Callable[..., int], monkeypatch: pytest.MonkeyPatch, arrays: dict[str, np.ndarray], lanes: int
) -> None:
    """After `prepare` the pass asks for no kernel, on any thread; nothing to scan needs none."""
    launch.prepare(SIZE, "float32", lanes)
    monkeypatch.setattr(launch, "kernel_ptx", lambda kind, kernel: pytest.fail(f"{kernel} was loaded late"))
    y = np.full_like(arrays["u"], np.nan)

    def run() -> None:
        launch.forward(SIZE, "float32", addresses(arrays), y.ctypes.data, lanes, 0)

    for on in (lambda work: work(), elsewhere):
        y[:] = np.nan
        on(run)
        assert_close(y, wanted(CASE, "float32"), LIMITS["float32"])
    launch.prepare(SIZE._replace(batch=0), "float16", lanes)


class _OnSecondGpu(torch.Tensor):
    """Memory of the host that says it is the second GPU's."""

    device = torch.device("cuda", 1)  # type: ignore[assignment]


def test_pytorchs_kernels_name_the_gpu(library, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """What PyTorch calls for CUDA tensors, on a thread without context: both passes run on the tensors' GPU."""
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *sizes, device, **options: real(*sizes, **options))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(cuda_stream=0))
    inputs = [torch.from_numpy(stored(CASE, "float32")[name]).as_subclass(_OnSecondGpu) for name in INPUTS]
    dy = torch.from_numpy(output_gradient(CASE).astype(np.float32))

    y = elsewhere(lambda: torch_op._forward_cuda(*inputs))
    forward_on = library.cuda_on_host_launched_on()
    launch.forward(SIZE, "float32", [x.data_ptr() for x in inputs], y.data_ptr(), 0, 0, 0)
    gradients = elsewhere(lambda: torch_op._backward_cuda(dy, *inputs))

    assert (forward_on, library.cuda_on_host_launched_on()) == (1, 1)
    assert_close(y.numpy(), wanted(CASE, "float32"), LIMITS["float32"])
    for name, found in zip(INPUTS, gradients, strict=True):
        assert_close(found.numpy(), wanted_gradients(CASE, "float32")[name], GRADIENT_LIMIT, name)


class TestErrors:
    def test_no_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """SetupError names the library that is missing."""
        monkeypatch.setattr(cuda_driver, "LIBRARY", "libabsent.so.1")

        with pytest.raises(SetupError, match=r"no NVIDIA driver.*libabsent"):
            cuda_driver.multiprocessors()

    def test_no_such_gpu(self, arrays: dict[str, np.ndarray]) -> None:
        """SetupError in the driver's words."""
        with pytest.raises(SetupError, match=r"refused cuDeviceGet: invalid device ordinal \(101\)"):
            launch.forward(SIZE, "float32", addresses(arrays), 0, 0, 0, 2)

    @pytest.mark.parametrize(
        ("size", "kind", "lanes"),
        [(SIZE._replace(state=33), "float32", 1), (SIZE, "float64", 0), (SIZE._replace(batch=65536), "float32", 0)],
        ids=["lanes", "type", "batch"],
    )
    def test_no_kernel_for_it(self, arrays: dict[str, np.ndarray], size: ScanShape, kind: str, lanes: int) -> None:
        """InputError before anything is launched."""
        with pytest.raises(InputError, match="selective scan"):
            launch.forward(size, kind, addresses(arrays), 0, lanes, 0)

    def test_the_drivers_words(self) -> None:
        """A code of the driver that is not 0 is raised with its text."""
        with pytest.raises(SetupError, match=r"launching it failed: invalid argument \(1\)"):
            cuda_driver.check(1, "launching it")


def test_the_largest_batch_of_a_launch() -> None:
    """65535 samples fit into one launch, forward and backward; one more does not."""
    largest = SIZE._replace(batch=65535)

    assert kernel_table.forward_launch(largest, "float32", 4).grid[1] == 65535
    assert kernel_table.backward_launches(largest, "float32")[0].grid[1] == 65535
    for launches in (
        lambda s: kernel_table.forward_launch(s, "float32", 4),
        lambda s: kernel_table.backward_launches(s, "float32"),
    ):
        with pytest.raises(InputError, match="at most 65535"):
            launches(SIZE._replace(batch=65536))
