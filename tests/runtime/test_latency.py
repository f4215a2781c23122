"""Latency reports: what is timed, and how it is told."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.latency import measure_latency, peak_memory, resident_memory


@pytest.fixture
def extractor(bundle):
    """On one thread, up to four samples at a time."""
    with Extractor(bundle, device="cpu", threads=1, batch_size=4) as opened:
        yield opened


def test_each_batch_is_timed_end_to_end_and_alone(extractor):
    """Two batch sizes give four timings, whose percentiles rise."""
    report = measure_latency(extractor, batches=(1, 4), runs=20, warmup=1)

    found = [(t.scope, t.batch, t.runs) for t in report.timings]
    assert found == [("end to end", 1, 20), ("model only", 1, 20), ("end to end", 4, 20), ("model only", 4, 20)]
    for t in report.timings:
        assert 0 < t.p50 <= t.p90 <= t.p99
        assert t.samples_per_second == pytest.approx(t.batch * 1000 / t.mean)


def test_short_calls_go_on_until_the_time_has_passed(extractor):
    """`seconds` is the least that each case is timed for; a scope that is not asked for is not timed."""
    report = measure_latency(extractor, runs=2, warmup=0, seconds=0.3, scopes=("model only",))

    (found,) = report.timings
    assert found.scope == "model only" and found.runs > 2
    assert found.runs * found.mean >= 300


def test_end_to_end_holds_the_resize(extractor):
    """Images of twice the model's size are resized inside the timed call only end to end."""
    sizes = []

    def spied(*images, **named):
        sizes.append(images[0].shape)
        return Extractor.__call__(extractor, *images, **named)

    class Spy(Extractor):
        __call__ = staticmethod(spied)

    extractor.__class__ = Spy
    report = measure_latency(extractor, batches=(2,), runs=1, warmup=0)

    assert sizes == [(2, 32, 16, 3)]
    assert (report.source_size, report.model_size) == ((32, 16), (16, 8))


def test_warmup_calls_are_not_counted(extractor):
    """A slow first call, as of a lazy kernel, leaves no mark on the times."""
    run, calls = extractor.backend.run, []

    def slow_at_first(feeds):
        calls.append(1)
        if len(calls) in (1, 14):
            time.sleep(0.2)
        return run(feeds)

    extractor._backend = SimpleNamespace(
        run=slow_at_first, provider="CPUExecutionProvider", threads=1, close=lambda: None
    )
    report = measure_latency(extractor, runs=10, warmup=3)

    assert len(calls) == 26
    assert max(t.p99 for t in report.timings) < 150


def test_report_tells_the_setting(extractor):
    """Provider, threads and CPUs are in the report, and JSON takes it."""
    report = measure_latency(extractor, runs=2, warmup=0)

    content = json.loads(json.dumps(report.to_json()))

    assert (content["provider"], content["threads"], content["bundle"]) == ("CPUExecutionProvider", 1, "small")
    assert content["cpus"] >= 1
    assert content["timings"][0]["scope"] == "end to end"
    lines = str(report).splitlines()
    assert "threads 1" in lines[0] and "32 x 16" in lines[1]
    assert lines[2].split() == ["batch", "p50", "ms", "p90", "ms", "p99", "ms", "mean", "ms", "samples/s"]
    assert len({len(line) for line in lines[2:5]}) == 1
    assert "MiB" in lines[-1]


@pytest.mark.parametrize(
    "wrong", [{"batches": ()}, {"batches": (0,)}, {"runs": 0}, {"warmup": -1}, {"seconds": -1}], ids=str
)
def test_impossible_numbers_are_refused(extractor, wrong):
    """InputError for numbers below the least."""
    with pytest.raises(InputError, match=r"at least|between 0"):
        measure_latency(extractor, **wrong)


def test_batch_that_would_be_split_is_refused(extractor):
    """InputError says how to open the bundle instead."""
    with pytest.raises(InputError, match="batch_size=8"):
        measure_latency(extractor, batches=(1, 8))


def test_memory_grows_with_what_is_held():
    """Resident memory rises by about the size of a touched array, and the peak is never below it."""
    before = resident_memory()
    held = np.ones(64 * 2**20, np.uint8)
    after = resident_memory()

    assert after - before > 48 * 2**20
    assert peak_memory() >= after - 2**20
    assert held.all()
