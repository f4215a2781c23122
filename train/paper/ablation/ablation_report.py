"""Report of an ablation: our figures over the seeds, compared with the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, stdev

import numpy as np

from ....common.files.atomic import json_text
from ....common.records import Report
from ....common.tables import markdown_table, number, text_table
from ....runtime.evaluation.bootstrap import resampled_means
from ...engine.training_config import TrainConfig
from .record import Record
from .table_rows import Figures, Row, Table

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class RowResult:
    """A row's means over its seeds, in percent.

    `spread` is the standard deviation of mAP over the seeds (None for one seed), `interval` the bootstrap confidence
    interval of the mean mAP over the queries. `trainable` are values, `seconds` of training for one seed.
    """

    key: str
    title: str
    seeds: tuple[int, ...]
    map: float
    spread: float | None
    interval: tuple[float, float]
    rank1: float
    rank5: float
    rank10: float
    trainable: int
    seconds: float
    maps: tuple[float, ...]
    paper: Figures


@dataclass(frozen=True)
class Step(Report):
    """Difference of two rows' mAP in percent points, over the same queries.

    `low` and `high` are the ends of the bootstrap interval; `paper` is the paper's difference, None where not printed.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    paper: float | None
    also = ("verdict",)

    @property
    def verdict(self) -> str:
        """Agreement of the sign with the paper's, and whether the interval excludes zero."""
        if self.paper is None or self.paper == 0:
            return "-"
        same = (self.difference > 0) == (self.paper > 0)
        sure = self.low > 0 or self.high < 0
        return ("as the paper" if same else "other way round") + ("" if sure else ", not sure")


@dataclass(frozen=True)
class AblationReport(Report):
    """Table of the paper with our figures; `steps` compares each pair of rows."""

    table: str
    title: str
    dataset: str
    paper_dataset: str
    recipe: str
    size: str
    epochs: int
    queries: int
    rows: tuple[RowResult, ...]
    steps: tuple[Step, ...]

    def json_text(self) -> str:
        """Return the content of results.json."""
        return json_text(self.to_json())

    def __str__(self) -> str:
        parts = [self._head(), text_table(self._accuracy(), "<<>")]
        if self.steps:
            parts.append(text_table(self._steps(), "<<>"))
        return "\n\n".join([*parts, self._legend()])

    def markdown(self) -> str:
        """Return the content of results.md."""
        parts = [f"## {self.title}", self._head(), markdown_table(self._accuracy(), "<<>")]
        if self.steps:
            parts.append(markdown_table(self._steps(), "<<>"))
        return "\n\n".join([*parts, self._legend()]) + "\n"

    def _head(self) -> str:
        return (
            f"{self.title}: {self.size} on {self.dataset}, recipe {self.recipe}, {self.epochs} epochs, "
            f"{self.queries} queries; paper: ViT-B/16 on {self.paper_dataset}"
        )

    def _accuracy(self) -> list[list[str]]:
        heads = ["row", "parts", "seeds", "mAP", "spread", "95 % interval", "R-1", "R-5", "R-10", "trained", "s"]
        heads += [f"paper {name}" for name in ("mAP", "R-1", "R-5", "R-10", "M params")]
        return [heads, *map(_cells, self.rows)]

    def _steps(self) -> list[list[str]]:
        heads = ["from", "to", "mAP", "95 % interval", "paper", "sign"]
        rows = [
            [
                s.first,
                s.second,
                f"{s.difference:+.1f}",
                f"{s.low:+.1f} .. {s.high:+.1f}",
                "-" if s.paper is None else f"{s.paper:+.1f}",
                s.verdict,
            ]
            for s in self.steps
        ]
        return [heads, *rows]

    def _legend(self) -> str:
        return (
            "Percent, means over the seeds; CLIP stands for the backbone that was given. spread: standard deviation of "
            f"mAP over the seeds. Interval: 95 % bootstrap over the queries, {RESAMPLES} resamples of the seeds' mean. "
            "trained: values that were trained, heads and camera table included; s: seconds of training for one seed. "
            "Second table: differences of mAP between rows over the same queries; not sure: the interval holds zero."
        )


def summarise(
    table: Table, rows: Sequence[Row], records: Sequence[Record], recipe: TrainConfig, dataset: str
) -> AblationReport:
    """Build the report from records; every row must have at least one."""
    by_row = {row.key: [record for record in records if record.row == row.key] for row in rows}
    # (queries,) for each row: the difficulty of a query is the same for all seeds
    precisions = {key: np.mean([one.per_query_ap for one in records], axis=0) for key, records in by_row.items()}
    return AblationReport(
        table=table.key,
        title=table.title,
        dataset=dataset,
        paper_dataset=table.dataset,
        recipe=recipe.name,
        size=recipe.model.size,
        epochs=recipe.solver.epochs,
        queries=len(records[0].per_query_ap),
        rows=tuple(_row_result(row, by_row[row.key], precisions[row.key]) for row in rows),
        steps=tuple(_step(a, b, precisions) for a, b in combinations(rows, 2)),
    )


def _row_result(row: Row, records: Sequence[Record], precisions: np.ndarray) -> RowResult:
    maps = [100 * record.map for record in records]
    return RowResult(
        key=row.key,
        title=row.title,
        seeds=tuple(record.seed for record in records) if row.trained else (),
        map=mean(maps),
        spread=stdev(maps) if len(maps) > 1 else None,
        interval=_interval(precisions),
        rank1=100 * mean(record.rank1 for record in records),
        rank5=100 * mean(record.rank5 for record in records),
        rank10=100 * mean(record.rank10 for record in records),
        trainable=records[0].trainable,
        seconds=mean(record.seconds for record in records),
        maps=tuple(maps),
        paper=row.paper,
    )


def _step(first: Row, second: Row, precisions: dict[str, np.ndarray]) -> Step:
    difference = precisions[second.key] - precisions[first.key]
    printed = None
    if first.paper.map is not None and second.paper.map is not None:
        printed = second.paper.map - first.paper.map
    return Step(first.key, second.key, 100 * float(difference.mean()), *_interval(difference), printed)


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of one value for each query, in percent."""
    means = 100 * resampled_means(values[:, None], RESAMPLES)[:, 0]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def _cells(row: RowResult) -> list[str]:
    paper = row.paper
    low, high = row.interval
    ours = [number(row.map, 1), number(row.spread, 1), f"{low:.1f} .. {high:.1f}"]
    ours += [number(value, 1) for value in (row.rank1, row.rank5, row.rank10)]
    theirs = [number(value, 1) for value in (paper.map, paper.rank1, paper.rank5, paper.rank10)]
    seeds = ",".join(map(str, row.seeds)) or "-"
    return [
        row.key,
        row.title,
        seeds,
        *ours,
        f"{row.trainable:,}",
        f"{row.seconds:.0f}",
        *theirs,
        number(paper.params, 2),
    ]
