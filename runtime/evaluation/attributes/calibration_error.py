"""Expected calibration error of probabilities, over all labels and of each.

Naeini et al. 2015 (https://doi.org/10.1609/aaai.v29i1.9602), of the probability that a sample has a label: in bins of
equal width, the mean of |mean probability - fraction of positives|, weighted by the number of samples in the bin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: Number of bins, as in Guo et al. 2017 (https://arxiv.org/abs/1706.04599).
BINS = 15


class CalibrationErrors(NamedTuple):
    """Errors as fractions: over all judged pairs of sample and label, and of each label, float64 (labels,)."""

    all_labels: float
    by_label: npt.NDArray[np.float64]


def calibration_errors(truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> CalibrationErrors:
    """Compute the expected calibration error of probabilities.

    Args:
        truth: whole numbers (N, labels), 1 = the sample has the label, 0 = it has not; others are not judged.
        probabilities: (N, labels), 0 to 1.
        bins: number of bins; each holds its upper end.

    Returns:
        The errors; NaN where nothing is judged.
    """
    labels = truth.shape[1]
    rows, columns = np.nonzero((truth == 0) | (truth == 1))
    values = probabilities[rows, columns].astype(np.float64)
    number = np.clip(np.ceil(values * bins).astype(np.int64) - 1, 0, bins - 1)
    # signed sums of probability - truth in each bin of each label: pooling the labels only adds them
    surplus = np.bincount(
        columns * bins + number, weights=values - truth[rows, columns], minlength=labels * bins
    ).reshape(labels, bins)
    judged = np.bincount(columns, minlength=labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_label = np.abs(surplus).sum(axis=1) / judged
        pooled = np.abs(surplus.sum(axis=0)).sum() / np.float64(judged.sum())
    return CalibrationErrors(float(pooled), by_label)
