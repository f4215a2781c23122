"""TensorRtBackend on a fake of each generation: numbers, threads, graphs, plugins, limits, and every failing call."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import util

import numpy as np
import pytest
from fake_cuda import FakeDriver
from fake_trt import computed, fake_tensorrt, plan
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.plugins.selective_scan import cuda_driver, tensorrt_fronts, tensorrt_library, tensorrt_registry
from mambapro.runtime.backends.cuda_memory import Device
from mambapro.runtime.backends.tensorrt import TensorRtBackend
from mambapro.runtime.backends.tensorrt_buffers import Buffers
from mambapro.runtime.backends.tensorrt_generation import import_tensorrt
from mambapro.runtime.backends.tensorrt_lane import Lane
from mambapro.runtime.backends.tensorrt_loading import load_engine
from mambapro.runtime.sidecar import Build, EngineNeeds, Plugin, Sidecar

GENERATIONS = ("10.3", "10.12", "11.4", "rtx")
IMAGES = ("rgb", "nir", "tir")
INPUTS = {
    **dict.fromkeys(IMAGES, ("UINT8", (-1, 4, 3, 3))),
    "camera": ("INT64", (-1,)),
    "modality_mask": ("FLOAT", (-1, 3)),
}
OUTPUTS = {"embedding": ("FLOAT", (-1, 5))}


class Bench:
    """A fake GPU with a fake TensorRT, and engines on it."""

    def __init__(self, generation, folder, monkeypatch, driver=None, version=None):
        self.driver = driver or FakeDriver()
        self.trt = fake_tensorrt(generation, self.driver, version)
        self.rtx, self.folder = generation == "rtx", folder
        monkeypatch.setattr(cuda_driver, "library", lambda: self.driver)
        monkeypatch.setattr(tensorrt_fronts, "import_module", lambda name: self.trt)
        monkeypatch.setattr(tensorrt_registry, "_REGISTERED", {})

    def sidecar(self, plugin=None, version_compatible=False):
        needs = EngineNeeds(
            self.trt.__version__, ("8.6",), "same", version_compatible, "linux-x86_64", plugin or Plugin("none")
        )
        target = "tensorrt-rtx" if self.rtx else "tensorrt"
        return Sidecar(
            "x.engine", target, "fp16", "verified", "0" * 64, "x.onnx", Build(1.0, 2), 1e-4, 0.005, engine=needs
        )

    def open(self, content=None, plugin=None, version_compatible=False, **options):
        path = self.folder / "x.engine"
        path.write_bytes(plan(INPUTS, OUTPUTS) if content is None else content)
        return TensorRtBackend(path, self.sidecar(plugin, version_compatible), **options)


@pytest.fixture(params=GENERATIONS)
def bench(request, tmp_path, monkeypatch):
    """One of each generation."""
    return Bench(request.param, tmp_path, monkeypatch)


@pytest.fixture
def one(tmp_path, monkeypatch):
    """The oldest generation alone, for what all of them share."""
    return Bench("10.3", tmp_path, monkeypatch)


def feeds(samples, seed=0):
    """Inputs that differ in every sample."""
    rng = np.random.default_rng(100 * seed + samples)
    images = {name: rng.integers(0, 256, (samples, 4, 3, 3)).astype(np.uint8) for name in IMAGES}
    return {**images, "camera": rng.integers(0, 9, samples), "modality_mask": rng.random((samples, 3), np.float32)}


def assert_right(backend, samples, seed=0):
    """What the backend returns is the engine's answer to these inputs."""
    given = feeds(samples, seed)
    wanted = computed(given, "embedding", np.float32, (5,))
    np.testing.assert_array_equal(backend.run(given)["embedding"], wanted)


