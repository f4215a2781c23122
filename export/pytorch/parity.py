"""Parity gate: PyTorch against the exported file, for every set of present sensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...common.progress import Track, silent
from ...common.records import encode
from ...errors import ParityError
from ...runtime.bundle.artifact import AccuracyGate
from ...runtime.bundle.labels import Labels
from ...runtime.bundle.tensors import EMBEDDING
from ...runtime.evaluation.gates.agreement import AGREEMENTS, Agreement, Pair
from ...train.models.model_spec import PART
from .parity_images import ParityBatch
from .trace import StageParity

#: A batch of parity samples to outputs (N, dim).
Embed = Callable[[ParityBatch], np.ndarray]


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
class ParityReport:
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
        values = encode(self)
        # reports of embeddings have the same form as before other outputs existed
        role = values.pop("role")
        values |= {} if role == EMBEDDING else {"role": role, "measure": self.agreement.name}
        return {**values, "max_departure": self.max_departure, "passed": self.passed}

    def __str__(self) -> str:
        columns = (
            ("samples", 7),
            (self.agreement.column, 10),
            ("mean", 9),
            ("max abs", 9),
            (self.agreement.short, 7),
            ("const", 5),
            ("NaN", 4),
        )
        head = " ".join([f"{'sensors':14}", *(f"{name:>{width}}" for name, width in columns)])
        rows = [
            f"{s.sensors:14} {s.samples:7d} {s.max_departure:10.1e} {s.mean_departure:9.1e} {s.max_difference:9.1e} "
            f"{s.rank_agreement:7.1%} {s.constant:5d} {s.not_finite:4d}"
            for s in self.subsets
        ]
        verdict = "passed" if self.passed else "FAILED"
        title = f"parity {self.precision} on {self.images} ({self.provider}): limit {self.limit:.0e}, {verdict}"
        lost = [f"{self.accuracy.metric} {self.accuracy}"] if self.accuracy is not None else []
        return "\n".join([title, head, *rows, *(str(stage) for stage in self.stages), *lost])


def compare(
    reference: Embed,
    exported: Embed,
    batches: Sequence[ParityBatch],
    *,
    precision: str,
    limit: float,
    images: str,
    provider: str,
    role: str = EMBEDDING,
    labels: Labels | None = None,
    track: Track = silent,
) -> tuple[ParityReport, dict[str, np.ndarray]]:
    """Run both models over all batches."""
    expected = {b.name: reference(b) for b in batches}
    outputs = {b.name: _in_parts(exported, b) for b in track(batches, "exported model", len(batches))}
    complete = batches[0].name
    subsets = tuple(
        _subset_parity(
            b.name, AGREEMENTS[role], labels, *((values[b.name], values[complete]) for values in (expected, outputs))
        )
        for b in batches
    )
    dim = expected[complete].shape[1]
    return ParityReport(precision, limit, images, provider, dim, subsets, role=role), expected


def _in_parts(embed: Embed, batch: ParityBatch) -> np.ndarray:
    """Return outputs of a batch, a few samples at a time, so that memory stays that of a deployment."""
    return np.concatenate([embed(part) for part in batch.parts(PART)])


def _subset_parity(
    name: str, agreement: Agreement, labels: Labels | None, expected: Pair, actual: Pair
) -> SubsetParity:
    """Compare outputs of one set of sensors; each pair is (outputs, those of the samples with all sensors)."""
    wanted, values = expected[0], actual[0]
    departures = agreement.distances(wanted, values)
    return SubsetParity(
        sensors=name,
        samples=len(wanted),
        max_departure=float(departures.max()),
        mean_departure=float(departures.mean()),
        max_difference=float(np.abs(wanted.astype(np.float64) - values).max()),
        rank_agreement=agreement.common(expected, actual, labels),
        constant=int((np.ptp(values, axis=0) == 0).sum()),
        not_finite=int((~np.isfinite(values)).any(1).sum()),
    )


def require_parity(report: ParityReport, where: str | None) -> None:
    """Raise unless the report passed.

    Args:
        where: the first stage that departs, where a trace found one.

    Raises:
        ParityError: the report failed; the message holds the whole table.
    """
    if report.passed:
        return
    if any(subset.not_finite for subset in report.subsets):
        reason = f"its {report.agreement.noun}s are not finite. "
    elif report.degenerate:
        reason = f"it returns one and the same {report.agreement.noun} for every image; is the checkpoint trained? "
    else:
        reason = f"the largest {report.agreement.name} is {report.max_departure:.1e}, the limit {report.limit:.0e}. "
    stage = f"The first stage that departs is {where}. " if where else ""
    raise ParityError(
        f"The exported model does not return PyTorch's numbers: {reason}{stage}"
        f"No bundle was written. Export in fp32, or set another limit with --max-cosine-distance.\n{report}"
    )
