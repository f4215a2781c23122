"""The gate on mAP: what it writes down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mambapro.runtime.accuracy import accuracy_of
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.runtime.metrics import evaluate_retrieval


def test_queries_are_those_that_count() -> None:
    """A query whose identity the gallery shows on its own camera alone is skipped, and not counted either."""
    gallery = np.eye(4, dtype=np.float32)
    query = gallery[:3] + 0.1
    labels = ([0, 1, 2], [0, 1, 2, 3], [0, 0, 0], [1, 1, 0, 1])
    report = evaluate_retrieval(query, gallery, *labels)
    sample = Sample("a", (ImageSource(Path("a")),) * 3, 0, 0)
    benchmark = Benchmark("rgbnt201", (), (sample,) * 3, (sample,) * 4, "camera", (1, 1))

    gate = accuracy_of(report, report, benchmark, 0.01)

    assert (gate.queries, gate.gallery, report.skipped_queries) == (2, 4, 1)
    assert gate.drop == pytest.approx(0)
