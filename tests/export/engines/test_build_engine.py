"""Building engines in a process of its own: real ones of TensorRT-RTX, and every way in which that process ends."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mambapro.common.machine.memory import peak_memory
from mambapro.errors import ExportError, InputError, SetupError
from mambapro.export.engines import build_engine as build
from mambapro.export.engines import build_memory as memory
from mambapro.export.engines.build_engine import build_engine
from mambapro.export.engines.builder_progress import Percent
from mambapro.export.engines.engine_options import EngineOptions
from mambapro.export.engines.messages import BuildRequest, BuildResult
from mambapro.plugins.cuda.memory import Gpu
from mambapro.runtime.bundle.artifact import Profile

RTX = EngineOptions("tensorrt_rtx", Profile(1, 2, 4), ("8.6",))
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None or sys.platform != "linux",
    reason="needs TensorRT-RTX on Linux: pip install tensorrt-rtx",
)


@needs_rtx
class TestRtx:
    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
    def test_engine(self, files: dict[str, Path], precision: str, tmp_path: Path) -> None:
        """Each type builds with every scan as a plugin; the report is what the sidecar needs, progress goes to 100."""
        seen: list[tuple[str, int | None]] = []

        def track(items: Iterable[Any], description: str, total: int | None = None) -> Iterator[Any]:
            for item in items:
                seen.append((description, total))
                yield item

        report = build_engine(files[precision], tmp_path / "x.engine", RTX, track)

        assert seen == [("building the engine with tensorrt_rtx", 100)] * 100

        assert (report.build.plugin_layers, report.plugin_front, report.plugin_library) == (4, "python", None)
        assert report.build.bytes == (tmp_path / "x.engine").stat().st_size > 100_000
        assert report.build.layers > 500
        assert report.needs.compute_capabilities == ("8.6",)
        assert (report.needs.hardware, report.needs.plugin.kind) == ("compute-capability", "external")
        assert report.needs.library.startswith("1.")
        assert report.needs.platform.startswith("linux-")
        assert report.needs.gpu is None
        assert 10**8 < report.peak_memory < 3 * 10**9
        assert report.profile == Profile(1, 2, 4)
        assert "4 of them scan plugins; plugin external (python)" in str(report)
        assert report.to_json()["build"]["plugin_layers"] == 4

    def test_a_file_that_is_none(self, tmp_path: Path, files: dict[str, Path]) -> None:
        """What the parser refuses is an ExportError with its words, and an engine that was there stays."""
        import onnx

        model = onnx.load(files["fp32"])
        model.graph.node[5].op_type = "NotAnOperator"
        onnx.save(model, tmp_path / "wrong.onnx")
        (tmp_path / "x.engine").write_text("as it was")

        with pytest.raises(ExportError, match=r"cannot read .*wrong.onnx: .*NotAnOperator"):
            build_engine(tmp_path / "wrong.onnx", tmp_path / "x.engine", RTX)

        assert (tmp_path / "x.engine").read_text() == "as it was"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong.onnx", "x.engine"]


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the code that runs as the building process."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(build, "_WORKER", "stand_in")
    return lambda code: (folder / "stand_in.py").write_text(f"import os, sys, time\nsys.stdin.readline()\n{code}\n")


class TestEndings:
    def test_aborted(self, files: dict[str, Path], tmp_path: Path, child: Any) -> None:
        """A process that TensorRT ends is an ExportError with the signal and its last words; no file is left."""
        child("print('terminate called', file=sys.stderr, flush=True)\nos.abort()")

        with pytest.raises(ExportError, match=r"by signal SIGABRT; no engine was made\. .*: terminate called"):
            build_engine(files["fp32"], tmp_path / "x.engine", RTX)

        assert sorted(path.name for path in tmp_path.iterdir()) == ["modules"]

    def test_killed(self, files: dict[str, Path], tmp_path: Path, child: Any) -> None:
        """A process that the system kills lacked memory: how much a build needs is said."""
        child(f"os.kill(os.getpid(), {int(signal.SIGKILL)})")

        with pytest.raises(SetupError, match=r"most likely for lack of memory: .* usually takes \d+\.\d GB"):
            build_engine(files["fp32"], tmp_path / "x.engine", RTX)

    def test_an_exception_of_ours(self, files: dict[str, Path], tmp_path: Path, child: Any) -> None:
        """A traceback of the building process reaches the message."""
        child("raise RuntimeError('something nobody thought of')")

        with pytest.raises(ExportError, match=r"(?s)with code 1.*something nobody thought of"):
            build_engine(files["fp32"], tmp_path / "x.engine", RTX)

    def test_ended_in_the_middle_of_a_line(self, files: dict[str, Path], tmp_path: Path, child: Any) -> None:
        """What the process did not say to the end does not hide how it ended."""
        child("print('{\"perc', end='', flush=True)\nos.abort()")

        with pytest.raises(ExportError, match="by signal SIGABRT"):
            build_engine(files["fp32"], tmp_path / "x.engine", RTX)

    def test_interrupted(self, files: dict[str, Path], tmp_path: Path, child: Any) -> None:
        """Ctrl-C ends the building process, and leaves nothing."""
        pid = tmp_path / "modules" / "pid"
        writes = f"open({str(pid)!r}, 'w').write(str(os.getpid()))"
        child(f"print('{{\"percent\": 1}}', flush=True)\n{writes}\ntime.sleep(60)")

        def track(items: Iterable[Any], description: str, total: int | None = None) -> Iterator[Any]:
            next(iter(items))
            while not (pid.exists() and pid.read_text()):
                time.sleep(0.01)
            raise KeyboardInterrupt
            yield

        with pytest.raises(KeyboardInterrupt):
            build_engine(files["fp32"], tmp_path / "x.engine", RTX, track)

        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["modules"]


class TestSetup:
    def test_no_gpu(self, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """TensorRT without a GPU: where to build instead."""

        def none() -> None:
            raise SetupError("no NVIDIA driver")

        monkeypatch.setattr("mambapro.plugins.cuda.driver.library", none)
        with pytest.raises(SetupError, match=r"there is none here .*--target tensorrt-rtx, which needs no GPU"):
            build_engine(files["fp32"], tmp_path / "x.engine", EngineOptions("tensorrt"))

    @pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
    def test_not_installed(self, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Errors of the building process keep their class: a missing library is a SetupError."""
        monkeypatch.setattr(build, "gpu_at_hand", lambda: Gpu("NVIDIA Orin", "8.7"))
        with pytest.raises(SetupError, match="TensorRT is not installed"):
            build_engine(files["fp32"], tmp_path / "x.engine", EngineOptions("tensorrt"))

    def test_too_little_memory(self, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A build that cannot end well does not start; it says what it takes and what is free."""
        monkeypatch.setattr(memory, "free_memory", lambda: 10**8)
        with pytest.raises(SetupError, match=r"usually takes 0\.\d GB of memory; 0\.1 GB are free"):
            build_engine(files["fp32"], tmp_path / "x.engine", RTX)

    def test_memory_that_was_held(self) -> None:
        """The most that this process held: more than an empty one."""
        assert peak_memory() > 10**7

    def test_no_file(self, tmp_path: Path) -> None:
        """A missing ONNX file is named."""
        with pytest.raises(InputError, match=r"no ONNX file .*none.onnx"):
            build_engine(tmp_path / "none.onnx", tmp_path / "x.engine", RTX)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"library": "tensorrt_rtx", "hardware": "ampere+"}, "TensorRT-RTX has no hardware levels"),
            ({"library": "tensorrt_rtx", "version_compatible": True}, "TensorRT-RTX has no hardware levels"),
            ({"library": "tensorrt", "compute_capabilities": ("8.6",)}, "not for a list of compute capabilities"),
        ],
    )
    def test_options_of_the_other_library(
        self, files: dict[str, Path], tmp_path: Path, options: dict[str, Any], message: str
    ) -> None:
        """Options that the library does not have are refused before anything starts."""
        with pytest.raises(InputError, match=message):
            build_engine(files["fp32"], tmp_path / "x.engine", EngineOptions(**options))

    @pytest.mark.parametrize(
        "options",
        [
            {"library": "tensorflow"},
            {"plugin": "maybe"},
            {"hardware": "all"},
            {"compute_capabilities": ("sm_86",)},
            {"workspace": 0},
            {"plugin": "none", "plugin_library": Path("x.so")},
        ],
    )
    def test_options_that_are_none(self, options: dict[str, Any]) -> None:
        """Values outside what is allowed are refused when they are given."""
        with pytest.raises(InputError):
            EngineOptions(**options)


class TestPercent:
    def test_unknown_phases_and_backward_steps(self) -> None:
        """Percents only grow, whatever the builder tells; a phase nobody started is passed over."""
        told: list[int] = []
        percent = Percent(told.append)
        percent.step("nobody started this", 3)
        percent.start("all", None, 2)
        percent.start("orphan", "unknown", 2)
        percent.step("orphan", 1)
        percent.start("part", "all", 0)
        percent.step("part", 0)
        percent.step("all", 0)
        percent.finish("part")
        percent.step("all", 0)
        percent.step("all", 1)

        assert told == [50, 100]


@pytest.mark.parametrize(("front", "code"), [("aot", None), ("library", "a plugin library")])
def test_an_engine_tells_what_it_needs(
    front: str, code: str | None, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT's engines are for one kind of GPU, so its name is kept; a library inside is code, a kernel alone not."""
    (tmp_path / "scan.so").write_bytes(b"library")
    library = str(tmp_path / "scan.so") if front == "library" else None

    def run(job: BuildRequest, track: object) -> BuildResult:
        Path(job.plan).write_bytes(b"plan")
        return BuildResult("10.12.0.36", 9, 4, ("8.7",), "embedded", front, library, 1.0, 10)

    monkeypatch.setattr(build, "gpu_at_hand", lambda: Gpu("NVIDIA Orin", "8.7"))
    monkeypatch.setattr(build, "_run", run)

    report = build_engine(files["fp32"], tmp_path / "x.engine", EngineOptions())

    needs = report.needs
    assert (needs.gpu, needs.compute_capabilities, needs.hardware) == ("NVIDIA Orin", ("8.7",), "same")
    assert (needs.code, needs.plugin.file, report.plugin_library) == (code, None, None)
