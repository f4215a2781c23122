"""Metrics of multi-label attribute recognition: label-based mA, and instance-based accuracy, precision, recall and F1.

mA is the mean over the labels of the mean of the recalls of positive and negative samples; the others are means over
the samples (Li et al. 2016, https://arxiv.org/abs/1603.07054).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....common.tables import text_table
from ..bootstrap import DEFAULT_RESAMPLES, Interval, PairedDifference, interval_ends, resampled_means

Floats = npt.NDArray[np.float64]

#: Names of the values of a report, in order. "F1" is the mean of the samples' F1, "F1 of means" that of the mean
#: precision and the mean recall.
VALUES = ("mA", "accuracy", "precision", "recall", "F1", "F1 of means")


@dataclass(frozen=True)
class AttributeReport:
    """Accuracy of assigned labels, fractions.

    Attributes:
        rows: float64 (N, 4 labels + 4), one row for each sample: true positives, positives, true negatives and
            negatives by label, then accuracy, precision, recall and F1. Values of a report are functions of the means.
    """

    rows: Floats

    @property
    def queries(self) -> int:
        """Number of samples."""
        return len(self.rows)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Numbers of true positives, positives, true negatives and negatives by label, int64 (4, labels)."""
        return self.rows[:, :-4].sum(axis=0).astype(np.int64).reshape(4, -1)

    @property
    def values(self) -> dict[str, float]:
        """Values by name, see VALUES."""
        return dict(zip(VALUES, map(float, _values(self.rows.mean(axis=0))), strict=True))

    def __str__(self) -> str:
        cells = [*(f"{100 * value:.2f} %" for value in self.values.values()), str(self.queries)]
        return text_table([[*VALUES, "samples"], cells], ">")


def evaluate_attributes(truth: np.ndarray, assigned: np.ndarray) -> AttributeReport:
    """Compare assigned labels with the true ones.

    Args:
        truth: whole numbers (N, labels), 1 = the sample has the label, 0 = it has not; others are not judged.
        assigned: bool (N, labels).

    Returns:
        The report; where a denominator is empty the value is 0.
    """
    positive, negative = truth == 1, truth == 0
    hits, passes = positive & assigned, negative & ~assigned
    both, true, found = hits.sum(axis=1), positive.sum(axis=1), ((positive | negative) & assigned).sum(axis=1)
    precision, recall = _ratio(both, found), _ratio(both, true)
    samples = (_ratio(both, true + found - both), precision, recall, _ratio(2 * precision * recall, precision + recall))
    by_label = (part.astype(np.float64) for part in (hits, positive, passes, negative))
    return AttributeReport(np.concatenate([*by_label, np.stack(samples, axis=1)], axis=1))


def attribute_intervals(
    report: AttributeReport, resamples: int = DEFAULT_RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Return the 95 % percentile interval of every value over draws of the samples, by name.

    Raises:
        InputError: fewer than 1 resample, or no samples.
    """
    return dict(zip(VALUES, interval_ends(resampled_values(report, resamples, seed)), strict=True))


def resampled_values(report: AttributeReport, resamples: int, seed: int = 0) -> Floats:
    """Compute the values over draws of the samples with replacement.

    Equal seeds and numbers of samples draw the same samples. A draw without a positive sample of a label, or without a
    negative one, takes that recall of all samples: 0 would count the luck of the draw as an error.

    Returns:
        (resamples, values), in the order of VALUES.

    Raises:
        InputError: fewer than 1 resample, or no samples.
    """
    whole = _recalls(report.rows.mean(axis=0))
    return np.stack(_values(resampled_means(report.rows, resamples, seed), whole), axis=1)


def majority_report(truth: np.ndarray) -> AttributeReport:
    """Evaluate the constant answer that each label is as most of these samples have it; `truth` as above."""
    positive = (truth == 1).sum(axis=0) > (truth == 0).sum(axis=0)
    return evaluate_attributes(truth, np.broadcast_to(positive, truth.shape))


def attribute_differences(
    first: AttributeReport, second: AttributeReport, resamples: int = DEFAULT_RESAMPLES, seed: int = 0
) -> tuple[PairedDifference, ...]:
    """Return `second` minus `first` in every value, with 95 % percentile intervals over the same samples of both.

    Raises:
        InputError: fewer than 1 resample, or no samples.
    """
    a, b = (resampled_values(report, resamples, seed) for report in (first, second))
    drawn = b - a
    return tuple(
        PairedDifference(name, a, b, b - a, ends.low, ends.high, float((column <= 0).mean()))
        for (name, a), b, ends, column in zip(
            first.values.items(), second.values.values(), interval_ends(drawn), drawn.T, strict=True
        )
    )


def _values(means: Floats, undefined: tuple[Floats | float, Floats | float] = (0.0, 0.0)) -> tuple[Floats, ...]:
    """Values in the order of VALUES from means of a report's rows (..., columns); `undefined` as of `_recalls`."""
    found, spared = _recalls(means, undefined)
    ma = (0.5 * (found + spared)).mean(axis=-1)
    accuracy, precision, recall, f1 = np.moveaxis(means[..., -4:], -1, 0)
    return ma, accuracy, precision, recall, f1, _ratio(2 * precision * recall, precision + recall)


def _recalls(means: Floats, undefined: tuple[Floats | float, Floats | float] = (0.0, 0.0)) -> tuple[Floats, Floats]:
    """Recalls of positives and negatives (..., labels); `undefined` are those where there are none."""
    hits, positives, passes, negatives = np.split(means[..., :-4], 4, axis=-1)
    return _ratio(hits, positives, undefined[0]), _ratio(passes, negatives, undefined[1])


def _ratio(part: np.ndarray, whole: np.ndarray, undefined: Floats | float = 0.0) -> Floats:
    """Quotients, `undefined` where the denominator is 0."""
    out = np.array(np.broadcast_to(undefined, np.shape(whole)), np.float64)
    return np.divide(part, whole, out=out, where=np.asarray(whole) != 0)
