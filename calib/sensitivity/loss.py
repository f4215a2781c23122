"""Accuracy loss in int8: cosine distance of embeddings, and mAP on the calibration identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import ArtifactError, InputError
from ...runtime.evaluation.gates.agreement import cosine_departures
from ...runtime.evaluation.retrieval.metrics import evaluate_retrieval

#: Rules for samples that are no match, where every sample is a query and all others are its gallery.
CAMERA, SCENE, ITSELF = "camera", "scene", "itself"


@dataclass(frozen=True)
class Loss:
    """Accuracy loss of some layers in int8, against the float model on the same samples.

    Attributes:
        mean, median, largest: of 1 - cosine over the samples.
        error: standard error of `mean`.
        map_drop: mAP lost, a fraction; negative where it became better; None where no identity has two images.
    """

    mean: float
    median: float
    largest: float
    error: float
    map_drop: float | None


class Judge:
    """Comparison of embeddings with those of the float model.

    Args:
        reference: (N, dim) of the float model.
        identities: of the samples; negative = unknown.
        groups: their cameras or scenes.
        junk: which of the two `groups` are; None where a sample is only no match of itself.

    Attributes:
        map: mAP of the float model over the samples; None where no identity has two images.
        junk: the rule in use: ITSELF where no identity was seen under two cameras or in two scenes.
        queries: samples that count.

    Raises:
        ArtifactError: embeddings that are not finite.
    """

    def __init__(
        self, reference: np.ndarray, identities: Sequence[int], groups: Sequence[int], junk: str | None
    ) -> None:
        _require_finite(reference, "the float model")
        self._reference = reference.astype(np.float64)
        # an unknown identity is nobody else's
        self._identities = np.array([number if number >= 0 else -1 - i for i, number in enumerate(identities)])
        self._groups, self.junk = _groups(self._identities, np.array(groups), junk)
        self.map, self.queries = self._map(reference)

    def loss(self, embeddings: np.ndarray, what: str) -> Loss:
        """Return the loss of `embeddings` (N, dim); `what` stands in the message.

        Raises:
            ArtifactError: embeddings that are not finite.
        """
        _require_finite(embeddings, what)
        departures = cosine_departures(self._reference, embeddings)
        found, _ = self._map(embeddings)
        return Loss(
            mean=float(departures.mean()),
            median=float(np.median(departures)),
            largest=float(departures.max()),
            error=float(departures.std() / np.sqrt(len(departures))),
            map_drop=None if self.map is None or found is None else self.map - found,
        )

    def _map(self, embeddings: np.ndarray) -> tuple[float | None, int]:
        if self._groups is None:
            return None, 0
        labels = (self._identities, self._identities, self._groups, self._groups)
        report = evaluate_retrieval(embeddings, embeddings, *labels)
        return report.map, report.queries


def _groups(identities: np.ndarray, groups: np.ndarray, junk: str | None) -> tuple[np.ndarray | None, str]:
    """Return the groups within which an identity is no match, and the rule's name; None if nothing could match."""
    if junk not in (None, CAMERA, SCENE):
        raise InputError(f"The junk rule must be {CAMERA} or {SCENE}, not {junk!r}.")
    pairs = set(zip(identities.tolist(), groups.tolist(), strict=True))
    if junk is not None and len(pairs) > len(set(identities.tolist())):
        return groups, junk
    # every sample a group of its own: only a sample itself is taken out of its ranking
    repeated = len(set(identities.tolist())) < len(identities)
    return (np.arange(len(identities)) if repeated else None), ITSELF


def _require_finite(embeddings: np.ndarray, what: str) -> None:
    bad = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if bad:
        raise ArtifactError(
            f"{bad} of {len(embeddings)} embeddings are NaN or infinite with {what}. "
            "Look at the ranges in the table of scales, or calibrate on other images."
        )
