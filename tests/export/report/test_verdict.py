"""The verdict: what failed refuses, what was not looked at leaves open, and only the rest is ready."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mambapro.export.report.measure import Measured
from mambapro.export.report.verdict import OPEN, READY, REFUSED, judge
from mambapro.runtime.bootstrap import PairedDifference
from mambapro.runtime.latency import END_TO_END, MODEL_ONLY, LatencyReport, Timing
from mambapro.runtime.sidecar import CosineGate, Sidecar, SpeedGate


@pytest.fixture
def int8(make_sidecar: Callable[..., Sidecar], tmp_path: Path) -> Sidecar:
    """An int8 artifact that passed everything."""
    path = tmp_path / "openvino-int8.onnx"
    path.write_bytes(b"x")
    return make_sidecar("openvino", "int8", path, path.name)


def gate(largest: float, limit: float = 1e-2) -> CosineGate:
    """A departure and its limit."""
    return CosineGate(largest, largest, limit, 14)


def drop(points: float) -> tuple[PairedDifference, ...]:
    """A mAP that is so many points lower."""
    return (PairedDifference("mAP", 0.8, 0.8 - points / 100, -points / 100, -0.02, 0.0, 0.5),)


def timed(milliseconds: float) -> LatencyReport:
    """The model alone takes so long."""
    timings = tuple(Timing(scope, 1, 3, milliseconds, 9, 9, 9, 9) for scope in (END_TO_END, MODEL_ONLY))
    return LatencyReport("b", "openvino-int8", "int8", "CPU", None, 2, 3, (64, 32), (32, 16), timings, None, None)


def test_ready(int8: Sidecar) -> None:
    """Verified, within its limits, faster: ready, with no reasons."""
    found = judge(int8, int8.cosine, Measured(cosine=gate(1e-3), against_base=drop(0.9)), ("openvino-bf16", 9.0))

    assert (found.state, found.reasons) == (READY, ())
    assert found.numbers and found.accuracy and found.speed


@pytest.mark.parametrize(
    ("measured", "reason"),
    (
        (Measured(cosine=gate(0.02)), "1 - cosine to PyTorch on this machine: 2.0e-02, limit 1e-02"),
        (Measured(cosine=gate(math.nan)), "1 - cosine to PyTorch on this machine: nan"),
        (Measured(against_base=drop(1.5)), "mAP drop on the images of this report: 1.50 points, limit 1.00"),
        (Measured(against_base=drop(math.nan)), "mAP drop on the images of this report: nan"),
        (Measured(failure="out of range"), "it failed on this machine: out of range"),
    ),
    ids=("departure", "NaN", "mAP", "mAP NaN", "failure"),
)
def test_refused(int8: Sidecar, measured: Measured, reason: str) -> None:
    """What fails here is refused, though it passed when it was made."""
    found = judge(int8, int8.cosine, measured)

    assert found.state == REFUSED
    assert found.reasons[0].startswith(reason)


def test_refused_by_its_own_gates(int8: Sidecar) -> None:
    """A sidecar whose gates are over their limits is refused without running anything."""
    assert int8.accuracy is not None
    lossy = replace(int8, accuracy=replace(int8.accuracy, drop=0.03))

    assert judge(int8, gate(0.5), Measured()).state == REFUSED
    assert "mAP drop on rgbnt201 when it was made: 3.00 points" in judge(lossy, int8.cosine, Measured()).reasons[0]


@pytest.mark.parametrize(
    ("changes", "cosine", "reason"),
    (
        ({"state": "unverified"}, 1e-3, "no machine has verified it"),
        ({}, None, "its numbers were not compared"),
        ({"accuracy": None}, 1e-3, "its mAP was not compared with float32's: give --data"),
        ({"accuracy": None, "max_map_drop": 0.0}, 1e-3, "its mAP was not compared with float32's: export"),
        ({"speed": None}, 1e-3, "its speed was not compared"),
        ({"speed": SpeedGate(1, 6.0, "openvino-bf16", 5.0, True)}, 1e-3, "it is not faster than openvino-bf16: 6.0"),
    ),
)
def test_open(int8: Sidecar, changes: dict, cosine: float | None, reason: str) -> None:
    """What was not looked at leaves the question open, and says what to do."""
    found = judge(replace(int8, **changes), None if cosine is None else gate(cosine), Measured())

    assert found.state == OPEN
    assert len(found.reasons) == 1 and found.reasons[0].startswith(reason)


def test_the_speed_here_counts(int8: Sidecar) -> None:
    """int8 that is slower here than a higher precision is not a clear yes, whatever was measured elsewhere."""
    found = judge(int8, int8.cosine, Measured(latency=timed(8.0)), ("openvino-bf16", 7.0))

    assert (found.state, found.speed) == (OPEN, False)
    assert found.reasons == ("it is not faster than openvino-bf16: 8.0 against 7.0 ms for the model alone",)


def test_float32_needs_no_accuracy_gate(int8: Sidecar) -> None:
    """The export in float32 is what accuracy is compared with."""
    plain = replace(int8, precision="fp32", accuracy=None, speed=None)

    assert judge(plain, gate(1e-9, 1e-8), Measured()).state == READY
