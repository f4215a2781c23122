"""Summary of a calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..graph.scales import Activation, ScaleTable
from .coverage import Coverage
from .thresholds import ALGORITHMS

_WORST = 10


@dataclass(frozen=True)
class Calibration:
    """Scales and coverage. `cached`: the table is an earlier run's. `seconds`: of this run."""

    table: ScaleTable
    coverage: Coverage
    cached: bool
    seconds: float

    @property
    def worst(self) -> tuple[Activation, ...]:
        """The tensors of largest measured error, the worst first."""
        return tuple(sorted(self.table.activations, key=lambda entry: -(entry.error or 0.0))[:_WORST])

    def to_json(self) -> dict[str, Any]:
        """Return plain values; of the table its hash and its worst layers."""
        return {
            "table_sha256": self.table.sha256,
            "layers": len(self.table.modules),
            "algorithms": self._algorithms(),
            "smoothed": sum(entry.smoothing is not None for entry in self.table.activations),
            "coverage": self.coverage.to_json(),
            "worst": [
                {"modules": list(e.modules), "algorithm": e.algorithm, "threshold": e.threshold, "error": e.error}
                for e in self.worst
            ],
            "cached": self.cached,
            "seconds": self.seconds,
        }

    def _algorithms(self) -> dict[str, int]:
        names = [entry.algorithm for entry in self.table.activations]
        return {name: names.count(name) for name in ALGORITHMS if name in names}

    def __str__(self) -> str:
        chosen = ", ".join(f"{name} {count}" for name, count in self._algorithms().items())
        smoothed = sum(entry.smoothing is not None for entry in self.table.activations)
        how = "from the cache" if self.cached else f"in {self.seconds:.0f} s"
        lines = [
            str(self.coverage),
            f"{'layers':<16}{len(self.table.modules)}, scales by {chosen}; {smoothed} smoothed; {how}",
            "",
            f"{'largest errors':<52} {'error':>7} {'algorithm':>10} {'clipped at':>11} {'largest':>9}  by sensor",
        ]
        return "\n".join([*lines, *(_line(entry) for entry in self.worst)])


def _line(entry: Activation) -> str:
    sensors = " ".join(f"{name} {value:.3g}" for name, value in entry.observed.modalities.items())
    error = "" if entry.error is None else f"{entry.error:.2%}"
    how = entry.algorithm if entry.smoothing is None else f"{entry.algorithm}+s"
    name = entry.modules[0] if len(entry.modules) == 1 else f"{entry.modules[0]} and {len(entry.modules) - 1} more"
    return f"{name:<52} {error:>7} {how:>10} {entry.threshold:>11.4g} {entry.observed.absmax:>9.4g}  {sensors}"
