"""Agreement of a model's outputs with PyTorch's, by the role of the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...bundle.labels import SOFTMAX, Labels
from ...bundle.limits import LIMITS
from ...bundle.metadata import BundleMetadata
from ...bundle.tensors import EMBEDDING, LOGITS, PROBABILITIES, TensorInfo
from ..retrieval.metrics import rank_gallery

#: Outputs of samples, and those of the samples with all modalities.
Pair = tuple[np.ndarray, np.ndarray]
#: Compared length of a ranking.
TOP = 10


@dataclass(frozen=True)
class Agreement:
    """Distance between outputs, and fraction of equal answers of two models.

    Attributes:
        noun: for an output.
        name: of the distance, such as "1 - cosine".
        column: heading for its largest value.
        short: of the fraction, for a column.
        distances: function from expected and actual outputs (N, dim) to the distance of each sample, float64 (N,); NaN
            if undefined.
        limits: largest distance by precision.
        common: function from the outputs of both models, and the labels of logits, to the fraction of equal answers.
    """

    noun: str
    name: str
    column: str
    short: str
    distances: Callable[[np.ndarray, np.ndarray], np.ndarray]
    limits: Mapping[str, float]
    common: Callable[[Pair, Pair, Labels | None], float]


def cosine_departures(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Compute 1 - cosine of each pair of rows. Returns float64 (N,); NaN where a row is zero or not finite."""
    # Half the squared distance of the unit vectors: 1 - cosine loses every digit below 1e-16, this does not.
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (_float64(expected), _float64(found)))
    return 0.5 * ((a - b) ** 2).sum(axis=1)


def largest_differences(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Compute the largest |difference| of each pair of rows. Returns float64 (N,); NaN where a value is not finite."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(_float64(expected) - _float64(found)).max(axis=1)
    return np.where(np.isfinite(difference), difference, np.nan)


def rank_agreement(expected: Pair, found: Pair, labels: Labels | None = None) -> float:
    """Return the mean overlap of the TOP nearest gallery samples of two (query, gallery) pairs of features."""
    pairs = (expected, found)
    if not all(np.isfinite(features).all() for pair in pairs for features in pair):
        return 0.0
    top = min(TOP, len(pairs[0][1]))
    first, second = (rank_gallery(query, gallery, top) for query, gallery in pairs)
    return float(np.mean([len(np.intersect1d(a, b)) / top for a, b in zip(first, second, strict=True)]))


def label_agreement(expected: Pair, found: Pair, labels: Labels | None) -> float:
    """Return the fraction of labels on which two models' logits agree; without `labels` one is predicted above 0."""
    first, second = (pair[0] > 0 if labels is None else labels.assign(pair[0]) for pair in (expected, found))
    return float((first == second).mean())


def probability_error(outputs: Sequence[TensorInfo], labels: Labels | None, values: Mapping[str, np.ndarray]) -> float:
    """Return the largest |difference| of a model's probabilities from the activation of its own logits.

    Args:
        outputs: of the model.
        labels: those of the logits, None = sigmoid.
        values: outputs by name, (N, labels) each.

    Returns:
        0 where the model returns no probabilities; NaN where a value is not finite.
    """
    names = {tensor.role: tensor.name for tensor in outputs}
    if PROBABILITIES not in names:
        return 0.0
    logits, found = (_float64(values[names[role]]) for role in (LOGITS, PROBABILITIES))
    if labels is not None and labels.activation == SOFTMAX:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return float(np.abs(powers / powers.sum(axis=1, keepdims=True) - found).max())
    return float(np.abs(0.5 * (1 + np.tanh(logits / 2)) - found).max())


def _float64(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows, dtype=np.float64)


#: Largest |difference| of a logit by precision; a probability moves by a quarter of it at most.
LOGIT_LIMITS = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 2e-1, "int8": 0.5}

AGREEMENTS = {
    EMBEDDING: Agreement("feature", "1 - cosine", "max 1-cos", f"top-{TOP}", cosine_departures, LIMITS, rank_agreement),
    LOGITS: Agreement(
        "logit", "|difference| of logits", "max |diff|", "labels", largest_differences, LOGIT_LIMITS, label_agreement
    ),
}


def agreement_of(metadata: BundleMetadata) -> Agreement:
    """Return the comparison of outputs with PyTorch's for the artifacts of a bundle."""
    return AGREEMENTS[metadata.output.role]
