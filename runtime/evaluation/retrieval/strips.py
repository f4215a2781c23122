"""Ranked retrievals for the pictures: selection of queries, and their first results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.sample import Benchmark, Sample
from .metrics import RetrievalReport

TOP = 10


@dataclass(frozen=True)
class Retrieved:
    """Gallery sample in a ranking. `similarity` is the cosine to the query's feature."""

    sample: Sample
    similarity: float
    right: bool


@dataclass(frozen=True)
class Strip:
    """Query and the first of its ranking without junk; `first_match` is the rank of the first correct one."""

    query: Sample
    average_precision: float
    first_match: int
    retrieved: tuple[Retrieved, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; samples by name, identity and camera."""
        return {
            "query": _named(self.query),
            "average_precision": self.average_precision,
            "first_match": self.first_match,
            "retrieved": [
                {**_named(one.sample), "similarity": one.similarity, "right": one.right} for one in self.retrieved
            ],
        }


def chosen_queries(average_precision: Sequence[float], count: int) -> list[int]:
    """Return positions of `count` queries, from bad to good: half the worst, the others spread evenly to the best.

    Ties keep their order, so that the choice is deterministic.
    """
    order = np.argsort(np.asarray(average_precision), kind="stable").tolist()
    if count >= len(order):
        return order
    worst, spread = (count + 1) // 2, count // 2
    last, rest = len(order) - 1, len(order) - 1 - worst
    places = [last - i * rest // max(spread - 1, 1) for i in reversed(range(spread))]
    return [order[index] for index in (*range(worst), *places)]


def ranked_strips(
    benchmark: Benchmark,
    report: RetrievalReport,
    positions: Sequence[int],
    distances: np.ndarray,
    similarities: np.ndarray,
    top: int = TOP,
) -> list[Strip]:
    """Return the first `top` of the gallery for some of the report's counted queries.

    Args:
        benchmark: whose query and gallery `report` scored.
        report: has the queries' average precisions.
        positions: indices in the report's lists.
        distances: (positions, gallery), by which the gallery is ranked.
        similarities: (positions, gallery), printed next to each.
        top: largest number of columns.
    """
    identities = np.array([sample.identity for sample in benchmark.gallery])
    groups = np.array([getattr(sample, benchmark.junk) for sample in benchmark.gallery])
    strips = []
    for row, position in enumerate(positions):
        query = benchmark.query[report.query_rows[position]]
        right = identities == query.identity
        order = np.argsort(distances[row], kind="stable")
        ranking = order[~(right & (groups == getattr(query, benchmark.junk)))[order]][:top]
        retrieved = tuple(
            Retrieved(benchmark.gallery[i], float(similarities[row, i]), bool(right[i])) for i in ranking.tolist()
        )
        strips.append(Strip(query, report.per_query_ap[position], report.per_query_first[position], retrieved))
    return strips


def _named(sample: Sample) -> dict[str, Any]:
    return {"name": sample.name, "identity": sample.identity, "camera": sample.camera, "scene": sample.scene}
