"""Retrieval metrics: CMC, mAP and mINP (https://arxiv.org/abs/2001.04193) under the benchmarks' junk rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ....common.tables import text_table
from ....errors import InputError
from .distances import Floats, Integers, checked_features, normalised, unit_distances

# Queries at a time: 256 x 8000 float64 distances are 16 MB, and so is each of the few other arrays.
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class RetrievalReport:
    """Accuracy of a ranking; all values are fractions 0..1.

    `cmc[k-1]` is the fraction of queries with a match among their first k. `skipped_queries` have no gallery image of
    their identity outside their own camera or scene and are not counted; `absent_queries` of them are of identities
    missing in the gallery.

    The other lists have one value per counted query, in order: its row among all queries, its average precision, its
    inverse negative penalty (matches / rank of the last one), and the rank of its first match.
    """

    map: float
    cmc: tuple[float, ...]
    minp: float
    queries: int
    skipped_queries: int
    absent_queries: int
    query_rows: tuple[int, ...]
    per_query_ap: tuple[float, ...]
    per_query_inp: tuple[float, ...]
    per_query_first: tuple[int, ...]

    def rank(self, k: int) -> float:
        """Return CMC at rank k, counted from 1.

        Raises:
            InputError: the report does not reach that rank.
        """
        if not 1 <= k <= len(self.cmc):
            raise InputError(f"Rank {k} was asked for; this report holds ranks 1..{len(self.cmc)}.")
        return self.cmc[k - 1]

    def summary(self) -> dict[str, Any]:
        """Return the means and counts as plain values."""
        return {
            "map": self.map,
            "minp": self.minp,
            "cmc": list(self.cmc),
            "queries": self.queries,
            "skipped_queries": self.skipped_queries,
            "absent_queries": self.absent_queries,
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain values, including those of each query."""
        return {
            **self.summary(),
            "query_rows": list(self.query_rows),
            "per_query_ap": list(self.per_query_ap),
            "per_query_inp": list(self.per_query_inp),
            "per_query_first": list(self.per_query_first),
        }

    def __str__(self) -> str:
        ranks = [k for k in (1, 5, 10) if k <= len(self.cmc)]
        heads = ["mAP", *(f"Rank-{k}" for k in ranks), "mINP", "queries", "skipped"]
        cells = [f"{100 * value:.2f} %" for value in (self.map, *(self.rank(k) for k in ranks), self.minp)]
        cells += [str(self.queries), str(self.skipped_queries)]
        return text_table([heads, cells], ">")


def squared_distances(query_features: npt.ArrayLike, gallery_features: npt.ArrayLike) -> Floats:
    """Compute squared Euclidean distances of the normalized rows.

    Returns:
        float64 (queries, gallery), 0..4.

    Raises:
        InputError: features that are not (N, dim) with equal dim, or not finite.
    """
    query, gallery = checked_features(query_features, gallery_features)
    return unit_distances(normalised(query), normalised(gallery))


def rank_gallery(query_features: npt.ArrayLike, gallery_features: npt.ArrayLike, top: int | None = None) -> Integers:
    """Rank the gallery from near to far; equal distances preserve the gallery's order.

    Returns:
        gallery indices, int64 (queries, top or gallery).

    Raises:
        InputError: as `squared_distances`.
    """
    order = np.argsort(squared_distances(query_features, gallery_features), axis=1, kind="stable")
    return order[:, :top]


def evaluate_retrieval(
    query_features: npt.ArrayLike,
    gallery_features: npt.ArrayLike,
    query_ids: npt.ArrayLike,
    gallery_ids: npt.ArrayLike,
    query_groups: npt.ArrayLike,
    gallery_groups: npt.ArrayLike,
    max_rank: int = 50,
) -> RetrievalReport:
    """Rank the gallery for each query and score it.

    Features are (N, dim), normalized here; ids and groups are integers (N,). A gallery image of the query's identity
    and group (camera or scene) is junk: it is removed from the query's ranking.

    Raises:
        InputError: shapes that do not fit, features that are not finite, no query with a valid match.
    """
    query, gallery = checked_features(query_features, gallery_features)
    query_labels = _checked_labels("query", len(query), query_ids, query_groups)
    gallery_labels = _checked_labels("gallery", len(gallery), gallery_ids, gallery_groups)
    query, gallery = normalised(query), normalised(gallery)
    blocks = (unit_distances(query[rows], gallery) for rows in _row_slices(len(query)))
    return _report(blocks, query_labels, gallery_labels, max_rank)


