"""Pieces of the report that need no bundle: batches, the middle round, the gate of all sets of sensors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mambapro.export.report.measure import _batches, _joined
from mambapro.export.report.precision_map import LINEAR, SCAN, Cell, PrecisionMap
from mambapro.export.report.readiness import parity_gate
from mambapro.runtime.evaluation.latency import MODEL_ONLY, LatencyReport, Timing


def test_engines_get_their_largest_batch() -> None:
    """Batches beyond an engine's profile become its largest, once; without a profile all are taken."""
    plan: Any = SimpleNamespace(batches=(1, 8, 32, 64))

    assert _batches(SimpleNamespace(profile=SimpleNamespace(smallest=2, largest=16)), plan) == (1, 8, 16)  # type: ignore[arg-type]
    assert _batches(SimpleNamespace(profile=None), plan) == (1, 8, 32, 64)  # type: ignore[arg-type]


def latency(milliseconds: float) -> LatencyReport:
    """A report of one round."""
    timing = Timing(MODEL_ONLY, 1, 3, milliseconds, milliseconds + 1, milliseconds + 2, milliseconds, 9.0)
    return LatencyReport("b", "fp32", "fp32", "CPU", None, 2, 3, (64, 32), (32, 16), (timing,), None, None)


def test_the_middle_round_is_shown() -> None:
    """Of three rounds the percentiles are those of the middle one, whatever came first, with all medians beside."""
    found = _joined([latency(30.0), latency(10.0), latency(20.0)])

    assert found is not None
    assert (found.timings[0].p50, found.timings[0].p99) == (20.0, 22.0)
    assert found.timings[0].rounds == (30.0, 10.0, 20.0)
    assert _joined([None, None]) is None


def test_shares_are_of_weights() -> None:
    """A cell counts with its weights, halved where it computes in two types; only Linears and convolutions count."""
    cells = (
        Cell("a", "x", LINEAR, ("int8",), 1, 600),
        Cell("a", "y", LINEAR, ("fp32", "int8"), 2, 200),
        Cell("b", "x", LINEAR, ("fp32",), 1, 200),
        Cell("b", "scan", SCAN, ("fp32",), 1, 5000),
    )

    assert PrecisionMap("f", None, cells).shares() == pytest.approx({"int8": 0.7, "fp32": 0.3})


def test_the_mean_over_all_sets_of_sensors_weighs_samples() -> None:
    """32 samples with a mean of 1e-4 and 8 with 6e-4 have one of 2e-4; the largest is the report's."""
    subsets = [SimpleNamespace(samples=32, mean_departure=1e-4), SimpleNamespace(samples=8, mean_departure=6e-4)]
    parity: Any = SimpleNamespace(subsets=subsets, max_departure=9e-4, limit=1e-3, role="embedding")

    found = parity_gate(parity)

    assert (found.largest, found.limit, found.samples) == (9e-4, 1e-3, 40)
    assert found.mean == pytest.approx(2e-4)
