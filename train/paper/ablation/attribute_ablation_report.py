"""Report of a comparison of attribute models: accuracy over the seeds, and differences between rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from ....common.records import Report
from ....common.tables import markdown_table, number, text_table
from ....runtime.evaluation.attributes.attribute_metrics import (
    VALUES,
    AttributeReport,
    evaluate_attributes,
    majority_report,
    resampled_values,
)
from ....runtime.evaluation.bootstrap import interval_ends
from .attribute_runs import AttributeResult
from .attribute_tables import AttributeRow

RESAMPLES = 1000
#: Values with spread and interval, and of which rows are compared.
_MAIN = ("mA", "F1")


@dataclass(frozen=True)
class AttributeRowResult(Report):
    """A row's means over its seeds, in percent, by the names of the values.

    `spreads` are standard deviations over the seeds (empty for one), `intervals` 95 % bootstrap intervals of the means
    over the samples. `by_seed` has the values of each seed. `seconds` are those of the training of one.
    """

    recipe: str
    title: str
    seeds: tuple[int, ...]
    values: dict[str, float]
    spreads: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    by_seed: tuple[dict[str, float], ...]
    trainable: int
    seconds: float


@dataclass(frozen=True)
class AttributeStep(Report):
    """Difference of a row to the one it is compared with, in points, with its bootstrap interval, same samples."""

    first: str
    second: str
    value: str
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class AttributeAblationReport(Report):
    """Comparison of attribute models; `majority` is the constant answer, in percent."""

    table: str
    title: str
    dataset: str
    size: str
    samples: int
    majority: dict[str, float]
    rows: tuple[AttributeRowResult, ...]
    steps: tuple[AttributeStep, ...]

    def __str__(self) -> str:
        parts = [self._head(), text_table(self._accuracy(), "<<>")]
        if self.steps:
            parts.append(text_table(self._differences(), "<<<>"))
        return "\n\n".join([*parts, self._legend()])

    def markdown(self) -> str:
        """Return the content of results.md."""
        parts = [f"## {self.title}", self._head(), markdown_table(self._accuracy(), "<<>")]
        if self.steps:
            parts.append(markdown_table(self._differences(), "<<<>"))
        return "\n\n".join([*parts, self._legend()]) + "\n"

    def _head(self) -> str:
        return f"{self.title}: {self.size} models on {self.dataset}, {self.samples:,} test samples"

    def _accuracy(self) -> list[list[str]]:
        heads = ["row", "model", "seeds"]
        for name in VALUES:
            heads += [name, "spread", "95 %"] if name in _MAIN else [name]
        rows = [[*heads, "trained", "s"]]
        for row in self.rows:
            cells = [row.recipe, row.title, ",".join(map(str, row.seeds))]
            for name in VALUES:
                cells.append(number(row.values[name], 1))
                if name in _MAIN:
                    low, high = row.intervals[name]
                    cells += [number(row.spreads.get(name), 1), f"{low:.1f} .. {high:.1f}"]
            rows.append([*cells, f"{row.trainable:,}", f"{row.seconds:.0f}"])
        last = ["-", "majority of each attribute", "-"]
        for name in VALUES:
            last += [number(self.majority[name], 1), *(("-", "-") if name in _MAIN else ())]
        return [*rows, [*last, "-", "-"]]

    def _differences(self) -> list[list[str]]:
        rows = [
            [one.first, one.second, one.value, f"{one.difference:+.1f}", f"{one.low:+.1f} .. {one.high:+.1f}"]
            for one in self.steps
        ]
        return [["from", "to", "value", "points", "95 %"], *rows]

    def _legend(self) -> str:
        return (
            "Percent, means over the seeds; F1: mean of the samples' F1. spread: standard deviation over the seeds. "
            f"95 %: bootstrap over the samples, {RESAMPLES} resamples of the seeds' mean. trained: values that were "
            "trained; s: seconds of one training, without that of a teacher. Second table: differences over the same "
            "samples; where the interval holds zero, the sign is not sure. The paper's own figures are not known here."
        )


def summarize_attributes(
    rows: Sequence[AttributeRow], results: Mapping[str, Mapping[int, AttributeResult]], truth: np.ndarray
) -> tuple[tuple[AttributeRowResult, ...], tuple[AttributeStep, ...], dict[str, float]]:
    """Summarize results by recipe and seed; `truth` are the test samples' labels, whole numbers (N, labels).

    Returns:
        the rows, the differences of those rows whose counterpart is there, and the constant answer.
    """
    found, drawn = [], {}
    for row in rows:
        by_seed = results[row.recipe]
        reports = [evaluate_attributes(truth, result.decisions(truth.shape[1])) for result in by_seed.values()]
        # every seed on the same draws: the difficulty of a sample is the same for all
        drawn[row.recipe] = np.mean([resampled_values(report, RESAMPLES) for report in reports], axis=0)
        found.append(_row(row, tuple(by_seed), reports, list(by_seed.values()), drawn[row.recipe]))
    means = {row.recipe: row.values for row in found}
    steps = tuple(
        _step(row.against, row.recipe, name, means, drawn) for row in rows if row.against in drawn for name in _MAIN
    )
    return tuple(found), steps, _percent(majority_report(truth))


def _row(
    row: AttributeRow,
    seeds: tuple[int, ...],
    reports: Sequence[AttributeReport],
    results: Sequence[AttributeResult],
    drawn: np.ndarray,
) -> AttributeRowResult:
    by_seed = tuple(map(_percent, reports))
    ends = dict(zip(VALUES, interval_ends(drawn), strict=True))
    return AttributeRowResult(
        recipe=row.recipe,
        title=row.title,
        seeds=seeds,
        values={name: mean(values[name] for values in by_seed) for name in VALUES},
        spreads={name: stdev(values[name] for values in by_seed) for name in VALUES} if len(seeds) > 1 else {},
        intervals={name: (100 * ends[name].low, 100 * ends[name].high) for name in VALUES},
        by_seed=by_seed,
        trainable=results[0].trainable,
        seconds=mean(result.seconds for result in results),
    )


def _step(
    first: str | None, second: str, name: str, means: Mapping[str, Mapping[str, float]], drawn: Mapping[str, np.ndarray]
) -> AttributeStep:
    assert first is not None
    column = VALUES.index(name)
    (ends,) = interval_ends((drawn[second] - drawn[first])[:, column : column + 1])
    return AttributeStep(first, second, name, means[second][name] - means[first][name], 100 * ends.low, 100 * ends.high)


def _percent(report: AttributeReport) -> dict[str, float]:
    return {name: 100 * value for name, value in report.values.items()}