def evaluate_distances(
    distances: npt.ArrayLike,
    query_ids: npt.ArrayLike,
    gallery_ids: npt.ArrayLike,
    query_groups: npt.ArrayLike,
    gallery_groups: npt.ArrayLike,
    max_rank: int = 50,
) -> RetrievalReport:
    """Score as `evaluate_retrieval`, from any distances (queries, gallery), for example re-ranked ones.

    Raises:
        InputError: shapes that do not fit, distances that are not finite, no query with a valid match.
    """
    table = np.asarray(distances)
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise InputError(
            f"Distances must be finite numbers of shape (queries, gallery), neither of them 0, not {table.shape} with "
            f"{int((~np.isfinite(table)).sum())} NaN or infinite ones."
        )
    query_labels = _checked_labels("query", table.shape[0], query_ids, query_groups)
    gallery_labels = _checked_labels("gallery", table.shape[1], gallery_ids, gallery_groups)
    return _report((table[rows] for rows in _row_slices(len(table))), query_labels, gallery_labels, max_rank)


def _report(
    blocks: Iterable[Floats], query_labels: Integers, gallery_labels: Integers, max_rank: int
) -> RetrievalReport:
    """Build the report; `blocks` are distances of `_row_slices` of queries, labels (2, N) identities and groups."""
    slices = _row_slices(query_labels.shape[1])
    scores = _joined(
        [_scores(block, query_labels[:, rows], gallery_labels) for block, rows in zip(blocks, slices, strict=True)]
    )
    counted = scores.hits > 0
    if not counted.any():
        raise InputError(
            f"None of the {len(counted)} queries has a gallery image of its identity outside its own camera or scene, "
            "so there is nothing to score. Give a gallery in which the queries' identities appear elsewhere too."
        )
    precision, first, last = scores.average_precision[counted], scores.first[counted], scores.last[counted]
    cmc = (first[:, None] <= np.arange(1, max_rank + 1)).mean(axis=0)
    inverse_penalty = scores.hits[counted] / last
    return RetrievalReport(
        map=float(precision.mean()),
        cmc=tuple(cmc.tolist()),
        minp=float(inverse_penalty.mean()),
        queries=int(counted.sum()),
        skipped_queries=int((~counted).sum()),
        absent_queries=int((~np.isin(query_labels[0], gallery_labels[0])).sum()),
        query_rows=tuple(np.flatnonzero(counted).tolist()),
        per_query_ap=tuple(precision.tolist()),
        per_query_inp=tuple(inverse_penalty.tolist()),
        per_query_first=tuple(first.tolist()),
    )


class _Scores(NamedTuple):
    """Per query: number of valid matches, AP, and the ranks (from 1) of the first and of the last match."""

    hits: npt.NDArray[Any]
    average_precision: npt.NDArray[Any]
    first: npt.NDArray[Any]
    last: npt.NDArray[Any]


def _scores(distances: Floats, query_labels: Integers, gallery_labels: Integers) -> _Scores:
    order = np.argsort(distances, axis=1, kind="stable")
    ids, groups = gallery_labels[0][order], gallery_labels[1][order]
    same = ids == query_labels[0][:, None]
    kept = ~(same & (groups == query_labels[1][:, None]))
    hit = same & kept
    # Ranks count the images without junk.
    rank = np.cumsum(kept, axis=1)
    hits_so_far = np.cumsum(hit, axis=1)
    hits = hits_so_far[:, -1]
    precision = np.where(hit, hits_so_far / np.maximum(rank, 1), 0.0).sum(axis=1) / np.maximum(hits, 1)
    first = np.where(hit, rank, np.iinfo(np.int64).max).min(axis=1)
    last = np.where(hit, rank, 0).max(axis=1)
    return _Scores(hits, precision, first, last)


def _joined(parts: Sequence[_Scores]) -> _Scores:
    return _Scores(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _row_slices(count: int) -> list[slice]:
    return [slice(start, start + _QUERIES_AT_ONCE) for start in range(0, count, _QUERIES_AT_ONCE)]


def _checked_labels(name: str, count: int, ids: npt.ArrayLike, groups: npt.ArrayLike) -> Integers:
    columns = [np.asarray(ids), np.asarray(groups)]
    for label, column in zip(("ids", "groups"), columns, strict=True):
        if column.shape != (count,):
            raise InputError(
                f"{count} {name} features came with {name} {label} of shape {column.shape}; expected ({count},)."
            )
    return np.stack(columns).astype(np.int64)
