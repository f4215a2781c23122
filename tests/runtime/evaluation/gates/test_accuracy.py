"""The gate on mAP: what it writes down."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import AccuracyError, ArtifactError, InputError
from mambapro.runtime.bundle.artifact import AccuracyGate
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.runtime.evaluation.gates.accuracy import accuracy_gate, accuracy_of, require_accuracy
from mambapro.runtime.evaluation.gates.task_metrics import METRICS
from mambapro.runtime.evaluation.retrieval.metrics import RetrievalReport, evaluate_retrieval
from mambapro.runtime.extractor import Extractor
from mambapro.synthetic.benchmark import draw_benchmark


def test_queries_are_those_that_count() -> None:
    """A query whose identity the gallery shows on its own camera alone is skipped, and not counted either."""
    gallery = np.eye(4, dtype=np.float32)
    query = gallery[:3] + 0.1
    labels = ([0, 1, 2], [0, 1, 2, 3], [0, 0, 0], [1, 1, 0, 1])
    report = evaluate_retrieval(query, gallery, *labels)
    sample = Sample("a", {"rgb": ImageSource(Path("a"))}, 0, 0)
    benchmark = Benchmark("rgbnt201", (), (sample,) * 3, (sample,) * 4, "camera", (1, 1))

    gate = accuracy_of(report, report, benchmark, 0.01, METRICS["mAP"])

    assert (gate.queries, gate.gallery, report.skipped_queries) == (2, 4, 1)
    assert gate.drop == pytest.approx(0)


@pytest.fixture
def benchmark() -> Benchmark:
    """Three queries and four gallery samples in name."""
    sample = Sample("a", {"rgb": ImageSource(Path("a"))}, 0, 0)
    return Benchmark("rgbnt201", (), (sample,) * 3, (sample,) * 4, "camera", (1, 1))


def report(*precisions: float, rows: tuple[int, ...] | None = None) -> RetrievalReport:
    """A report of these average precisions."""
    count = len(precisions)
    return RetrievalReport(
        map=float(np.mean(precisions)),
        cmc=(1.0,) * 10,
        minp=0.5,
        queries=count,
        skipped_queries=0,
        absent_queries=0,
        query_rows=tuple(range(count)) if rows is None else rows,
        per_query_ap=precisions,
        per_query_inp=(0.5,) * count,
        per_query_first=(1,) * count,
    )


def test_the_drop_and_its_ends(benchmark: Benchmark) -> None:
    """A loss is positive and its interval goes from the small end to the large one, about the drop."""
    rng = np.random.default_rng(0)
    first = rng.uniform(0.5, 0.9, 200)
    lost = rng.uniform(0.0, 0.1, 200)

    gate = accuracy_of(report(*first), report(*(first - lost)), benchmark, 0.1, METRICS["mAP"])
    gain = accuracy_of(report(*first), report(*(first + lost)), benchmark, 0.1, METRICS["mAP"])

    spread = 1.96 * lost.std() / np.sqrt(200)
    assert gate.drop == pytest.approx(lost.mean()) and gate.drop == pytest.approx(gate.reference - gate.found)
    assert (gate.low, gate.high) == pytest.approx((lost.mean() - spread, lost.mean() + spread), abs=0.3 * spread)
    assert (gain.drop, gain.low, gain.high) == pytest.approx((-gate.drop, -gate.high, -gate.low))
    assert gain.low < gain.high < 0 < gate.low < gate.high


@pytest.mark.parametrize("rows", [(0, 1, 3), (0, 1)])
def test_only_the_same_queries_are_paired(rows: tuple[int, ...], benchmark: Benchmark) -> None:
    """As many other queries cannot be paired either."""
    first, second = report(0.5, 0.6, 0.7), report(*(0.5, 0.6, 0.7)[: len(rows)], rows=rows)

    with pytest.raises(InputError, match="counted different queries"):
        accuracy_of(first, second, benchmark, 0.1, METRICS["mAP"])


@pytest.mark.parametrize(
    ("drop", "limit", "passes"),
    [
        (0.01, 0.01, True),
        (-0.5, 0.01, True),
        (0.0101, 0.01, False),
        (math.nan, 0.01, False),
        (0.0, math.nan, False),
        (math.inf, 0.01, False),
        (-math.inf, math.nan, False),
    ],
)
def test_what_passes(drop: float, limit: float, passes: bool) -> None:
    """A drop of the limit is allowed; NaN passes neither as a drop nor as a limit."""
    gate = AccuracyGate("rgbnt201", 9, 9, 0.8, 0.8 - drop, drop, drop, drop, limit)

    if passes:
        require_accuracy(gate, "it")
    else:
        with pytest.raises(AccuracyError, match="it loses"):
            require_accuracy(gate, "it")


def test_features_that_are_not_finite_fail_the_gate(with_int8: Path, tmp_path: Path) -> None:
    """An artifact that returns NaN for one sample has no mAP: ArtifactError names the sample."""
    draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 2), views=2)
    drawn = read_benchmark("rgbnt201", tmp_path / "data")
    with Extractor(with_int8, "cpu", precision="fp32") as base, Extractor(with_int8, "cpu", precision="int8") as made:
        run = made.backend.run

        def poisoned(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            found = {name: value.copy() for name, value in run(feeds).items()}
            found["embedding"][-1, 0] = np.nan
            return found

        made.backend.run = poisoned  # type: ignore[method-assign]
        with pytest.raises(ArtifactError, match="NaN or infinity"):
            accuracy_gate(base, made, drawn, 1.0)
