"""Cosine similarities between the features of different modalities, same and different identity (figure 6)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ....common.records import Report
from ....runtime.data.modalities import MODALITIES
from ....runtime.evaluation.retrieval.metrics import normalised


@dataclass(frozen=True)
class PairSimilarity(Report):
    """Cosines between modality `first` of one sample and `second` of another or the same one.

    `same` are those of all ordered pairs of samples of one identity (the sample with itself included), `different`
    of two identities; float64.
    """

    first: str
    second: str
    same: np.ndarray
    different: np.ndarray

    @property
    def auc(self) -> float:
        """Probability that a pair of one identity is more similar than a pair of two: 0.5 is chance, 1 perfect."""
        different = np.sort(self.different)
        below = np.searchsorted(different, self.same, "left") + np.searchsorted(different, self.same, "right")
        return float(below.mean() / (2 * len(different)))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers, without the cosines themselves."""
        return {
            "modalities": [self.first, self.second],
            "mean_same": float(self.same.mean()),
            "mean_different": float(self.different.mean()),
            "auc": self.auc,
            "pairs_same": len(self.same),
            "pairs_different": len(self.different),
        }


def modality_similarities(features: np.ndarray, labels: np.ndarray) -> tuple[PairSimilarity, ...]:
    """Compute the similarities rgb-nir, rgb-tir, nir-tir of features (N, 3 modalities, dim), identities (N,)."""
    same = labels[:, None] == labels[None, :]
    units = [normalised(features[:, number]) for number in range(3)]
    pairs = []
    for first, second in combinations(range(3), 2):
        cosines = units[first] @ units[second].T
        pairs.append(PairSimilarity(MODALITIES[first], MODALITIES[second], cosines[same], cosines[~same]))
    return tuple(pairs)