class TestNumbers:
    def test_batches_of_any_order_are_right(self, bench):
        """Growing, shrinking and repeated batches; nothing of the GPU is left after close."""
        backend = bench.open()

        for seed, samples in enumerate((1, 3, 1, 1, 1, 4, 2, 3, 3, 3, 1, 1, 1)):
            assert_right(backend, samples, seed)

        assert backend.inputs == tuple(INPUTS)
        assert backend.outputs == ("embedding",)
        assert backend.provider == "Fake GPU 0 (compute capability 8.6)"
        assert (backend.smallest_batch, backend.largest_batch, backend.threads) == (1, 4, None)
        backend.close()
        assert bench.driver.leaks() == {}

    def test_results_are_copies(self, one):
        """A later run does not change what an earlier one returned."""
        backend = one.open()
        first = backend.run(feeds(2, 1))["embedding"]
        kept = first.copy()

        backend.run(feeds(2, 2))

        np.testing.assert_array_equal(first, kept)

    def test_strided_inputs_are_read_right(self, one):
        """A view counts as its values, whatever its layout in memory."""
        given = {name: np.repeat(value, 2, axis=0)[::2] for name, value in feeds(3).items()}

        found = one.open().run(given)["embedding"]

        np.testing.assert_array_equal(found, computed(feeds(3), "embedding", np.float32, (5,)))

    def test_half_precision_outputs_and_two_of_them(self, bench):
        """Every output comes by its name, in its own type."""
        backend = bench.open(plan(INPUTS, {"embedding": ("HALF", (-1, 5)), "scores": ("FLOAT", (-1, 2, 3))}))

        found = backend.run(feeds(2))

        assert {name: (x.dtype, x.shape) for name, x in found.items()} == {
            "embedding": (np.float16, (2, 5)),
            "scores": (np.float32, (2, 2, 3)),
        }
        np.testing.assert_array_equal(found["scores"], computed(feeds(2), "scores", np.float32, (2, 3)))

    @pytest.mark.parametrize(
        "spoil",
        [
            (Device, "synchronize", lambda self, stream: None),
            (Buffers, "upload", lambda self, batch, stream: None),
            (Buffers, "download", lambda self, batch, stream: None),
            (
                Buffers,
                "address",
                lambda self, tensor: self._addresses["rgb" if tensor.name == "nir" else tensor.name][0],
            ),
        ],
        ids=["no wait", "no upload", "no download", "two inputs in one buffer"],
    )
    def test_the_fakes_notice_what_is_missing(self, one, monkeypatch, spoil):
        """A backend without a wait, a copy or a buffer of its own does not pass these tests."""
        backend = one.open()
        monkeypatch.setattr(*spoil)

        with pytest.raises((AssertionError, SetupError)):
            assert_right(backend, 2)


class TestProfiles:
    def test_the_nearest_profile_is_taken(self, bench):
        """Each batch runs under a profile that allows it, the one made for the nearest batch."""
        backend = bench.open(plan(INPUTS, OUTPUTS, ((1, 1, 2), (2, 8, 8))))

        assert_right(backend, 2)
        assert list(backend._idle[0]._contexts) == [0]
        for samples in (1, 7, 8):
            assert_right(backend, samples)

        assert (backend.smallest_batch, backend.largest_batch) == (1, 8)
        assert {profile: context._profile for profile, context in backend._idle[0]._contexts.items()} == {0: 0, 1: 1}

    @pytest.mark.parametrize("samples", [1, 5])
    def test_batch_outside_is_an_input_error(self, bench, samples):
        """InputError names the batches that go; the next run is right."""
        backend = bench.open(plan(INPUTS, OUTPUTS, ((2, 2, 4),)))

        with pytest.raises(InputError, match=rf"batches of 2 to 4 samples, not {samples}"):
            backend.run(feeds(samples))
        assert_right(backend, 4)

    def test_fixed_batch(self, bench):
        """An engine without a dynamic batch takes its own alone."""
        fixed = {name: (kind, (3, *shape[1:])) for name, (kind, shape) in INPUTS.items()}
        backend = bench.open(plan(fixed, {"embedding": ("FLOAT", (3, 5))}))

        assert (backend.smallest_batch, backend.largest_batch) == (3, 3)
        assert_right(backend, 3)
        with pytest.raises(InputError, match="3 to 3"):
            backend.run(feeds(2))


