"""TensorRtBackend on fakes: plugins, engines and machines that do not fit, and every driver call that may fail."""

from __future__ import annotations

from importlib import util

import numpy as np
import pytest
from fake_cuda import FakeDriver
from fake_trt import plan
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.plugins.selective_scan.tensorrt import plugin_library, registration
from mambapro.plugins.tensorrt.importing import import_supported
from mambapro.runtime.backends.tensorrt.backend import TensorRtBackend
from mambapro.runtime.backends.tensorrt.loading import load_engine
from mambapro.runtime.bundle.artifact import Build, EngineNeeds, Plugin, Sidecar
from trt_bench import INPUTS, OUTPUTS, Bench, assert_right, feeds


class TestPlugins:
    def test_external_library_is_loaded(self, bench, monkeypatch):
        """It goes into the registry once, also for a second engine."""
        version = (11 if bench.rtx else int(bench.trt.__version__.split(".")[0]), 0, 0)
        monkeypatch.setattr(plugin_library, "library_version", lambda path: version)
        library, external = bench.folder / "scan.so", Plugin("external", "scan.so", "0" * 64)

        for _ in range(2):
            assert_right(bench.open(plan(INPUTS, OUTPUTS, plugin=True), external, plugin_library=library), 2)

        assert bench.trt.get_plugin_registry()._libraries == [str(library)]

    def test_without_a_library_the_python_plugin_serves(self, bench):
        """An engine with an external scan finds the one of this package."""
        backend = bench.open(plan(INPUTS, OUTPUTS, plugin=True), Plugin("external"))

        assert_right(backend, 2)
        assert registration.registered(bench.trt) == "python"

    def test_library_of_another_tensorrt_is_a_setup_error(self, one, monkeypatch):
        """SetupError names both versions; nothing is left on the GPU."""
        monkeypatch.setattr(plugin_library, "library_version", lambda path: (11, 4, 0))

        with pytest.raises(SetupError, match=r"headers are those of TensorRT 11.4, but tensorrt 10\.3\.0"):
            one.open(None, Plugin("external", "scan.so", "0" * 64), plugin_library=one.folder / "scan.so")
        assert one.driver.leaks() == {}

    def test_library_for_an_engine_that_has_its_own_is_an_input_error(self, one):
        """InputError: it would never be used."""
        with pytest.raises(InputError, match="scan embedded; leave the plugin library"):
            one.open(None, Plugin("embedded"), plugin_library=one.folder / "scan.so")

    def test_code_in_the_engine_is_allowed_where_the_sidecar_tells_of_it(self, bench):
        """An engine with a library or a runtime inside loads; one that hides it does not."""
        content = plan(INPUTS, OUTPUTS, host_code=True)
        assert_right(bench.open(content, Plugin("embedded")), 1)
        assert_right(bench.open(content, version_compatible=True), 1)

        with pytest.raises(ArtifactError, match="engine_host_code_allowed is not set"):
            bench.open(content)


