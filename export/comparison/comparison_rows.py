"""Rows of the comparison of a checkpoint with its bundles, by the metric of the models' task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...common.foreign_text import escaped
from ...common.rounds import Spread, ratios
from ...runtime.bundle.labels import Labels
from ...runtime.evaluation.gates.agreement import cosine_departures, label_agreement
from ...runtime.evaluation.gates.task_metrics import Metric

PYTORCH = "PyTorch fp32"


class Measured(NamedTuple):
    """Report of a model on the test samples, its outputs (N, dim), and milliseconds of each round."""

    report: Any
    outputs: np.ndarray
    rounds: tuple[float, ...]


@dataclass(frozen=True)
class ComparisonRow:
    """Results of one model of embeddings.

    Attributes:
        model: its name.
        map, rank_1: fractions.
        min_cosine: to PyTorch's features, over query and gallery.
        milliseconds: the median of the rounds.
        rounds: milliseconds of each round.
        speedup: against PyTorch, the median over the rounds; None where they disagree.
        speedups: of each round.
    """

    model: str
    map: float
    rank_1: float
    min_cosine: float
    milliseconds: float
    rounds: tuple[float, ...]
    speedup: float | None
    speedups: tuple[float, ...]

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Return heading and cell of each column between the name and the times."""
        return (
            ("mAP", f"{self.map:.1%}"),
            ("Rank-1", f"{self.rank_1:.1%}"),
            ("min cosine", f"{self.min_cosine:.10f}"),
        )


@dataclass(frozen=True)
class AttributeComparisonRow:
    """Results of one model of labels; times as in `ComparisonRow`.

    Attributes:
        model: its name.
        accuracy: the metrics that gates compare by name, fractions.
        drop: of each of them, PyTorch's minus the model's.
        label_agreement: fraction of labels assigned as PyTorch does.
    """

    model: str
    accuracy: dict[str, float]
    drop: dict[str, float]
    label_agreement: float
    milliseconds: float
    rounds: tuple[float, ...]
    speedup: float | None
    speedups: tuple[float, ...]

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Return heading and cell of each column between the name and the times; drops are in points."""
        pairs = [
            ((name, f"{value:.1%}"), ("drop", f"{100 * self.drop[name]:.2f}")) for name, value in self.accuracy.items()
        ]
        return (*(column for pair in pairs for column in pair), ("same labels", f"{self.label_agreement:.2%}"))


#: Results of one model; their times are milliseconds of one sample, images decoded and resized.
Row = ComparisonRow | AttributeComparisonRow


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row of the table."""
    spread = Spread(row.rounds)
    return (
        escaped(row.model),
        *(cell for _, cell in row.columns()),
        f"{row.milliseconds:.1f} ({spread.low:.1f} to {spread.high:.1f})",
        "1x" if row.model == PYTORCH else Spread(row.speedups).times(),
    )


def head(row: Row) -> tuple[str, ...]:
    """Return the headings of a table of such rows."""
    return ("model", *(name for name, _ in row.columns()), "ms, batch 1 (rounds)", "against PyTorch")


def _embedding_row(name: str, metric: Metric, reference: Measured, one: Measured, labels: Labels | None) -> Row:
    cosine = 1.0 - float(cosine_departures(reference.outputs, one.outputs).max())
    return ComparisonRow(name, one.report.map, one.report.rank(1), cosine, *_times(reference, one))


def _label_row(name: str, metric: Metric, reference: Measured, one: Measured, labels: Labels | None) -> Row:
    expected, values = (metric.values(each.report) for each in (reference, one))
    first, second = ((each.outputs, each.outputs) for each in (reference, one))
    return AttributeComparisonRow(
        name,
        {key: values[key] for key in metric.gated},
        {key: expected[key] - values[key] for key in metric.gated},
        label_agreement(first, second, labels),
        *_times(reference, one),
    )


def _times(reference: Measured, one: Measured) -> tuple[float, tuple[float, ...], float | None, tuple[float, ...]]:
    speedups = ratios(reference.rounds, one.rounds)
    return Spread(one.rounds).median, one.rounds, speedups.value, speedups.values


#: Function for a model's row by the name of its task's metric.
ROWS: dict[str, Callable[[str, Metric, Measured, Measured, Labels | None], Row]] = {
    "mAP": _embedding_row,
    "mA": _label_row,
}