class TestGraphs:
    def test_a_batch_that_comes_back_is_replayed(self, bench):
        """The second run records, from the third on it is one launch; TensorRT-RTX does it inside."""
        backend = bench.open()
        for seed in range(5):
            assert_right(backend, 2, seed)

        lane = backend._idle[0]
        if bench.rtx:
            assert bench.driver.calls["cuStreamBeginCapture_v2"] == 0
            config = lane._contexts[0]._config
            assert config.cuda_graph_strategy == bench.trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        else:
            assert lane.graphs == (2,)
            assert bench.driver.calls["cuGraphLaunch"] == 3

    def test_larger_buffers_end_the_graphs(self, one):
        """Graphs hold addresses: when the buffers grow they are made again."""
        backend = one.open()
        for samples in (2, 2, 2, 3):
            assert_right(backend, samples)
        assert backend._idle[0].graphs == ()

        for seed in range(3):
            assert_right(backend, 2, seed)

        assert backend._idle[0].graphs == (2,)
        assert len(one.driver.executables) == 1

    def test_their_number_is_limited(self, one):
        """Of many batch sizes the graphs that were used last are kept, and the others freed."""
        backend = one.open(plan(INPUTS, OUTPUTS, ((1, 8, 16),)))
        assert_right(backend, 16)

        for samples in (*range(1, 13), *range(1, 13)):
            assert_right(backend, samples)

        assert backend._idle[0].graphs == tuple(range(5, 13))
        assert len(one.driver.executables) == 8
        backend.close()
        assert one.driver.leaks() == {}

    def test_off(self, bench):
        """Without cuda_graphs nothing is recorded, by nobody."""
        backend = bench.open(cuda_graphs=False)
        for seed in range(4):
            assert_right(backend, 2, seed)

        assert bench.driver.calls["cuStreamBeginCapture_v2"] == 0
        if bench.rtx:
            config = backend._idle[0]._contexts[0]._config
            assert config.cuda_graph_strategy == bench.trt.CudaGraphStrategy.DISABLED

    def test_an_engine_that_cannot_be_recorded_runs_without(self, one, caplog):
        """One warning with the reason, right numbers, and no recording left open."""
        backend = one.open(plan(INPUTS, OUTPUTS, recordable=False))
        with caplog.at_level(logging.WARNING, "mambapro"):
            for seed in range(5):
                assert_right(backend, 2, seed)

        assert caplog.text.count("without CUDA graphs") == 1
        assert "stream is capturing" in caplog.text
        assert one.driver.captures == {}
        backend.close()
        assert one.driver.leaks() == {}


class TestThreads:
    def test_each_gets_a_stream_of_its_own(self, bench, monkeypatch):
        """Three calls at once run on three streams, with the right numbers; later calls make no more."""
        backend, barrier, real = bench.open(), threading.Barrier(3), Lane.run

        def together(lane, *arguments):
            barrier.wait(20)
            return real(lane, *arguments)

        monkeypatch.setattr(Lane, "run", together)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda n: assert_right(backend, n), (1, 2, 3) * 4))

        assert len(bench.driver.streams) == 3
        backend.close()
        assert bench.driver.leaks() == {}

    def test_the_callers_context_stays_current(self, one):
        """What was current on the thread before a call is so after it, also where the call fails."""
        one.driver.retained += 1
        one.driver.contexts.append(77)
        backend = one.open()
        assert_right(backend, 2)
        one.driver.fail("cuMemcpyHtoDAsync_v2")
        with pytest.raises(SetupError):
            backend.run(feeds(2))
        backend.close()

        assert one.driver.contexts == [77]

    def test_close_waits_for_calls_under_way(self, one, monkeypatch):
        """A run that began before close ends well, and frees what it used; runs after it are refused."""
        backend, inside, go = one.open(), threading.Event(), threading.Event()
        real = Lane.run

        def slow(lane, *arguments):
            inside.set()
            assert go.wait(20)
            return real(lane, *arguments)

        monkeypatch.setattr(Lane, "run", slow)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(assert_right, backend, 3)
            assert inside.wait(20)
            backend.close()
            backend.close()
            held = one.driver.leaks()
            go.set()
            running.result(20)

        assert held["streams"] == 1
        assert one.driver.leaks() == {}
        with pytest.raises(InputError, match="closed"):
            backend.run(feeds(1))


class TestPlugins:
    def test_library_beside_is_loaded(self, bench, monkeypatch):
        """It goes into the registry once, also for a second engine."""
        version = (11 if bench.rtx else int(bench.trt.__version__.split(".")[0]), 0, 0)
        monkeypatch.setattr(tensorrt_library, "library_version", lambda path: version)
        library, beside = bench.folder / "scan.so", Plugin("beside", "scan.so", "0" * 64)

        for _ in range(2):
            assert_right(bench.open(plan(INPUTS, OUTPUTS, plugin=True), beside, plugin_library=library), 2)

        assert bench.trt.get_plugin_registry()._libraries == [str(library)]

    def test_without_a_library_the_python_plugin_serves(self, bench):
        """An engine with its scan beside finds the one of this package."""
        backend = bench.open(plan(INPUTS, OUTPUTS, plugin=True), Plugin("beside"))

        assert_right(backend, 2)
        assert tensorrt_registry.registered(bench.trt) == "python"

    def test_library_of_another_tensorrt_is_a_setup_error(self, one, monkeypatch):
        """SetupError names both versions; nothing is left on the GPU."""
        monkeypatch.setattr(tensorrt_library, "library_version", lambda path: (11, 4, 0))

        with pytest.raises(SetupError, match=r"headers are those of TensorRT 11.4, but tensorrt 10\.3\.0"):
            one.open(None, Plugin("beside", "scan.so", "0" * 64), plugin_library=one.folder / "scan.so")
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
    trt = import_tensorrt("tensorrt_rtx")
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