class TestRefusals:
    @pytest.mark.parametrize(
        ("generation", "version", "range_"),
        [
            ("10.3", "10.2.0", "10.3 to before 12"),
            ("11.4", "12.0.1.3", "10.3 to before 12"),
            ("rtx", "1.6.0", "1.7 to"),
        ],
    )
    def test_other_versions_are_setup_errors(self, tmp_path, monkeypatch, generation, version, range_):
        """SetupError with the range and the three ways out, before anything is loaded."""
        bench = Bench(generation, tmp_path, monkeypatch, version=version)

        with pytest.raises(SetupError) as caught:
            bench.open()

        text = str(caught.value)
        assert version in text and range_ in text
        assert "pip install" in text and "mambapro build" in text and "ONNX Runtime or OpenVINO" in text
        assert not bench.driver.calls

    def test_an_engine_of_another_version_is_an_artifact_error(self, bench):
        """ArtifactError gives TensorRT's words, what the engine was built for, and what to do."""
        with pytest.raises(ArtifactError) as caught:
            bench.open(plan(INPUTS, OUTPUTS, version="10.9.0"))

        text = str(caught.value)
        assert "was built with 10.9.0" in text and "8.6 on linux-x86_64" in text and "mambapro build" in text
        assert bench.driver.leaks() == {}

    @pytest.mark.parametrize("content", [b"", b"junk" * 100], ids=["empty", "junk"])
    def test_a_damaged_engine_is_an_artifact_error(self, bench, content):
        """ArtifactError names the file."""
        with pytest.raises(ArtifactError, match=r"cannot load .*x\.engine on Fake GPU 0.*magicTag"):
            bench.open(content)

    @pytest.mark.parametrize(
        ("inputs", "outputs", "more", "words"),
        [
            (INPUTS, {"embedding": ("BF16", (-1, 5))}, {}, "embedding is BF16"),
            (INPUTS, {"embedding": ("FLOAT", (-1, -1))}, {}, r"embedding is FLOAT \[-1, -1\]"),
            ({**INPUTS, "camera": ("INT64", ())}, OUTPUTS, {}, r"camera is INT64 \[\]"),
            (INPUTS, OUTPUTS, {"wrong_shape": 1}, r"shape \[3, 5\] for a batch of 2"),
            ({**INPUTS, "camera": ("INT64", (9,))}, OUTPUTS, {}, "no batch that all its inputs agree on"),
        ],
        ids=["type", "free size", "scalar", "shape", "two batches"],
    )
    def test_engines_of_something_else_are_artifact_errors(self, one, inputs, outputs, more, words):
        """ArtifactError says which tensor and what was expected; nothing is left on the GPU."""
        with pytest.raises(ArtifactError, match=words):
            one.open(plan(inputs, outputs, **more)).run(feeds(2))

    def test_arguments_that_do_not_fit(self, one):
        """InputError for threads, another library than the engine's, and a GPU that is not there."""
        with pytest.raises(InputError, match="leave it out"):
            one.open(threads=2)
        with pytest.raises(InputError, match="built for tensorrt, not for tensorrt_rtx"):
            one.open(library="tensorrt_rtx")
        with pytest.raises(InputError, match="There is no GPU 1: the driver sees 1"):
            one.open(device=1)

    def test_missing_engine_and_sidecar_without_needs(self, one):
        """ArtifactError names the file."""
        with pytest.raises(ArtifactError, match=r"none\.engine cannot be read"):
            TensorRtBackend(one.folder / "none.engine", one.sidecar())
        bare = Sidecar("x.engine", "tensorrt", "fp16", "verified", "0" * 64, "x.onnx", Build(1.0, 2), 1e-4, 0.005)
        with pytest.raises(ArtifactError, match=r"sidecar of x\.engine"):
            TensorRtBackend(one.folder / "x.engine", bare)

    def test_no_driver_is_a_setup_error(self, one, monkeypatch):
        """SetupError in the words of what is missing."""

        def missing():
            raise SetupError("no NVIDIA driver")

        monkeypatch.setattr(cuda_driver, "library", missing)
        with pytest.raises(SetupError, match="no NVIDIA driver"):
            one.open()

    def test_a_library_that_cannot_start_is_a_setup_error(self, one, monkeypatch):
        """What the bindings make of it, a TypeError, becomes a sentence about the driver."""

        def refuse(log):
            log.log(one.trt.ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("factory function returned nullptr")

        monkeypatch.setattr(one.trt, "Runtime", refuse)
        with pytest.raises(SetupError, match=r"tensorrt 10\.3\.0 cannot start: CUDA initialization failure.*driver"):
            one.open()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"rgb": np.zeros((2, 4, 3, 3), np.float32)}, "rgb as uint8"),
            ({"rgb": np.zeros((2, 4, 4, 3), np.uint8)}, r"\(batch, 4, 3, 3\), not uint8 \(2, 4, 4, 3\)"),
            ({"camera": np.zeros((), np.int64)}, "camera as int64"),
            ({"camera": np.zeros(3, np.int64)}, "same number of samples"),
            ({"depth": np.zeros(2)}, "depth should not be there"),
            ({"rgb": None}, "rgb should not be there or is missing"),
        ],
        ids=["type", "size", "scalar", "samples", "surplus", "missing"],
    )
    def test_wrong_feeds_are_artifact_errors(self, one, change, words):
        """ArtifactError names the input and what the engine takes."""
        given = {name: value for name, value in {**feeds(2), **change}.items() if value is not None}

        with pytest.raises(ArtifactError, match=words):
            one.open().run(given)

    def test_empty_batch_is_an_artifact_error(self, one):
        """No samples, no run."""
        with pytest.raises(ArtifactError, match="1 or more"):
            one.open().run(feeds(0))


