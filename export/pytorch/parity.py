"""Parity gate: PyTorch against the exported file, for every set of present sensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...common.progress import Track, silent
from ...errors import ParityError
from ...runtime.bundle.labels import Labels
from ...runtime.bundle.tensors import EMBEDDING
from ...runtime.evaluation.gates.agreement import AGREEMENTS, Agreement, Pair, probability_error
from ...train.models.model_spec import PART, ModelSpec
from .parity_images import ParityBatch
from .parity_report import ParityReport, SubsetParity

#: A batch of parity samples to outputs (N, dim).
Embed = Callable[[ParityBatch], np.ndarray]


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
    outputs = {
        b.name: _in_parts(exported, b) for b in track(batches, "Running the exported model: batches", len(batches))
    }
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


def require_probabilities(spec: ModelSpec, values: Mapping[str, np.ndarray], limit: float) -> None:
    """Raise ParityError if an exported model's probabilities, if any, are not those of its own logits."""
    error = probability_error(spec.outputs, spec.labels, values)
    if error > limit:
        raise ParityError(
            f"The exported model returns probabilities that are not those of its logits: the largest |difference| is "
            f"{error:.1e}, the limit {limit:.0e}. No bundle was written."
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
