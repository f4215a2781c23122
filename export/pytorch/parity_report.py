"""Records of the parity gate, and the parity.json of a bundle; without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...common.records import Report, record_of
from ...common.tables import text_table
from ...errors import ArtifactError
from ...runtime.bundle.artifact import AccuracyGate
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.checksums import PARITY
from ...runtime.bundle.tensors import EMBEDDING
from ...runtime.evaluation.gates.agreement import AGREEMENTS, Agreement

#: Values in parity.json that follow from the others.
_COMPUTED = ("max_departure", "passed", "measure")


@dataclass(frozen=True)
class StageParity:
    """Stage by the name of the PyTorch module that outputs it. `departs`: above the limit."""

    stage: str
    max_departure: float
    max_difference: float
    departs: bool

    def __str__(self) -> str:
        mark = "  <- departs" if self.departs else ""
        return f"  {self.stage:34} 1-cos {self.max_departure:8.1e}  max abs {self.max_difference:8.1e}{mark}"


@dataclass(frozen=True)
class SubsetParity:
    """Comparison for one set of sensors.

    Departures are distances of the output's `Agreement`, 1 - cosine of embeddings; `rank_agreement` is the fraction of
    answers that both models have in common, of embeddings the ten nearest among the samples with all sensors;
    `constant` counts values equal in all samples, `not_finite` samples with NaN or infinity.
    """

    sensors: str
    samples: int
    max_departure: float
    mean_departure: float
    max_difference: float
    rank_agreement: float
    constant: int
    not_finite: int


@dataclass(frozen=True)
class ParityReport(Report):
    """Result of the gate.

    `limit` is the largest distance allowed, in any sample of any set of sensors; `accuracy` is a float16 file's loss of
    accuracy, None without labeled images; `role` is the output's.
    """

    precision: str
    limit: float
    images: str
    provider: str
    dim: int
    subsets: tuple[SubsetParity, ...]
    stages: tuple[StageParity, ...] = ()
    accuracy: AccuracyGate | None = None
    role: str = EMBEDDING

    @property
    def agreement(self) -> Agreement:
        """Comparison of the outputs."""
        return AGREEMENTS[self.role]

    @property
    def max_departure(self) -> float:
        """Largest distance over all sets of sensors; NaN if one is."""
        return float(np.max([subset.max_departure for subset in self.subsets]))

    @property
    def passed(self) -> bool:
        """True if within the limit, finite, and not the same feature for every image."""
        # written so that NaN fails
        return self.max_departure <= self.limit and not any(s.not_finite for s in self.subsets) and not self.degenerate

    @property
    def degenerate(self) -> bool:
        """True if every image gets the same feature: parity is then meaningless."""
        return self.subsets[0].constant == self.dim

    def with_stages(self, stages: tuple[StageParity, ...]) -> ParityReport:
        """Return the report with the comparison stage by stage."""
        return replace(self, stages=stages)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict; `limit` is read by `mambapro check`."""
        values = super().to_json()
        # reports of embeddings have the same form as before other outputs existed
        role = values.pop("role")
        values |= {} if role == EMBEDDING else {"role": role, "measure": self.agreement.name}
        return {**values, "max_departure": self.max_departure, "passed": self.passed}

    def __str__(self) -> str:
        distance, short = self.agreement.column, self.agreement.short
        rows = [("sensors", "samples", distance, "mean", "max abs", short, "const", "NaN")]
        for s in self.subsets:
            distances = (f"{value:.1e}" for value in (s.max_departure, s.mean_departure, s.max_difference))
            counts = (f"{s.rank_agreement:.1%}", str(s.constant), str(s.not_finite))
            rows.append((s.sensors, str(s.samples), *distances, *counts))  # type: ignore[arg-type]
        verdict = "passed" if self.passed else "FAILED"
        title = f"parity {self.precision} on {self.images} ({self.provider}): limit {self.limit:.0e}, {verdict}"
        lost = [f"{self.accuracy.metric} {self.accuracy}"] if self.accuracy is not None else []
        return "\n".join([title, text_table(rows), *(str(stage) for stage in self.stages), *lost])


def read_parity(bundle: Bundle) -> ParityReport:
    """Read a bundle's parity.json after comparing its hash.

    Raises:
        ArtifactError: not JSON, or not what the export writes.
    """
    path, value = bundle.folder / PARITY, bundle.parity
    failure = f"{path} is not what mambapro writes. Export the bundle again."
    stored = {k: v for k, v in value.items() if k not in _COMPUTED} if isinstance(value, dict) else value
    parity = record_of(ParityReport, stored, failure)
    if not parity.subsets or any(subset.samples < 1 for subset in parity.subsets):
        raise ArtifactError(f"{path} compares no samples. Export the bundle again.")
    if parity.role not in AGREEMENTS:
        raise ArtifactError(f"{failure}\n  role must be one of {', '.join(AGREEMENTS)}")
    written = parity.to_json()
    if other := [name for name in _COMPUTED if value.get(name) != written.get(name)]:
        raise ArtifactError(f"{failure}\n  {', '.join(other)} do not follow from its other values")
    return parity
