"""Evaluation report: one row per ranking variant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....common.foreign_text import escaped, shown_text
from ....common.records import Report
from ....common.tables import text_table
from ...data.readers.listing import shown
from ..bootstrap import Intervals
from .metrics import RetrievalReport

WHOLE, RERANKED, SUBSET, PART = "whole", "re-ranked", "subset", "part"

_CAPTIONS = {
    SUBSET: "sensors missing from query and gallery (mid-grey instead)",
    PART: "one third of the whole feature alone",
}


@dataclass(frozen=True)
class EvaluationRow(Report):
    """One ranking variant.

    `kind` is WHOLE, RERANKED, SUBSET or PART; `sensors` such as "rgb+tir" are those present, or those of the used third
    of the feature.
    """

    kind: str
    sensors: str
    report: RetrievalReport
    intervals: Intervals | None

    @property
    def name(self) -> str:
        """Name of the row in the table."""
        return f"{self.sensors}, {self.kind}" if self.kind == RERANKED else self.sensors

    def to_json(self) -> dict[str, Any]:
        """Return means, counts and intervals, without the values of each query."""
        intervals = None if self.intervals is None else self.intervals.to_json()
        return {"kind": self.kind, "sensors": self.sensors, **self.report.summary(), "intervals": intervals}

    def cells(self) -> list[str]:
        """Return name, mAP, Rank-1, Rank-5, Rank-10, mINP as text."""
        report, intervals = self.report, self.intervals
        shown = [percent(report.map), *(percent(report.rank(k)) for k in (1, 5, 10)), percent(report.minp)]
        if intervals is not None:
            shown[0] += f" {intervals.map}"
            shown[1] += f" {intervals.rank(1)}"
        return [self.name, *shown]


@dataclass(frozen=True)
class EvaluationReport(Report):
    """Retrieval accuracy of one model on one benchmark; the first row is the whole feature with all sensors.

    `junk` is the field ("camera" or "scene") of the benchmark's junk rule; `gallery` counts its samples; `strips` are
    the written pictures; `left_out` are the samples (name, reason) with an unusable image; `samples` counts the
    evaluated distinct samples of query and gallery.
    """

    dataset: str
    model: str
    junk: str
    gallery: int
    rows: tuple[EvaluationRow, ...]
    strips: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    samples: int = 0

    @property
    def all_samples(self) -> int:
        """Number of distinct samples, with those left out."""
        return self.samples + len(self.left_out)

    @property
    def all_left_out(self) -> tuple[tuple[str, str], ...]:
        """Samples (name, reason) of every part with an unusable image."""
        return self.left_out

    @property
    def whole(self) -> RetrievalReport:
        """Report of the first row."""
        return self.rows[0].report

    @property
    def map(self) -> float:
        """mAP of the whole feature, a fraction."""
        return self.whole.map

    def to_json(self) -> dict[str, Any]:
        """Return plain values: those of the whole feature with each query's, then `rows` with the means of each row."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "junk": self.junk,
            "gallery": self.gallery,
            **self.whole.to_json(),
            "rows": [row.to_json() for row in self.rows],
            "strips": list(self.strips),
            "samples": self.samples,
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
        }

    def __str__(self) -> str:
        counts = f"{self.whole.queries} queries, gallery of {self.gallery}"
        lines = [
            f"{self.dataset}: {counts}; junk: same identity and {self.junk}",
            *self._left_out(),
            *self._skipped(),
            *self._table(),
            *self._interval_note(),
        ]
        if self.strips:
            lines.append(f"{len(self.strips)} strips in {escaped(str(Path(self.strips[0]).parent))}")
        return "\n".join(lines)

    def _left_out(self) -> list[str]:
        if not self.left_out:
            return []
        names = shown([shown_text(name) for name, _ in self.left_out])
        return [f"{len(self.left_out)} samples left out, an image of theirs cannot be used: {names}"]

    def _skipped(self) -> list[str]:
        skipped, absent = self.whole.skipped_queries, self.whole.absent_queries
        if not skipped:
            return []
        return [
            f"{skipped} more queries skipped: {absent} of identities that the gallery lacks, {skipped - absent} whose "
            f"identity it has in their own {self.junk} only"
        ]

    def _table(self) -> list[str]:
        heads = ["", "mAP", "Rank-1", "Rank-5", "Rank-10", "mINP"]
        head, *table = text_table([heads, *(row.cells() for row in self.rows)]).split("\n")
        lines, kind = [head], WHOLE
        for row, line in zip(self.rows, table, strict=True):
            if row.kind != kind and row.kind in _CAPTIONS:
                lines.append(_CAPTIONS[row.kind])
            kind = row.kind
            lines.append(line)
        return lines

    def _interval_note(self) -> list[str]:
        intervals = self.rows[0].intervals
        if intervals is None:
            return []
        return [
            f"[low, high]: {100 * intervals.level:g} % interval from {intervals.resamples} bootstrap resamples of the "
            f"queries, seed {intervals.seed}"
        ]


def percent(fraction: float) -> str:
    """Format a fraction: 0.7911 -> "79.11 %"."""
    return f"{100 * fraction:.2f} %"
