"""TensorRtBackend on a fake of each generation: numbers, profiles, CUDA graphs and threads."""

from __future__ import annotations

import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_trt import computed, plan
from mambapro.errors import InputError, SetupError
from mambapro.plugins.cuda.memory import Device
from mambapro.runtime.backends.tensorrt.buffers import Buffers
from mambapro.runtime.backends.tensorrt.slot import Lane
from trt_bench import INPUTS, OUTPUTS, assert_right, feeds


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


class TestDropped:
    """A backend that nobody closes."""

    def test_everything_is_freed(self, bench):
        """Memory, streams and graphs go with the last reference; close() before it does it once."""
        backend = bench.open()
        for seed in range(4):
            assert_right(backend, 2, seed)
        assert bench.driver.leaks() != {}

        del backend
        assert bench.driver.leaks() == {}

        closed = bench.open()
        closed.close()
        pushed = bench.driver.calls["cuCtxPushCurrent_v2"]
        del closed
        assert bench.driver.calls["cuCtxPushCurrent_v2"] == pushed

    def test_what_fails_meanwhile_is_a_warning(self, one, caplog):
        """There is nobody to raise it to; all else is freed."""
        backend = one.open()
        assert_right(backend, 2)
        one.driver.fail("cuStreamDestroy_v2")

        with caplog.at_level(logging.WARNING, "mambapro"):
            del backend

        assert "without close() could not be freed" in caplog.text
        assert "refused cuStreamDestroy_v2" in caplog.text
        assert one.driver.leaks() == {"streams": 1}

    def test_the_end_of_the_process_is_left_to_the_driver(self, one):
        """A thread may be in a call at that time."""
        backend = one.open()

        assert not backend._dropped.atexit


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


class TestForked:
    """What fork() copied is the parent's: nothing of it is used or freed in a child."""

    def in_child(self, backend):
        """The backend as it finds itself after a fork."""
        backend._process -= 1
        backend.after_fork()
        return backend

    def test_a_child_is_refused(self, bench):
        """InputError names the parent and the ways out; the driver is not called."""
        backend = bench.open()
        assert_right(backend, 2)
        self.in_child(backend)
        calls = dict(bench.driver.calls)

        with pytest.raises(InputError, match=f"by process {backend._process}; this is its child"):
            backend.run(feeds(2))

        assert dict(bench.driver.calls) == calls

    def test_a_child_frees_nothing(self, bench):
        """Neither close nor garbage collection gives back the parent's memory."""
        backend = bench.open()
        assert_right(backend, 2)
        held = bench.driver.leaks()
        self.in_child(backend)

        backend.close()
        del backend
        gc.collect()

        assert bench.driver.leaks() == held != {}
