"""Readiness of an artifact for deployment: its gates, and the measurements of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ...common.records import Report
from ...common.rounds import ratios
from ...runtime.bundle.artifact import CosineGate, Sidecar, SpeedGate
from ...runtime.bundle.limits import MAP_DROPS
from ...runtime.bundle.metadata_parts import VERIFIED
from ...runtime.evaluation.gates.agreement import AGREEMENTS
from ...runtime.evaluation.latency import MODEL_ONLY
from ..pytorch.parity_report import ParityReport
from .measure import Measured
from .precision_map import INT8

READY, OPEN, REFUSED = "ready", "open", "refused"
#: Accuracy is measured against the float32 export.
REFERENCE = "fp32"


@dataclass(frozen=True)
class Verdict(Report):
    """Verdict on an artifact.

    READY: verified, and every gate passed. OPEN: nothing failed, but something was not checked. REFUSED: a gate failed.
    `reasons` explain why it is not READY; `numbers`, `accuracy` and `speed` are the single gates, None = not run.
    """

    state: str
    reasons: tuple[str, ...]
    numbers: bool | None
    accuracy: bool | None
    speed: bool | None


class Rival(NamedTuple):
    """Baseline of int8: milliseconds of the model alone, name, batch, milliseconds of each round."""

    milliseconds: float
    name: str
    batch: int
    rounds: tuple[float, ...] = ()


def judge(
    sidecar: Sidecar,
    cosine: CosineGate | None,
    measured: Measured,
    rival: Rival | None = None,
    metrics: tuple[str, ...] = ("mAP",),
) -> Verdict:
    """Return the verdict on one artifact.

    Args:
        sidecar: manifest of the artifact.
        cosine: its gate at build time.
        measured: measurements of this machine.
        rival: the fastest baseline here, of higher precision for its target.
        metrics: names of the values that may not drop, the main one first.
    """
    failed: list[str] = []
    missing: list[str] = []
    if measured.failure is not None:
        failed.append(f"it failed on this machine: {measured.failure}")
    numbers = _numbers(cosine, measured, failed, missing)
    accuracy = _accuracy(sidecar, measured, metrics, failed, missing)
    speed = _speed(sidecar, measured, rival, missing)
    if measured.other_type is not None:
        missing.append(f"it is {measured.other_type}; what was measured says nothing of {sidecar.precision}")
    if sidecar.state != VERIFIED:
        missing.append("no machine has verified it yet: run mambapro check on its device")
    state = REFUSED if failed else OPEN if missing else READY
    return Verdict(state, (*failed, *missing), numbers, accuracy, speed)


def map_limit(sidecar: Sidecar) -> float:
    """Return the limit of the loss of mAP, a fraction: a bundle may be stricter than this product, not looser."""
    return min(sidecar.max_map_drop, MAP_DROPS[sidecar.precision])


def parity_gate(parity: ParityReport) -> CosineGate:
    """Return the exported model's own gate, over all sets of sensors."""
    samples = sum(subset.samples for subset in parity.subsets)
    mean = sum(subset.mean_departure * subset.samples for subset in parity.subsets) / samples
    return CosineGate(parity.max_departure, mean, parity.limit, samples, AGREEMENTS[parity.role].name)


def _numbers(cosine: CosineGate | None, measured: Measured, failed: list[str], missing: list[str]) -> bool | None:
    gates = [] if cosine is None else [("when it was made", cosine)]
    if measured.cosine is not None:
        gates.append(("on this machine", measured.cosine))
    # written so that NaN fails
    over = [f"{gate.measure} to PyTorch {where}: {gate.largest:.1e}, limit {gate.limit:.0e}" for where, gate in gates
            if not gate.largest <= gate.limit]  # fmt: skip
    failed.extend(over)
    # in another type it verifies nothing, unless it exceeds the limit even so
    proved = cosine is not None or (measured.cosine is not None and measured.other_type is None)
    if not proved and not over:
        missing.append("its numbers were not compared with PyTorch's")
        return None
    return not over


def _accuracy(
    sidecar: Sidecar, measured: Measured, metrics: tuple[str, ...], failed: list[str], missing: list[str]
) -> bool | None:
    if sidecar.precision == REFERENCE:
        return None
    made = () if sidecar.accuracy is None else (sidecar.accuracy, *sidecar.accuracy.others)
    gates = [(gate.metric, f"on {gate.dataset} when it was made", gate.drop, gate.limit) for gate in made]
    if sidecar.max_map_drop > 0 and measured.other_type is None:
        here = [one for name in metrics if (one := measured.difference(name)) is not None]
        gates += [(one.name, "on the images of this report", -one.difference, map_limit(sidecar)) for one in here]
    over = [
        f"{name} drop {where}: {100 * drop:.2f} points, limit {100 * limit:.2f}"
        for name, where, drop, limit in gates
        # written so that NaN fails
        if not drop <= limit
    ]
    failed.extend(over)
    if not gates:
        missing.append(
            f"its {metrics[0]} was not compared with float32's: "
            + (
                "give --data and --dataset, here or to mambapro build"
                if sidecar.max_map_drop > 0
                else "export in float32 and build this precision from that"
            )
        )
        return None
    return not over


def _speed(sidecar: Sidecar, measured: Measured, rival: Rival | None, missing: list[str]) -> bool | None:
    """Return whether int8 is faster; if not, this is reported, but not a failure."""
    if sidecar.precision != INT8:
        return None
    here = None if rival is None else measured.timing(MODEL_ONLY, rival.batch)
    gate = sidecar.speed
    if here is not None and rival is not None:
        # a file that failed in a round has no values of it
        even = rival.rounds if len(rival.rounds) == len(here.rounds) else ()
        quotients = ratios(even, here.rounds).values if even else ()
        gate = SpeedGate(rival.batch, here.p50, rival.name, rival.milliseconds, ratios=quotients)
    if gate is None:
        missing.append("its speed was not compared with a higher precision")
        return None
    times = f"{gate.milliseconds:.1f} against {gate.other_milliseconds:.1f} ms for the model alone"
    if gate.slower:
        missing.append(f"it is not faster than {gate.other}: {times}")
    elif gate.doubtful or (not gate.spread.agree and gate.spread.low <= 1):
        missing.append(f"it is not clearly faster than {gate.other}: {gate.told}")
    return not gate.slower
