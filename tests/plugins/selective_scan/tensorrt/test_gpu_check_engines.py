"""The engines of benchmarks/gpu_check.py on fakes of TensorRT: how they are built, where they run, what is refused."""

from __future__ import annotations

import ctypes
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from fake_builder import builder_parts
from fake_cuda import FakeDriver
from fake_trt import fake_tensorrt
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.plugins.selective_scan.tensorrt import registration
from mambapro.plugins.tensorrt import importing

BENCHMARKS = Path(__file__).parents[4] / "benchmarks"
SMALL = ((7, 12, 3, 4),)


class Driver(FakeDriver):
    """What the check calls beside what the package calls. Events remember their stream."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.recorded: set[int | None] = set()

    def _cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> None:  # noqa: N802
        super()._cuDevicePrimaryCtxRetain(context, device.value)

    def _cuCtxSetCurrent(self, context: Any) -> None:  # noqa: N802
        self.contexts.append(context.value)

    def _cuCtxSynchronize(self) -> None:  # noqa: N802
        for stream in self.streams:
            self._cuStreamSynchronize(ctypes.c_void_p(stream))

    def _cuMemsetD8_v2(self, address: Any, value: Any, size: Any) -> None:  # noqa: N802
        self.bytes_at(address.value, size.value)[:] = value.value

    def _cuMemcpyHtoD_v2(self, address: Any, host: Any, size: Any) -> None:  # noqa: N802
        assert not any(self.streams.values()), "a copy of the default stream while another one works"
        ctypes.memmove(self.bytes_at(address.value, size.value).ctypes.data, host.value, size.value)

    def _cuMemcpyDtoH_v2(self, host: Any, address: Any, size: Any) -> None:  # noqa: N802
        ctypes.memmove(host.value, self.bytes_at(address.value, size.value).ctypes.data, size.value)

    def _cuEventCreate(self, event: Any, flags: int) -> None:  # noqa: N802
        event._obj.value = 1

    def _cuEventRecord(self, event: Any, stream: Any) -> None:  # noqa: N802
        self.recorded.add(None if stream is None else stream.value)

    def _cuEventSynchronize(self, event: Any) -> None:  # noqa: N802
        self._cuCtxSynchronize()

    def _cuEventElapsedTime(self, time: Any, start: Any, end: Any) -> None:  # noqa: N802
        time._obj.value = 0.5


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The part, with one small scan in place of the full-size model's."""
    for folder in (BENCHMARKS, BENCHMARKS / "gpu"):
        monkeypatch.syspath_prepend(str(folder))
    module = importlib.import_module("engines")
    monkeypatch.setattr(module, "FULL_SIZE", SMALL)
    monkeypatch.setattr(module, "BATCHES", (1, 1))
    monkeypatch.setattr(module, "TYPES", ("float32",))
    return module


def on(monkeypatch: pytest.MonkeyPatch, generation: str, **driver: Any) -> tuple[Any, Driver]:
    """A TensorRT on a driver."""
    found = Driver(**driver)
    trt = fake_tensorrt(generation, found, more=builder_parts(generation))
    monkeypatch.setattr(cuda_driver, "library", lambda: found)
    monkeypatch.setattr(importing, "import_module", lambda name: trt)
    monkeypatch.setattr(registration, "_REGISTERED", {})
    return trt, found


class TestEngine:
    @pytest.mark.parametrize("generation", ["10.12", "11.4", "rtx"])
    def test_it_runs_on_a_stream_of_its_own(
        self, engines: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], generation: str
    ) -> None:
        """Runs and both events are in one stream, not the default one; nothing stays on the GPU."""
        trt, driver = on(monkeypatch, generation)
        monkeypatch.setattr(engines, "error_of", lambda found, expected: 0.0)

        engines.one_front(trt.__name__, engines.BODY)

        found = json.loads(capsys.readouterr().out)
        assert (found["status"], found["reason"]) == ("passed", None)
        assert {row["ms"] for row in found["times"]} == {0.5}
        (used,) = driver.recorded
        assert used
        assert driver.leaks() == {}

    @pytest.mark.parametrize("generation", ["10.12", "11.4", "rtx"])
    def test_products_are_float32(
        self, engines: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, generation: str
    ) -> None:
        """TF32, on by default, is off; TensorRT-RTX runs on the kernels of the shape."""
        from tensorrt_models import scans

        trt, _ = on(monkeypatch, generation)
        engines.make_current()

        engine = engines.Engine(trt, scans(tmp_path / "x.onnx", "float32", SMALL), 1)

        assert engine.engine._value["built"]["flags"] == []
        if generation == "rtx":
            strategy = engine.context._config.dynamic_shapes_kernel_specialization_strategy
            assert strategy == trt.DynamicShapesKernelSpecializationStrategy.EAGER

    def test_one_that_cannot_be_loaded_says_why(
        self, engines: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """In the log's words."""
        from tensorrt_models import scans

        trt, _ = on(monkeypatch, "rtx")
        engines.make_current()
        monkeypatch.setattr(
            trt.Runtime, "deserialize_cuda_engine", lambda self, plan: self._refuse("no code for SM 90")
        )

        with pytest.raises(RuntimeError, match=r"cannot be loaded: .*no code for SM 90"):
            engines.Engine(trt, scans(tmp_path / "x.onnx", "float32", SMALL), 1)


class TestGpu:
    @pytest.mark.parametrize(("capability", "skipped"), [((9, 0), True), ((8, 6), False)])
    def test_what_tensorrt_rtx_does_not_build_for_is_skipped(
        self,
        engines: Any,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        capability: tuple[int, int],
        skipped: bool,
    ) -> None:
        """With the GPUs that it knows; TensorRT itself builds for the GPU at hand."""
        on(monkeypatch, "rtx", capability=capability)
        monkeypatch.setattr(engines, "error_of", lambda found, expected: 0.0)

        engines.one_front("tensorrt_rtx", engines.BODY)

        found = json.loads(capsys.readouterr().out)
        assert found["status"] == ("skipped" if skipped else "passed")
        if skipped:
            assert found["reason"].endswith("7.5, 8.0, 8.6, 8.9, 12.0, 12.1; Fake GPU 0 has 9.0")
        trt, _ = on(monkeypatch, "11.4", capability=capability)
        assert engines.cannot_build_here(trt) is None
