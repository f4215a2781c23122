"""The verdict: what failed refuses, what was not looked at leaves open, and only the rest is ready."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mambapro.export.report.measure import Difference, Measured
from mambapro.export.report.readiness import OPEN, READY, REFUSED, Rival, judge
from mambapro.export.report.write_report import _rival
from mambapro.runtime.bundle.artifact import CosineGate, Sidecar, SpeedGate
from mambapro.runtime.evaluation.latency import END_TO_END, MODEL_ONLY, LatencyReport, Timing


@pytest.fixture
def int8(make_sidecar: Callable[..., Sidecar], tmp_path: Path) -> Sidecar:
    """An int8 artifact that passed everything."""
    path = tmp_path / "openvino-int8.onnx"
    path.write_bytes(b"x")
    return make_sidecar("openvino", "int8", path, path.name)


def gate(largest: float, limit: float = 1e-2) -> CosineGate:
    """A departure and its limit."""
    return CosineGate(largest, largest, limit, 14)


def drop(points: float) -> tuple[Difference, ...]:
    """A mAP that is so many points lower."""
    return (Difference("mAP", 0.8, 0.8 - points / 100, -points / 100, -0.02, 0.0, 0.5),)


def timed(milliseconds: float) -> LatencyReport:
    """The model alone takes so long."""
    timings = tuple(Timing(scope, 1, 3, milliseconds, 9, 9, 9, 9) for scope in (END_TO_END, MODEL_ONLY))
    return LatencyReport("b", "openvino-int8", "int8", "CPU", None, 2, 3, (64, 32), (32, 16), timings, None, None)


def test_ready(int8: Sidecar) -> None:
    """Verified, within its limits, faster: ready, with no reasons."""
    found = judge(int8, int8.cosine, Measured(cosine=gate(1e-3), against_base=drop(0.9)))

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


def test_a_stored_limit_is_not_believed(int8: Sidecar) -> None:
    """A bundle that allows itself more than this product does is held to the product's limit."""
    found = judge(replace(int8, max_map_drop=0.9), int8.cosine, Measured(against_base=drop(1.5)))

    assert found.reasons[0].startswith("mAP drop on the images of this report: 1.50 points, limit 1.00")


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
    found = judge(int8, int8.cosine, Measured(latency=timed(8.0)), Rival(7.0, "openvino-bf16", 1))

    assert (found.state, found.speed) == (OPEN, False)
    assert found.reasons == ("it is not faster than openvino-bf16: 8.0 against 7.0 ms for the model alone",)


@pytest.mark.parametrize(
    ("ours", "theirs", "state", "speed", "reason"),
    [
        ((5.0, 5.1, 5.2), (7.0, 7.1, 7.2), READY, True, None),
        (
            (5.0, 5.1, 15.2),
            (7.0, 7.1, 7.2),
            OPEN,
            True,
            "not clearly faster than openvino-bf16: faster in 2 of 3 rounds",
        ),
        ((5.0, 15.1, 15.2), (7.0, 7.1, 7.2), OPEN, False, "not faster than openvino-bf16"),
        ((5.0, 20.0, 5.2), (7.0, 28.0, 7.2), READY, True, None),
    ],
)
def test_rounds_that_disagree_are_no_clear_yes(
    ours: tuple[float, ...], theirs: tuple[float, ...], state: str, speed: bool, reason: str | None, int8: Sidecar
) -> None:
    """Round by round: a machine that was busy for both says as much as a quiet one, busy for one of them says less."""
    report = timed(sorted(ours)[1])
    timings = tuple(replace(timing, rounds=ours) for timing in report.timings)
    measured = Measured(latency=replace(report, timings=timings))

    found = judge(int8, int8.cosine, measured, Rival(sorted(theirs)[1], "openvino-bf16", 1, theirs))

    assert (found.state, found.speed) == (state, speed)
    assert found.reasons == () if reason is None else reason in found.reasons[0]


def test_times_of_other_batches_are_not_compared(int8: Sidecar) -> None:
    """An engine that was timed at its largest batch loses to nothing that was timed at another one."""
    measured, bf16 = Measured(latency=timed(8.0)), replace(int8, precision="bf16")

    def rival(batch: int) -> Rival | None:
        report = timed(7.0)
        timings = tuple(replace(timing, batch=batch) for timing in report.timings)
        other = Measured(latency=replace(report, timings=timings))
        return _rival(int8, measured, [int8, bf16], [measured, other])

    assert rival(1) == Rival(7.0, "openvino-bf16", 1)
    assert rival(4) is None
    assert judge(int8, int8.cosine, measured, Rival(7.0, "openvino-bf16", 4)).state == READY


def test_bf16_that_was_not_computed_is_open(int8: Sidecar) -> None:
    """Numbers of float32 say nothing of bfloat16, good as they are; one that is over the limit even so is refused."""
    bf16 = replace(int8, precision="bf16", accuracy=None, speed=None)
    measured = Measured(cosine=gate(1e-9), against_base=drop(0.0), other_type="computed in f32 here: <no bf16>")

    passed = replace(bf16, accuracy=int8.accuracy)
    found, alone = judge(passed, passed.cosine, measured), judge(bf16, None, measured)

    assert found.state == alone.state == OPEN and found.numbers and found.accuracy
    assert found.reasons == ("it is computed in f32 here: <no bf16>; what was measured says nothing of bf16",)
    assert alone.numbers is alone.accuracy is None
    assert judge(bf16, None, replace(measured, cosine=gate(0.5))).state == REFUSED


def test_float32_needs_no_accuracy_gate(int8: Sidecar) -> None:
    """The export in float32 is what accuracy is compared with."""
    plain = replace(int8, precision="fp32", accuracy=None, speed=None)

    assert judge(plain, gate(1e-9, 1e-8), Measured()).state == READY
