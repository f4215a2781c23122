"""Retrieval metrics: CMC, mAP and mINP under the benchmarks' junk rule, without re-ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]

# Distances of this many queries at a time: 256 x 8000 float64 is 16 MB, and so is each of the few arrays beside it.
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class RetrievalReport:
    """How well a gallery was ranked; all values are fractions 0..1.

    `cmc[k-1]` is the share of queries with a match among their first k. `skipped_queries` had no gallery image of
    their identity outside their own camera or scene; they count nowhere. `per_query_ap` has one value per counted
    query, in order.
    """

    map: float
    cmc: tuple[float, ...]
    minp: float
    queries: int
    skipped_queries: int
    per_query_ap: tuple[float, ...]

    def rank(self, k: int) -> float:
        """CMC at rank k, counted from 1.

        Raises:
            InputError: the report does not reach that rank.
        """
        if not 1 <= k <= len(self.cmc):
            raise InputError(f"Rank {k} was asked for; this report holds ranks 1..{len(self.cmc)}.")
        return self.cmc[k - 1]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "map": self.map,
            "minp": self.minp,
            "cmc": list(self.cmc),
            "queries": self.queries,
            "skipped_queries": self.skipped_queries,
            "per_query_ap": list(self.per_query_ap),
        }

    def __str__(self) -> str:
        ranks = [k for k in (1, 5, 10) if k <= len(self.cmc)]
        heads = ["mAP", *(f"Rank-{k}" for k in ranks), "mINP", "queries", "skipped"]
        cells = [f"{100 * value:.2f} %" for value in (self.map, *(self.rank(k) for k in ranks), self.minp)]
        cells += [str(self.queries), str(self.skipped_queries)]
        widths = [max(len(head), len(cell)) for head, cell in zip(heads, cells, strict=True)]
        rows = ("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in (heads, cells))
        return "\n".join(rows)


def normalised(features: npt.ArrayLike) -> Floats:
    """Rows divided by their Euclidean length, float64 (N, dim); a row of zeros stays zero."""
    rows = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def squared_distances(query_features: npt.ArrayLike, gallery_features: npt.ArrayLike) -> Floats:
    """Squared Euclidean distances of the normalised rows, float64 (queries, gallery), 0..4.

    Raises:
        InputError: features that are not (N, dim) with equal dim, or not finite.
    """
    query, gallery = _checked_features(query_features, gallery_features)
    return _distances(normalised(query), normalised(gallery))


def rank_gallery(query_features: npt.ArrayLike, gallery_features: npt.ArrayLike, top: int | None = None) -> Integers:
    """Gallery indices from near to far, int64 (queries, top or gallery); equal distances keep the gallery's order.

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

    Features are (N, dim), normalised here; ids and groups are whole numbers (N,). A gallery image of the query's
    identity and group (camera or scene) is junk: it is taken out of the query's ranking.

    Raises:
        InputError: shapes that do not fit, features that are not finite, no query with a valid match.
    """
    query, gallery = _checked_features(query_features, gallery_features)
    query_labels = _checked_labels("query", len(query), query_ids, query_groups)
    gallery_labels = _checked_labels("gallery", len(gallery), gallery_ids, gallery_groups)
    query, gallery = normalised(query), normalised(gallery)
    scores = _joined(
        [
            _scores(_distances(query[rows], gallery), query_labels[:, rows], gallery_labels)
            for rows in _row_slices(len(query))
        ]
    )
    counted = scores.hits > 0
    if not counted.any():
        raise InputError(
            f"None of the {len(query)} queries has a gallery image of its identity outside its own camera or scene, so "
            "there is nothing to score. Give a gallery in which the queries' identities appear elsewhere too."
        )
    precision, first, last = scores.average_precision[counted], scores.first[counted], scores.last[counted]
    cmc = (first[:, None] <= np.arange(1, max_rank + 1)).mean(axis=0)
    return RetrievalReport(
        map=float(precision.mean()),
        cmc=tuple(cmc.tolist()),
        minp=float((scores.hits[counted] / last).mean()),
        queries=int(counted.sum()),
        skipped_queries=int((~counted).sum()),
        per_query_ap=tuple(precision.tolist()),
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
    # Ranks count what is left after the junk is gone.
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


def _distances(query: Floats, gallery: Floats) -> Floats:
    lengths = (query**2).sum(axis=1)[:, None] + (gallery**2).sum(axis=1)[None, :]
    return np.maximum(lengths - 2.0 * (query @ gallery.T), 0.0)


def _checked_features(query: npt.ArrayLike, gallery: npt.ArrayLike) -> tuple[Floats, Floats]:
    arrays = np.asarray(query), np.asarray(gallery)
    for name, array in zip(("query", "gallery"), arrays, strict=True):
        if array.ndim != 2 or array.size == 0:
            raise InputError(
                f"The {name} features have shape {array.shape}; expected (images, dim), neither of them 0."
            )
        bad = int((~np.isfinite(array).all(axis=1)).sum())
        if bad:
            raise InputError(
                f"{bad} of {len(array)} {name} features hold NaN or infinity, so they cannot be ranked. "
                "Look at the model that made them, and at its precision."
            )
    if arrays[0].shape[1] != arrays[1].shape[1]:
        raise InputError(
            f"Query features have {arrays[0].shape[1]} values and gallery features {arrays[1].shape[1]}. "
            "Only features of one model can be compared."
        )
    return arrays


def _checked_labels(name: str, count: int, ids: npt.ArrayLike, groups: npt.ArrayLike) -> Integers:
    columns = [np.asarray(ids), np.asarray(groups)]
    for label, column in zip(("ids", "groups"), columns, strict=True):
        if column.shape != (count,):
            raise InputError(
                f"{count} {name} features came with {name} {label} of shape {column.shape}; expected ({count},)."
            )
    return np.stack(columns).astype(np.int64)
