"""Latency reports: what is timed, and how it is told."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from mambapro.errors import InputError
from mambapro.runtime.evaluation import latency as module
from mambapro.runtime.evaluation.latency import measure_latency
from mambapro.runtime.extractor import Extractor


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
    """A slow first call, as of a lazy kernel, leaves no mark on the times, nor does the first call of any turn."""
    run, calls = extractor.backend.run, []

    def slow_at_first(feeds):
        calls.append(1)
        # three calls before the first turn of each case, one before the others: of ten turns, two calls each
        if len(calls) in (1, 6, 11, 14, 17, 20, 23, 26, 29, 32):
            time.sleep(0.05)
        return run(feeds)

    extractor._backend = SimpleNamespace(
        run=slow_at_first, provider="CPUExecutionProvider", threads=1, close=lambda: None
    )
    report = measure_latency(extractor, runs=10, warmup=3)

    assert len(calls) == 2 * (3 + 4 + 10)
    assert max(t.p99 for t in report.timings) < 45


def test_report_tells_the_setting(extractor):
    """Provider, threads and CPUs are in the report, and JSON takes it."""
    report = measure_latency(extractor, runs=2, warmup=0)

    content = json.loads(json.dumps(report.to_json()))

    assert (content["provider"], content["threads"], content["bundle"]) == ("CPUExecutionProvider", 1, "small")
    assert content["cpus"] >= 1
    assert content["timings"][0]["scope"] == "end to end"
    lines = str(report).splitlines()
    assert "threads 1" in lines[0] and "32 x 16" in lines[1]
    assert " ".join(lines[2].split()) == "batch p50 ms p90 ms p99 ms mean ms samples/s p50 by round"
    assert len({len(line) for line in lines[2:5]}) == 1
    assert "MiB" in lines[-1]


def test_scopes_that_were_not_timed_are_not_explained(extractor):
    """Of the model alone nothing is said about end to end, and the other way round."""
    alone = measure_latency(extractor, runs=1, warmup=0, scopes=("model only",))
    whole = measure_latency(extractor, runs=1, warmup=0, scopes=("end to end",))

    assert str(alone).splitlines()[1] == "model only: from 16 x 8"
    assert str(whole).splitlines()[1] == "end to end: from decoded images of 32 x 16 to the result"


def test_a_busy_machine_is_told(extractor, monkeypatch):
    """A load during two rounds of five makes the p50 of these rounds other ones: told by case, in text and JSON."""
    clock = SimpleNamespace(now=0.0, turn=0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)

    def call_of(extractor, batch, scope):
        def call():
            busy = 8 <= clock.turn < 14
            clock.turn += 1
            clock.now += batch * (0.004 if busy and scope == "model only" else 0.001)

        return call

    monkeypatch.setattr(module, "model_call", call_of)
    report = measure_latency(extractor, batches=(1, 2), runs=5, warmup=0)

    found = {(t.scope, t.batch): t.rounds for t in report.timings}
    assert found["end to end", 1] == pytest.approx((1, 1, 1, 1, 1))
    assert found["model only", 1] == pytest.approx((1, 1, 4, 1, 1))
    assert len(report.warnings) == 2
    assert report.warnings[0].startswith("model only, batch 1: the rounds disagree, p50 between 1.00 and 4.00 ms in 5")
    assert report.warnings[0] in str(report) and report.to_json()["warnings"] == list(report.warnings)


@pytest.mark.parametrize(
    "wrong",
    [{"batches": ()}, {"batches": (0,)}, {"runs": 0}, {"warmup": -1}, {"seconds": -1}, {"rounds": 0}],
    ids=str,
)
def test_impossible_numbers_are_refused(extractor, wrong):
    """InputError for numbers below the least."""
    with pytest.raises(InputError, match=r"at least|between 0"):
        measure_latency(extractor, **wrong)


def test_batch_that_would_be_split_is_refused(extractor):
    """InputError says how to open the bundle instead."""
    with pytest.raises(InputError, match="batch_size=8"):
        measure_latency(extractor, batches=(1, 8))
