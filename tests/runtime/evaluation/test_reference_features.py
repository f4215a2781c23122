"""Evaluating a reference: told what it costs, run once, taken from the cache afterwards."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mambapro.runtime.data.batch import Batch
from mambapro.runtime.data.modalities import SUBSETS
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.runtime.data.sample import Benchmark
from mambapro.runtime.evaluation import reference_features as reference
from mambapro.runtime.evaluation.feature_cache import FeatureCache
from mambapro.runtime.evaluation.gates.accuracy import accuracy_gate
from mambapro.runtime.evaluation.reference_features import Model, cost, features_of
from mambapro.runtime.evaluation.retrieval.evaluate import retrieval_of
from mambapro.runtime.extractor import Extractor
from mambapro.synthetic.benchmark import draw_benchmark

PRE = Preprocessing(16, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A drawn one."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(2, 4), views=3)
    return read_benchmark("rgbnt201", folder)


class Counting:
    """A feature function that counts the samples it was given."""

    def __init__(self) -> None:
        self.samples = 0

    def __call__(self, batch: Batch) -> np.ndarray:
        self.samples += len(batch)
        return batch.images[batch.present[0]].mean((1, 2))


def test_a_reference_is_run_once(benchmark: Benchmark, tmp_path: Path) -> None:
    """The second time its features come from the cache, the same; what is judged is run each time."""
    retrieval, cache = retrieval_of(benchmark), FeatureCache(tmp_path / "features")
    kept, judged = Counting(), Counting()
    models = [Model("reference", kept, PRE, identity={"model": "x"}), Model("judged", judged, PRE)]

    first = features_of(models, retrieval, cache=cache)
    second = features_of(models, retrieval, cache=cache)

    count = len(retrieval.samples)
    assert (kept.samples, judged.samples) == (count, 2 * count)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[SUBSETS[0]], other[SUBSETS[0]])


def test_sets_of_sensors_are_kept_one_by_one(benchmark: Benchmark, tmp_path: Path) -> None:
    """Of a report with all seven sets only those are run that are not kept yet."""
    retrieval, cache, function = retrieval_of(benchmark), FeatureCache(tmp_path / "features"), Counting()
    model = Model("reference", function, PRE, identity={"model": "x"})
    features_of([model], retrieval, cache=cache)
    function.samples = 0

    (found,) = features_of([model], retrieval, cache=cache, subsets=SUBSETS)

    assert function.samples == 6 * len(retrieval.samples) and sorted(found) == sorted(SUBSETS)


def test_the_cost_is_told_first(
    benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Samples times milliseconds of each model that has to run, before either does; nothing for what is kept."""
    caplog.set_level(logging.INFO, logger="mambapro")
    monkeypatch.setattr(reference, "_FEW", 2)
    monkeypatch.setattr(
        reference, "_per_sample", lambda model, samples: {"reference": 0.12, "judged": 0.03}[model.name]
    )
    told: list[str] = []

    def track(items, description, total=None):
        told.append(f"{description} after {len(caplog.messages)} message(s)")
        return items

    cache = FeatureCache(tmp_path / "features")
    models = [Model("reference", Counting(), PRE, identity={"model": "x"}), Model("judged", Counting(), PRE)]
    retrieval = retrieval_of(benchmark)
    features_of(models, retrieval, track, cache)
    features_of(models, retrieval, track, cache)

    count = len(retrieval.samples)
    assert told[:2] == ["Hashing images after 0 message(s)", "Extracting features: images after 1 message(s)"]
    assert caplog.messages[0] == (
        f"accuracy on rgbnt201: {count} samples x 120 ms (reference) + 30 ms (judged) = about {round(count * 0.15)} s"
    )
    assert caplog.messages[1] == f"accuracy on rgbnt201: {count} samples x 30 ms (judged) = about 1 s"
    assert caplog.messages[2] == "the features of reference are in the cache"


def test_cost_in_words() -> None:
    """Seconds, minutes, hours; sets of sensors; nothing left to compute."""
    assert cost("msvr310", 1000, 1, {"a": 1.0, "b": 0.08}) == (
        "accuracy on msvr310: 1000 samples x 1000 ms (a) + 80 ms (b) = about 18 min"
    )
    assert "with 7 sets of sensors x 7000 ms (a) = about 1 h 57 min" in cost("msvr310", 1000, 7, {"a": 7.0})
    assert cost("msvr310", 1000, 1, {}) == "accuracy on msvr310: 1000 samples, all of them in the cache"


def test_the_gate_gives_the_same_from_the_cache(
    benchmark: Benchmark, with_int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second build of an artifact finds the float32 features, and the same drop with the same interval."""
    cache = FeatureCache(tmp_path / "features")
    with Extractor(with_int8, "cpu", precision="fp32") as base, Extractor(with_int8, "cpu", precision="int8") as made:
        first = accuracy_gate(base, made, benchmark, 0.5, cache=cache)
        # a run of the reference would fail now; what it is called stays
        monkeypatch.setattr(base, "_backend", SimpleNamespace(provider=base.provider, close=base.backend.close))
        second = accuracy_gate(base, made, benchmark, 0.5, cache=cache)

    assert second == first
