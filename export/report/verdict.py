"""May an artifact be deployed? What its gates say, and what was measured here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...runtime.metadata import VERIFIED
from ...runtime.sidecar import CosineGate, Sidecar
from .measure import Measured
from .precision_map import INT8
from .stored import StoredParity

READY, OPEN, REFUSED = "ready", "open", "refused"
#: The float32 export is what accuracy is measured against.
_REFERENCE = "fp32"


@dataclass(frozen=True)
class Verdict:
    """READY: verified, and every gate passed. OPEN: nothing failed, but something was not looked at. REFUSED: a gate
    failed. `reasons` say why it is not READY; `numbers`, `accuracy` and `speed` are the single gates, None = not run.
    """

    state: str
    reasons: tuple[str, ...]
    numbers: bool | None
    accuracy: bool | None
    speed: bool | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "reasons": list(self.reasons)}


def judge(sidecar: Sidecar, cosine: CosineGate | None, measured: Measured) -> Verdict:
    """The verdict on one artifact; `cosine` is the gate that it passed when it was made."""
    failed: list[str] = []
    missing: list[str] = []
    numbers = _numbers(cosine, measured, failed, missing)
    accuracy = _accuracy(sidecar, measured, failed, missing)
    speed = _speed(sidecar, missing)
    if sidecar.state != VERIFIED:
        missing.append("no machine has verified it yet: run mambapro check on the device")
    state = REFUSED if failed else OPEN if missing else READY
    return Verdict(state, (*failed, *missing), numbers, accuracy, speed)


def parity_gate(parity: StoredParity) -> CosineGate:
    """The gate that the exported model itself passed, over all sets of sensors."""
    samples = sum(subset.samples for subset in parity.subsets)
    mean = sum(subset.mean_departure * subset.samples for subset in parity.subsets) / samples
    return CosineGate(parity.max_departure, mean, parity.limit, samples)


def _numbers(cosine: CosineGate | None, measured: Measured, failed: list[str], missing: list[str]) -> bool | None:
    gates = [] if cosine is None else [("when it was made", cosine.largest, cosine.limit)]
    if measured.replay is not None:
        gates.append(("on this machine", measured.replay.largest, measured.replay.limit))
    # written so that NaN fails
    over = [f"1 - cosine to PyTorch {where}: {found:.1e}, limit {limit:.0e}" for where, found, limit in gates
            if not found <= limit]  # fmt: skip
    failed.extend(over)
    if not gates:
        missing.append("its numbers were never compared with PyTorch's")
        return None
    return not over


def _accuracy(sidecar: Sidecar, measured: Measured, failed: list[str], missing: list[str]) -> bool | None:
    if sidecar.precision == _REFERENCE:
        return None
    gates = [] if sidecar.accuracy is None else [
        (f"on {sidecar.accuracy.dataset} when it was made", sidecar.accuracy.drop, sidecar.accuracy.limit)
    ]  # fmt: skip
    here = measured.difference("mAP")
    if here is not None and sidecar.max_map_drop > 0:
        gates.append(("on the images of this report", -here.difference, sidecar.max_map_drop))
    over = [f"mAP drop {where}: {100 * drop:.2f} points, limit {100 * limit:.2f}" for where, drop, limit in gates
            if not drop <= limit]  # fmt: skip
    failed.extend(over)
    if not gates:
        missing.append("its retrieval accuracy was not compared with float32")
        return None
    return not over


def _speed(sidecar: Sidecar, missing: list[str]) -> bool | None:
    if sidecar.speed is None:
        if sidecar.precision == INT8:
            missing.append("its speed was not compared with 16 bits")
        return None
    faster = sidecar.speed.ratio > 1
    if not faster:
        missing.append(
            f"it is not faster than {sidecar.speed.other} ({sidecar.speed.ratio:.2f} times as fast), and was built "
            "with --force"
        )
    return faster
