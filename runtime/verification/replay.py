"""Replay of the goldens of a bundle through one of its artifacts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import ParityError
from ..bundle.artifact import CosineGate
from ..bundle.bundle import Golden
from ..bundle.checksums import GOLDEN
from ..data.batch import CAMERA, IMAGE, MODALITY_MASK, Batch
from ..evaluation.gates.agreement import agreement_of, probability_error
from ..session import Session


def replay(session: Session, golden: Golden, limit: float, notes: Sequence[str] = ()) -> tuple[CosineGate, float]:
    """Compare an artifact's outputs over the goldens with PyTorch's.

    Args:
        session: of the artifact.
        golden: inputs, and the outputs of PyTorch.
        limit: largest distance allowed.
        notes: on the limit, for the message.

    Returns:
        The gate of the distances, and the largest difference of a value.

    Raises:
        ParityError: the largest distance is above `limit`.
    """
    metadata, agreement = session.metadata, agreement_of(session.metadata)
    name, inputs = metadata.output.name, golden.inputs
    mask, cameras = (next((inputs[each] for each in metadata.names(role)), None) for role in (MODALITY_MASK, CAMERA))
    images = {tensor.sensor: inputs[tensor.name] for tensor in metadata.inputs if tensor.role == IMAGE}
    batch = Batch.of(images, mask, cameras)
    outputs = session.run(batch)
    actual, expected = outputs[name], golden.outputs[name].astype(np.float64)
    departures = agreement.distances(expected, actual)
    gate = CosineGate(float(departures.max()), float(departures.mean()), limit, golden.samples, agreement.name)
    # Written so that NaN fails as well.
    if not gate.largest <= limit:
        raise ParityError(
            f"{session.artifact.stem} does not return PyTorch's numbers on {session.provider}: the largest "
            f"{agreement.name} over the {golden.samples} samples of {GOLDEN} is {gate.largest:.2e} "
            f"(sample {int(np.argmax(departures))}), the limit {limit:.0e}{''.join(f'; {note}' for note in notes)}. "
            f"Do not use its {agreement.noun}s here; try another runtime or device, or a higher precision."
        )
    other = probability_error(metadata.outputs, metadata.labels, outputs)
    if not other <= limit:
        raise ParityError(
            f"{session.artifact.stem} returns probabilities that are not those of its logits on {session.provider}: "
            f"the largest |difference| is {other:.2e}, the limit {limit:.0e}. Do not use them here."
        )
    return gate, float(np.abs(expected - actual).max())


def why_other_type(session: Session) -> str | None:
    """Return the reason why a bf16 artifact computes in another type here, which verifies nothing; else None."""
    why: str | None = getattr(session.backend, "why_precision", None)
    return why if session.artifact.precision == "bf16" else None
