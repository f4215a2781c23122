"""Percentile bootstrap confidence intervals over queries, of one report or of the difference of two.

Efron 1979 (https://doi.org/10.1214/aos/1176344552). The gallery is fixed and queries are resampled independently; the
correlation within an identity is ignored, so intervals are too narrow for few identities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.records import Report
from ...errors import InputError
from .retrieval.metrics import RetrievalReport

RANKS = (1, 5, 10)
DEFAULT_RESAMPLES = 1000
DEFAULT_LEVEL = 0.95

# Total queries of the resamples computed at a time: a few arrays of 8 bytes each, about 100 MB.
_DRAWS_AT_ONCE = 4_000_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Confidence interval, fractions (of differences: -1..1)."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Intervals(Report):
    """Percentile intervals of one report's values. `ranks` has one for each of RANKS that the report reaches."""

    map: Interval
    minp: Interval
    ranks: tuple[tuple[int, Interval], ...]
    level: float
    resamples: int
    seed: int

    def rank(self, k: int) -> Interval:
        """Return the interval of CMC at rank k.

        Raises:
            InputError: there is none for that rank.
        """
        for rank, interval in self.ranks:
            if rank == k:
                return interval
        raise InputError(f"There is no interval of Rank-{k}, only of {', '.join(str(rank) for rank, _ in self.ranks)}.")

    def to_json(self) -> dict[str, Any]:
        """Return plain values; an interval is [low, high]."""
        return {
            "map": [self.map.low, self.map.high],
            "minp": [self.minp.low, self.minp.high],
            **{f"rank_{rank}": [interval.low, interval.high] for rank, interval in self.ranks},
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class PairedDifference(Report):
    """Value of a second report minus that of a first, on the same queries.

    `not_better` is the fraction of resamples in which the second report was not better than the first.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    not_better: float

    def __str__(self) -> str:
        return (
            f"{self.name:8}{100 * self.first:6.2f} % -> {100 * self.second:6.2f} %, "
            f"difference {100 * self.difference:+.2f} [{100 * self.low:+.2f}, {100 * self.high:+.2f}], "
            f"no better in {self.not_better:.1%} of the resamples"
        )


def bootstrap_intervals(
    report: RetrievalReport, resamples: int = DEFAULT_RESAMPLES, seed: int = 0, level: float = DEFAULT_LEVEL
) -> Intervals:
    """Compute percentile intervals of mAP, mINP and CMC from `resamples` draws of the queries with replacement.

    Raises:
        InputError: fewer than 1 resample, or a level outside 0..1.
    """
    names, values = _per_query(report)
    means = resampled_means(values, resamples, seed)
    ends = dict(zip(names, interval_ends(means, level), strict=True))
    ranks = tuple((k, ends[f"Rank-{k}"]) for k in RANKS if f"Rank-{k}" in ends)
    return Intervals(ends["mAP"], ends["mINP"], ranks, level, resamples, seed)


def paired_differences(
    first: RetrievalReport,
    second: RetrievalReport,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
    level: float = DEFAULT_LEVEL,
) -> tuple[PairedDifference, ...]:
    """Compute `second` minus `first` in mAP, mINP and CMC, with percentile intervals.

    Each resample takes the same queries from both reports, so that the common difficulty of a query cancels out.

    Raises:
        InputError: the reports counted different queries, have no common ranks, or as `bootstrap_intervals`.
    """
    if first.query_rows != second.query_rows:
        raise InputError(
            f"The reports counted different queries ({first.queries} and {second.queries}), so they cannot be paired. "
            "Evaluate both models on the same benchmark."
        )
    (names, first_values), (others, second_values) = _per_query(first), _per_query(second)
    if names != others:
        raise InputError(f"One report holds {', '.join(names)}, the other {', '.join(others)}. Use one max_rank.")
    means = resampled_means(second_values - first_values, resamples, seed)
    ends = interval_ends(means, level)
    return tuple(
        PairedDifference(
            name=name,
            first=float(first_values[:, i].mean()),
            second=float(second_values[:, i].mean()),
            difference=float((second_values[:, i] - first_values[:, i]).mean()),
            low=ends[i].low,
            high=ends[i].high,
            not_better=float((means[:, i] <= 0).mean()),
        )
        for i, name in enumerate(names)
    )


def resampled_means(values: npt.ArrayLike, resamples: int, seed: int = 0) -> Floats:
    """Compute the means of each column (N, columns) over `resamples` draws of the rows with replacement.

    Returns:
        (resamples, columns).

    Raises:
        InputError: fewer than 1 resample, or nothing to draw from.
    """
    table = np.asarray(values, dtype=np.float64)
    if resamples < 1:
        raise InputError(f"A bootstrap needs at least 1 resample, not {resamples}.")
    if table.ndim != 2 or not len(table):
        raise InputError(f"A bootstrap needs values of shape (queries, columns), at least one, not {table.shape}.")
    count = len(table)
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // count)
    parts = []
    for start in range(0, resamples, rows):
        number = min(rows, resamples - start)
        drawn = rng.integers(count, size=(number, count)) + count * np.arange(number)[:, None]
        # count of draws of each query: the means are then one matrix product
        times = np.bincount(drawn.ravel(), minlength=number * count).reshape(number, count)
        parts.append(times @ table / count)
    return np.concatenate(parts)


def _per_query(report: RetrievalReport) -> tuple[list[str], Floats]:
    """Return the names of the values and their contributions (queries, values), whose mean is the report's value."""
    reached = [k for k in RANKS if k <= len(report.cmc)]
    first = np.array(report.per_query_first)
    columns = [np.array(report.per_query_ap), np.array(report.per_query_inp), *(first <= k for k in reached)]
    return ["mAP", "mINP", *(f"Rank-{k}" for k in reached)], np.stack(columns, axis=1).astype(np.float64)


def interval_ends(means: Floats, level: float = DEFAULT_LEVEL) -> list[Interval]:
    """Return the percentile interval of each column of resampled values (resamples, columns).

    Raises:
        InputError: a level outside 0..1.
    """
    if not 0 < level < 1:
        raise InputError(f"The level of an interval must be between 0 and 1, such as 0.95, not {level}.")
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]