def test_the_real_bindings_refuse_a_damaged_plan():
    """TensorRT-RTX itself, as far as it goes without a GPU: our log is taken, and its words come back."""
    if util.find_spec("tensorrt_rtx") is None:  # importing it here would spoil its plugins for this process
        pytest.skip("TensorRT-RTX is not installed")
    trt = import_supported("tensorrt_rtx")
    needs = EngineNeeds("1.7.1.116", ("8.6",), "compute-capability", False, "linux-x86_64", Plugin("none"))

    with pytest.raises(ArtifactError, match=r"tensorrt_rtx 1\..*cannot load x on y: .*magicTag.*Rebuild it"):
        load_engine(trt, b"junk" * 100, needs, "x on y")


class TestFailures:
    def test_too_little_memory_is_a_setup_error(self, tmp_path, monkeypatch):
        """At the first batch that does not fit any more; smaller ones still run."""
        bench = Bench("10.12", tmp_path, monkeypatch, FakeDriver(memory=4096 + 2 * 3 * 36 + 2 * 8 + 2 * 12 + 2 * 20))
        backend = bench.open()

        with pytest.raises(SetupError, match=r"cuMemAlloc_v2 of \d+ bytes: out of memory \(2\)"):
            backend.run(feeds(3))

        assert_right(backend, 2)
        backend.close()
        assert bench.driver.leaks() == {}

    def test_too_little_working_memory_is_told_at_once(self, one):
        """An engine that needs more than the GPU has does not open."""
        with pytest.raises(SetupError, match=r"of 4294967296 bytes: out of memory"):
            one.open(plan(INPUTS, OUTPUTS, working=1 << 32))
        assert one.driver.leaks() == {}

    def test_no_execution_context_is_a_setup_error(self, bench):
        """SetupError in TensorRT's words."""
        backend = bench.open(plan(INPUTS, OUTPUTS, no_context=True))

        with pytest.raises(SetupError, match="Out of memory in createExecutionContext"):
            backend.run(feeds(1))

    def test_a_profile_that_is_refused_is_a_setup_error(self, bench):
        """The bindings raise a RuntimeError of their own there; what comes out is ours, in TensorRT's words."""
        backend = bench.open(plan(INPUTS, OUTPUTS, no_profile=True))

        with pytest.raises(SetupError, match=r"did not take the engine's profile 0: .*no such profile"):
            backend.run(feeds(1))
        backend.close()
        assert bench.driver.leaks() == {}

    def test_every_call_of_the_driver_may_fail(self, tmp_path, monkeypatch, caplog):
        """Wherever: an error or, while recording, a warning; the next run is right, and everything is freed."""
        healthy = Bench("11.4", tmp_path, monkeypatch)
        session(healthy)
        calls = {name: count for name, count in healthy.driver.calls.items() if name != "cuGetErrorString"}
        assert len(calls) > 15 and sum(calls.values()) > 100

        for name, count in calls.items():
            for number in range(count):
                bench = Bench("11.4", tmp_path, monkeypatch)
                bench.driver.fail(name, number)
                caplog.clear()

                errors = session(bench)

                assert errors or "without CUDA graphs" in caplog.text, (name, number)
                assert all(f"refused {name}" in error for error in errors), errors
                if (name, number) == ("cuCtxPushCurrent_v2", count - 1):
                    continue  # close could not get at the GPU at all: nothing could be freed
                lost = 1 if any(word in name for word in ("Free", "Destroy", "Release")) else 0
                assert sum(bench.driver.leaks().values()) <= lost, (name, number, bench.driver.leaks())


def session(bench):
    """Errors of a session with recording, replay and growth; after an error the same batch must be right."""
    errors = []
    try:
        backend = bench.open()
    except SetupError as error:
        return [str(error)]
    for seed, samples in enumerate((1, 1, 1, 2, 2, 2)):
        try:
            assert_right(backend, samples, seed)
        except SetupError as error:
            errors.append(str(error))
            assert_right(backend, samples, seed)
    try:
        backend.close()
    except SetupError as error:
        errors.append(str(error))
    return errors
