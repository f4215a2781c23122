"""Report of the evaluation of an attribute model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....common.foreign_text import escaped, shown_text
from ....common.records import Report
from ....common.tables import text_table
from ...data.readers.listing import shown
from ..bootstrap import DEFAULT_LEVEL, Interval
from .attribute_metrics import VALUES, AttributeReport
from .label_table import LabelRow, label_table, undefined_labels

_CONVENTIONS = "F1: mean of the samples' F1, as released; F1 of means: 2PR/(P+R) of the mean precision and recall"


@dataclass(frozen=True)
class Tuning(Report):
    """Tuned thresholds: the value they maximize, the number of validation samples, and the file they are in.

    `left_out` are the validation samples (name, reason) with an unusable image.
    """

    objective: str
    samples: int
    out: str
    left_out: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**super().to_json(), "left_out": _listed(self.left_out)}


@dataclass(frozen=True)
class AttributeEvaluation(Report):
    """Accuracy of an attribute model on the test part of a data set.

    Attributes:
        dataset, model: names.
        report: of the labels that the model assigns, by the tuned thresholds where they were tuned.
        intervals: 95 % bootstrap interval of each value; empty without resamples.
        resamples, seed: of the intervals.
        before: report by the model's own thresholds, where others were tuned.
        majority: report of the constant answer.
        labels: accuracy of each label.
        calibration_error: over all labels; None where the model returns no probabilities.
        tuning: of the thresholds, if they were tuned.
        left_out: test samples (name, reason) with an unusable image.
        strips: the written pictures.
    """

    dataset: str
    model: str
    report: AttributeReport
    intervals: dict[str, Interval]
    resamples: int
    seed: int
    before: AttributeReport | None
    majority: AttributeReport
    labels: tuple[LabelRow, ...]
    calibration_error: float | None
    tuning: Tuning | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    strips: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Number of evaluated samples."""
        return self.report.queries

    @property
    def all_samples(self) -> int:
        """Number of samples of both parts, with those left out."""
        tuned = 0 if self.tuning is None else self.tuning.samples
        return self.samples + tuned + len(self.all_left_out)

    @property
    def all_left_out(self) -> tuple[tuple[str, str], ...]:
        """Samples (name, reason) of both parts with an unusable image."""
        return (() if self.tuning is None else self.tuning.left_out) + self.left_out

    def to_json(self) -> dict[str, Any]:
        """Return plain values; intervals are [low, high]."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "samples": self.samples,
            "values": self.report.values,
            "intervals": {name: [ends.low, ends.high] for name, ends in self.intervals.items()},
            "level": DEFAULT_LEVEL,
            "resamples": self.resamples,
            "seed": self.seed,
            "before_tuning": None if self.before is None else self.before.values,
            "majority": self.majority.values,
            "calibration_error": self.calibration_error,
            "labels": [row.to_json() for row in self.labels],
            "tuning": None if self.tuning is None else self.tuning.to_json(),
            "left_out": _listed(self.left_out),
            "strips": list(self.strips),
        }

    def __str__(self) -> str:
        parts = [
            "\n".join([f"{self.dataset}: {self.samples:,} test samples, {len(self.labels)} labels", *self._left_out()]),
            self._table(),
            "\n".join([_CONVENTIONS, *self._notes()]),
            label_table(self.labels),
            "\n".join([*undefined_labels(self.labels), *self._tuning(), *self._strips()]),
        ]
        return "\n\n".join(part for part in parts if part)

    def _left_out(self) -> list[str]:
        return [_told(self.left_out, "")] if self.left_out else []

    def _table(self) -> str:
        values = self.report.values
        found = [_percent(values[name]) + (f" {self.intervals[name]}" if self.intervals else "") for name in VALUES]
        rows = [["", *VALUES], ["model" if self.before is None else "tuned thresholds", *found]]
        others = {"thresholds before": self.before, "majority": self.majority}
        rows += [
            [title, *(_percent(report.values[name]) for name in VALUES)]
            for title, report in others.items()
            if report is not None
        ]
        return text_table(rows)

    def _notes(self) -> list[str]:
        lines = ["majority: each label as most of these samples have it"]
        if self.calibration_error is not None:
            lines.append(
                f"ECE, expected calibration error in 15 bins: {_percent(self.calibration_error)} over all labels"
            )
        if self.intervals:
            lines.append(
                f"[low, high]: {100 * DEFAULT_LEVEL:g} % interval from {self.resamples} bootstrap resamples of the "
                f"samples, seed {self.seed}"
            )
        return lines

    def _strips(self) -> list[str]:
        if not self.strips:
            return []
        return [f"{len(self.strips)} strips in {escaped(str(Path(self.strips[0]).parent))}"]

    def _tuning(self) -> list[str]:
        if self.tuning is None:
            return []
        left_out = self.tuning.left_out
        return [
            f"thresholds tuned for {self.tuning.objective} on {self.tuning.samples:,} validation samples, in "
            f"{escaped(self.tuning.out)}",
            *([_told(left_out, "validation ")] if left_out else []),
        ]


def _listed(left_out: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"name": name, "reason": reason} for name, reason in left_out]


def _told(left_out: tuple[tuple[str, str], ...], part: str) -> str:
    names = shown([shown_text(name) for name, _ in left_out])
    return f"{len(left_out)} {part}samples left out, their image cannot be used: {names}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"
