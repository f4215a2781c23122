"""Launches through the CUDA driver, on the emulated one: arguments, grids, errors. Host memory is its device memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cuda_host
import numpy as np
import pytest
from mambapro.errors import InputError, SetupError
from mambapro.plugins.selective_scan import cuda_driver
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
    """The emulated driver, with a context."""
    library = cuda_host.library()
    library.cuda_on_host_context(1)
    monkeypatch.setattr(cuda_driver, "LIBRARY", library._name)
    cuda_host.forget_driver()
    yield library
    library.cuda_on_host_context(1)
    cuda_host.forget_driver()


@pytest.fixture
def arrays() -> Iterator[dict[str, np.ndarray]]:
    yield stored(CASE, "float32")


def addresses(arrays: dict[str, np.ndarray]) -> list[int]:
    return [arrays[name].ctypes.data for name in INPUTS]


@pytest.mark.parametrize("lanes", [0, 1, 4, 16])
def test_forward(arrays: dict[str, np.ndarray], lanes: int) -> None:
    """y agrees, also when the prepared launch is used again with other addresses."""
    for _ in range(2):
        y = np.full_like(arrays["u"], np.nan)
        cuda_driver.forward(SIZE, "float32", addresses(arrays), y.ctypes.data, lanes, 0)
        assert_close(y, wanted(CASE, "float32"), LIMITS["float32"])


def test_forward_in_another_thread(arrays: dict[str, np.ndarray]) -> None:
    """Each thread prepares launches of its own."""
    y = np.full_like(arrays["u"], np.nan)
    thread = threading.Thread(
        target=cuda_driver.forward, args=(SIZE, "float32", addresses(arrays), y.ctypes.data, 0, 0)
    )
    thread.start()
    thread.join()

    assert_close(y, wanted(CASE, "float32"), LIMITS["float32"])
    assert not cuda_driver._thread.__dict__


def test_backward(arrays: dict[str, np.ndarray]) -> None:
    """All seven gradients agree."""
    gradients = {name: np.full_like(x, np.nan) for name, x in arrays.items()}
    dy = output_gradient(CASE).astype(np.float32)
    work = np.zeros(cuda_driver.workspace_bytes(SIZE), np.uint8)

    cuda_driver.backward(SIZE, "float32", dy.ctypes.data, addresses(arrays), addresses(gradients), work.ctypes.data, 0)

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
    work = np.zeros(max(cuda_driver.workspace_bytes(size), 16), np.uint8)

    cuda_driver.forward(size, "float32", addresses(arrays), 0, 0, 0)
    cuda_driver.backward(size, "float32", 0, addresses(arrays), addresses(gradients), work.ctypes.data, 0)

    assert [name for name in INPUTS if (gradients[name] == 0).all()] == [name for name in INPUTS if name in zeros]
    assert all(np.isnan(gradients[name]).all() for name in INPUTS if name not in zeros)


def test_more_launches_than_are_kept(arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the prepared ones are forgotten, not kept for ever."""
    monkeypatch.setattr(cuda_driver, "_PREPARED", 2)
    y = np.empty_like(arrays["u"])
    for length in range(1, 6):
        cuda_driver.forward(SIZE._replace(batch=1, length=length), "float32", addresses(arrays), y.ctypes.data, 0, 0)

    assert len(cuda_driver._thread.launches) <= 2


class TestErrors:
    def test_no_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """SetupError names the library that is missing."""
        monkeypatch.setattr(cuda_driver, "LIBRARY", "libabsent.so.1")

        with pytest.raises(SetupError, match=r"no NVIDIA driver.*libabsent"):
            cuda_driver.multiprocessors()

    def test_no_context(self, library, arrays: dict[str, np.ndarray]) -> None:  # type: ignore[no-untyped-def]
        """SetupError says what to do."""
        library.cuda_on_host_context(0)

        with pytest.raises(SetupError, match="touch a CUDA tensor"):
            cuda_driver.forward(SIZE, "float32", addresses(arrays), 0, 0, 0)

    @pytest.mark.parametrize(
        ("size", "kind", "lanes"),
        [(SIZE._replace(state=33), "float32", 1), (SIZE, "float64", 0), (SIZE._replace(batch=65536), "float32", 0)],
        ids=["lanes", "type", "batch"],
    )
    def test_no_kernel_for_it(self, arrays: dict[str, np.ndarray], size: ScanShape, kind: str, lanes: int) -> None:
        """InputError before anything is launched."""
        with pytest.raises(InputError, match="selective scan"):
            cuda_driver.forward(size, kind, addresses(arrays), 0, lanes, 0)

    def test_the_drivers_words(self) -> None:
        """A code of the driver that is not 0 is raised with its text."""
        with pytest.raises(SetupError, match=r"launching it failed: invalid argument \(1\)"):
            cuda_driver.check(1, "launching it")
