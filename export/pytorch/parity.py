"""The parity gate: PyTorch against the exported file, for every set of present sensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ...common.progress import Track, silent
from ...errors import ParityError
from ...runtime.bundle.artifact import AccuracyGate
from ...runtime.evaluation.retrieval.metrics import rank_gallery
from ...runtime.verification.check import cosine_departures
from .parity_images import ParityBatch
from .trace import StageParity

#: Places of the ranking that are compared.
TOP = 10
_BATCH = 8

#: A batch of parity samples to features (N, dim).
Embed = Callable[[ParityBatch], np.ndarray]


@dataclass(frozen=True)
class SubsetParity:
    """One set of sensors. Departures are 1 - cosine; `rank_agreement` is the share of the ten nearest among the
    samples with all sensors that both models name; `constant` counts features equal in all samples, `not_finite`
    samples with NaN or infinity."""

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
    """What the gate saw. `limit` is the largest 1 - cosine allowed, in any sample of any set of sensors; `accuracy` is
    what a float16 file loses in mAP, None where there were no labelled images."""

    precision: str
    limit: float
    images: str
    provider: str
    dim: int
    subsets: tuple[SubsetParity, ...]
    stages: tuple[StageParity, ...] = ()
    accuracy: AccuracyGate | None = None

    @property
    def max_departure(self) -> float:
        """Largest 1 - cosine over all sets of sensors; NaN if there is one."""
        return float(np.max([subset.max_departure for subset in self.subsets]))

    @property
    def passed(self) -> bool:
        """Within the limit, finite, and not one and the same feature for every image."""
        # written so that NaN fails
        return self.max_departure <= self.limit and not any(s.not_finite for s in self.subsets) and not self.degenerate

    @property
    def degenerate(self) -> bool:
        """Every image gets the same feature: parity says nothing about such a model."""
        return self.subsets[0].constant == self.dim

    def with_stages(self, stages: tuple[StageParity, ...]) -> ParityReport:
        """The same report with the comparison stage by stage."""
        return replace(self, stages=stages)

    def to_json(self) -> dict[str, Any]:
        """Plain dict; `limit` is what `mambapro check` reads."""
        return {**asdict(self), "max_departure": self.max_departure, "passed": self.passed}

    def __str__(self) -> str:
        columns = (
            ("samples", 7),
            ("max 1-cos", 10),
            ("mean", 9),
            ("max abs", 9),
            ("top-10", 7),
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
        lost = [f"mAP {self.accuracy}"] if self.accuracy is not None else []
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
    track: Track = silent,
) -> tuple[ParityReport, dict[str, np.ndarray]]:
    """Run both models over all batches.

    Returns:
        The report, and PyTorch's features by the name of the set of sensors.
    """
    expected = {b.name: reference(b) for b in batches}
    found = {b.name: _in_parts(exported, b) for b in track(batches, "exported model", len(batches))}
    complete = batches[0].name
    subsets = tuple(
        _subset_parity(b, expected[b.name], found[b.name], expected[complete], found[complete]) for b in batches
    )
    dim = expected[complete].shape[1]
    return ParityReport(precision, limit, images, provider, dim, subsets), expected


def _in_parts(embed: Embed, batch: ParityBatch) -> np.ndarray:
    """Features of a batch, a few samples at a time: memory stays that of a deployment."""
    parts = [slice(start, start + _BATCH) for start in range(0, len(batch.images), _BATCH)]
    return np.concatenate([embed(ParityBatch(batch.subset, batch.images[p], batch.cameras[p])) for p in parts])


def _subset_parity(
    batch: ParityBatch, expected: np.ndarray, found: np.ndarray, gallery: np.ndarray, found_gallery: np.ndarray
) -> SubsetParity:
    departures = cosine_departures(expected, found)
    return SubsetParity(
        sensors=batch.name,
        samples=len(expected),
        max_departure=float(departures.max()),
        mean_departure=float(departures.mean()),
        max_difference=float(np.abs(expected.astype(np.float64) - found).max()),
        rank_agreement=_rank_agreement((expected, gallery), (found, found_gallery)),
        constant=int((np.ptp(found, axis=0) == 0).sum()),
        not_finite=int((~np.isfinite(found)).any(1).sum()),
    )


def _rank_agreement(*pairs: tuple[np.ndarray, np.ndarray]) -> float:
    """Mean share of the TOP nearest gallery samples that two (query, gallery) pairs of features have in common."""
    if not all(np.isfinite(features).all() for pair in pairs for features in pair):
        return 0.0
    top = min(TOP, len(pairs[0][1]))
    first, second = (rank_gallery(query, gallery, top) for query, gallery in pairs)
    return float(np.mean([len(np.intersect1d(a, b)) / top for a, b in zip(first, second, strict=True)]))


def require_parity(report: ParityReport, where: str | None) -> None:
    """Let a passed report through.

    Args:
        where: the first stage that departs, where a trace found one.

    Raises:
        ParityError: the report failed; the message holds the whole table.
    """
    if report.passed:
        return
    if any(subset.not_finite for subset in report.subsets):
        reason = "its features are not finite. "
    elif report.degenerate:
        reason = "it returns one and the same feature for every image; is the checkpoint trained? "
    else:
        reason = f"the largest 1 - cosine is {report.max_departure:.1e}, the limit {report.limit:.0e}. "
    stage = f"The first stage that departs is {where}. " if where else ""
    raise ParityError(
        f"The exported model does not return PyTorch's numbers: {reason}{stage}"
        f"No bundle was written. Export in fp32, or set another limit with --max-cosine-distance.\n{report}"
    )
