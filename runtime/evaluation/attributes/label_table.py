"""Accuracy of each label, with its counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....common.foreign_text import shown_text
from ....common.records import Report
from ....common.tables import text_table
from ...bundle.labels import SIGMOID, SOFTMAX, Labels
from .attribute_metrics import AttributeReport

#: Longest printed name of a label.
_LONGEST = 40


@dataclass(frozen=True)
class LabelRow(Report):
    """Accuracy of one label, fractions; None where a denominator is empty.

    Attributes:
        label: its name.
        threshold: above which it is assigned; None where the largest of all labels is.
        positives, negatives, not_judged: numbers of samples.
        precision, recall: of the positives.
        f1: 2 TP / (2 TP + FP + FN).
        ma: mean of the recalls of positives and negatives.
        calibration_error: expected calibration error of its probability.
    """

    label: str
    threshold: float | None
    positives: int
    negatives: int
    not_judged: int
    precision: float | None
    recall: float | None
    f1: float | None
    ma: float | None
    calibration_error: float | None

    def cells(self) -> list[str]:
        """Return the cells of the printed table."""
        threshold = "-" if self.threshold is None else f"{self.threshold:.3g}"
        counts = [f"{count:,}" for count in (self.positives, self.negatives, self.not_judged)]
        values = (self.precision, self.recall, self.f1, self.ma, self.calibration_error)
        return [shown_text(self.label, _LONGEST), threshold, *counts, *map(_percent, values)]


def label_rows(report: AttributeReport, labels: Labels, calibration: np.ndarray | None = None) -> tuple[LabelRow, ...]:
    """Return the accuracy of each label.

    Args:
        report: of the assigned labels.
        labels: in the order of the report.
        calibration: expected calibration error of each label (labels,), NaN = none; None where there are no
            probabilities.
    """
    hits, positives, passes, negatives = report.counts
    false = negatives - passes
    thresholds = _thresholds(labels)
    errors = np.full(len(labels.names), np.nan) if calibration is None else calibration
    rows = []
    for i, name in enumerate(labels.names):
        p, n = int(positives[i]), int(negatives[i])
        rows.append(
            LabelRow(
                label=name,
                threshold=thresholds[i],
                positives=p,
                negatives=n,
                not_judged=report.queries - p - n,
                precision=_quotient(hits[i], hits[i] + false[i]),
                recall=_quotient(hits[i], p),
                f1=_quotient(2 * hits[i], hits[i] + false[i] + p),
                ma=0.5 * (hits[i] / p + passes[i] / n) if p and n else None,
                calibration_error=None if np.isnan(errors[i]) else float(errors[i]),
            )
        )
    return tuple(rows)


def label_table(rows: Sequence[LabelRow]) -> str:
    """Format the labels as a table."""
    heads = ["label", "threshold", "positive", "negative", "not judged", "precision", "recall", "F1", "mA", "ECE"]
    cells = [row.cells() for row in rows]
    if not any(row.not_judged for row in rows):
        heads, *cells = ([*row[:4], *row[5:]] for row in (heads, *cells))
    return text_table([heads, *cells])


def undefined_labels(rows: Sequence[LabelRow]) -> list[str]:
    """Return a line about labels whose mA is undefined, and the mean over the others; empty where there is none."""
    lines = []
    for what, lacking in (
        ("positive", [row.label for row in rows if not row.positives]),
        ("negative", [row.label for row in rows if row.positives and not row.negatives]),
    ):
        if lacking:
            lines.append(f"without a {what} sample: {', '.join(shown_text(name, _LONGEST) for name in lacking)}")
    if not lines:
        return []
    defined = [row.ma for row in rows if row.ma is not None]
    mean = f"; over the other {len(defined)} labels it is {_percent(float(np.mean(defined)))}" if defined else ""
    return [*lines, f"Their mA is undefined; in the mean the empty recall counts as 0, as released{mean}."]


def _thresholds(labels: Labels) -> list[float | None]:
    if labels.activation == SOFTMAX:
        return [None] * len(labels.names)
    return list(labels.thresholds or (0.5 if labels.activation == SIGMOID else 0.0,) * len(labels.names))


def _quotient(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f} %"
