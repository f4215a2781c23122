"""k-reciprocal re-ranking (Zhong, Zheng, Cao and Li, CVPR 2017, https://arxiv.org/abs/1701.08398).

Two images that are among each other's nearest neighbors probably show the same identity. Each image is encoded by the
set of such neighbors, and the Jaccard distance of two encodings is blended with the original distance. Labels are not
used.

Details that the paper leaves open follow the code of the published numbers: neighbor lists include the image itself;
distances are divided by the largest of their row; encodings sum to 1; and a neighbor's own set is added when it shares
more than (not at least) two thirds with the image's.

No N x N array is allocated: distances are computed for a block of rows at a time, encodings are sparse.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ....common.progress import Track, silent
from ....errors import InputError
from .distances import Floats, checked_features, normalised, unit_distances

# Rows at a time: 256 x 20,000 float64 is 41 MB, and so is each of the few arrays beside it.
_ROWS_AT_ONCE = 256
# Pairs whose distance is computed at a time: 2 x 8192 features of 1536 float64 are 200 MB.
_PAIRS_AT_ONCE = 8192

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reranking:
    """Parameters of re-ranking, by default the paper's.

    Attributes:
        k1: neighbors considered for reciprocity; half of them when a neighbor's own set is added.
        k2: images, the image itself included, over which encodings are averaged; 1 = no such query expansion.
        distance_weight: the paper's lambda, the weight of the original distance in the result.

    Raises:
        InputError: an invalid value.
    """

    k1: int = 20
    k2: int = 6
    distance_weight: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or not 1 <= self.k2 <= self.k1 + 1 or not 0 <= self.distance_weight <= 1:
            raise InputError(
                f"Re-ranking needs k1 >= 1, k2 in 1..k1 + 1 and a distance_weight in 0..1, not {self.k1}, {self.k2} "
                f"and {self.distance_weight}."
            )


class _Sparse(NamedTuple):
    """Sparse matrix by rows: row r has `columns` and `values` from `starts[r]` to `starts[r + 1]`."""

    starts: Indices
    columns: Indices
    values: Floats


def reranked_distances(
    query_features: npt.ArrayLike,
    gallery_features: npt.ArrayLike,
    parameters: Reranking | None = None,
    track: Track = silent,
) -> Floats:
    """Compute distances after re-ranking.

    Neighbors are searched among queries and gallery together, junk images included: only the scoring removes those. An
    image that is query and gallery (all of RGBNT201's test images are) is two neighbors.

    Returns:
        float64 (queries, gallery).

    Raises:
        InputError: features that are not (N, dim) with equal dim, or not finite.
    """
    parameters = parameters or Reranking()
    query, gallery = checked_features(query_features, gallery_features)
    features = normalised(np.concatenate([query, gallery]))
    neighbours = _neighbours(features, len(query), parameters.k1 + 1, track)
    encodings = _averaged(_encodings(features, neighbours, parameters.k1, track), neighbours.nearest, parameters.k2)
    return _blended(encodings, neighbours.original, parameters.distance_weight, track)


class _Neighbours(NamedTuple):
    """Nearest neighbors and scaled distances.

    `nearest` (N, k) rows from near to far, the row itself first; `farthest` (N,) the largest distance of each row;
    `original` (queries, gallery) distances divided by it.
    """

    nearest: Indices
    farthest: Floats
    original: Floats


def _neighbours(features: Floats, queries: int, count: int, track: Track) -> _Neighbours:
    total = len(features)
    count = min(count, total)
    nearest = np.empty((total, count), np.int64)
    farthest = np.empty(total)
    original = np.empty((queries, total - queries))
    for rows in _blocks(total, "Re-ranking: neighbours", track):
        block = unit_distances(features[rows], features)
        farthest[rows] = np.maximum(block.max(axis=1), np.finfo(np.float64).tiny)
        if rows.start < queries:
            here = slice(rows.start, min(rows.stop, queries))
            original[here] = block[: here.stop - here.start, queries:] / farthest[here, None]
        # the image itself comes first even where others have the same features
        block[np.arange(len(block)), np.arange(total)[rows]] = -1.0
        some = _smallest(block, count)
        order = np.argsort(np.take_along_axis(block, some, axis=1), axis=1, kind="stable")
        nearest[rows] = np.take_along_axis(some, order, axis=1)
    return _Neighbours(nearest, farthest, original)


def _smallest(block: Floats, count: int) -> Indices:
    """Find the columns of the `count` smallest values of each row; of equal values those of the first columns.

    NumPy's partition leaves open which of equal values it takes, and takes others in another release.

    Returns:
        int64 (rows, count), columns in ascending order.
    """
    last = np.partition(block, count - 1, axis=1)[:, count - 1, None]
    taken = block < last
    equal = block == last
    missing = count - taken.sum(axis=1, keepdims=True)
    taken |= equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= missing)
    return np.nonzero(taken)[1].reshape(len(block), count)


def _encodings(features: Floats, neighbours: _Neighbours, k1: int, track: Track) -> _Sparse:
    """Return exp(-distance) on each image's extended set of reciprocal neighbors, 0 elsewhere; rows sum to 1."""
    nearest, total = neighbours.nearest, len(features)
    half = nearest[:, : round(k1 / 2) + 1]
    mutual, mutual_half = _mutual(nearest), _mutual(half)
    lengths, columns, values = [], [], []
    for rows in _blocks(total, "Re-ranking: encodings", track):
        members = _extended(nearest[rows], mutual[rows], half, mutual_half, total)
        local, found = np.nonzero(members)
        row_numbers = local + rows.start
        weights = np.exp(-_pair_distances(features, row_numbers, found) / neighbours.farthest[row_numbers])
        sums = np.bincount(local, weights, minlength=len(members))
        lengths.append(np.bincount(local, minlength=len(members)))
        columns.append(found)
        values.append(weights / sums[local])
    return _sparse(lengths, columns, values)


def _mutual(nearest: Indices) -> npt.NDArray[np.bool_]:
    """Return which entries of the lists (N, k) have the row in their own list, bool (N, k)."""
    return (nearest[nearest] == np.arange(len(nearest))[:, None, None]).any(axis=2)


def _extended(
    nearest: Indices,
    mutual: npt.NDArray[np.bool_],
    half: Indices,
    mutual_half: npt.NDArray[np.bool_],
    total: int,
) -> npt.NDArray[np.bool_]:
    """Return the set R* of equation 2 for a block of rows, bool (rows, total); `half` holds all rows' lists."""
    row = np.arange(len(nearest))[:, None]
    members = np.zeros((len(nearest), total), np.bool_)
    members[row, nearest] = mutual
    # for each mutual neighbour its own, shorter set: (rows, k, k / 2)
    theirs, valid = half[nearest], mutual_half[nearest]
    shared = (members[row[:, :, None], theirs] & valid).sum(axis=2)
    # written without division: thirds are not exact
    taken = mutual & (3 * shared > 2 * valid.sum(axis=2))
    local, first, second = np.nonzero(taken[:, :, None] & valid)
    members[local, theirs[local, first, second]] = True
    return members


def _pair_distances(features: Floats, first: Indices, second: Indices) -> Floats:
    result = np.empty(len(first))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        pairs = slice(start, start + _PAIRS_AT_ONCE)
        apart = features[first[pairs]] - features[second[pairs]]
        result[pairs] = np.einsum("pd,pd->p", apart, apart)
    return result


def _averaged(encodings: _Sparse, nearest: Indices, k2: int) -> _Sparse:
    """Return the mean of the encodings of each row's k2 nearest, itself included (local query expansion)."""
    total, nearest = len(nearest), nearest[:, :k2]
    lengths, columns, values = [], [], []
    for rows in _blocks(total):
        taken = nearest[rows]
        owner, places = _entries(encodings, taken.ravel())
        local = owner // taken.shape[1]
        cells = local * total + encodings.columns[places]
        dense = np.bincount(cells, encodings.values[places], minlength=len(taken) * total).reshape(len(taken), total)
        local, nonzero = np.nonzero(dense)
        lengths.append(np.bincount(local, minlength=len(taken)))
        columns.append(nonzero)
        values.append(dense[local, nonzero] / taken.shape[1])
    return _sparse(lengths, columns, values)


def _blended(encodings: _Sparse, original: Floats, weight: float, track: Track) -> Floats:
    """Compute (1 - weight) x Jaccard distance + weight x original distance, in place of `original`."""
    queries, images = original.shape
    in_gallery = _transposed(encodings, queries)
    rows = range(queries)
    for row in track(rows, "Re-ranking: distances", queries):
        entries = slice(encodings.starts[row], encodings.starts[row + 1])
        owner, places = _entries(in_gallery, encodings.columns[entries])
        smaller = np.minimum(encodings.values[entries][owner], in_gallery.values[places])
        shared = np.bincount(in_gallery.columns[places], smaller, minlength=images)
        # two encodings of sum 1: the larger values add up to 2 less the smaller ones
        original[row] = (1 - weight) * (1 - shared / (2 - shared)) + weight * original[row]
    return original


def _blocks(total: int, description: str = "", track: Track = silent) -> Iterable[slice]:
    starts = range(0, total, _ROWS_AT_ONCE)
    return (slice(start, min(start + _ROWS_AT_ONCE, total)) for start in track(starts, description, len(starts)))


def _sparse(lengths: list[Indices], columns: list[Indices], values: list[Floats]) -> _Sparse:
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return _Sparse(starts, np.concatenate(columns), np.concatenate(values))


def _entries(matrix: _Sparse, rows: Indices) -> tuple[Indices, Indices]:
    """Return all entries of the given rows: the index into `rows` and the position in `matrix` of each."""
    lengths = matrix.starts[rows + 1] - matrix.starts[rows]
    owner = np.repeat(np.arange(len(rows)), lengths)
    before = np.cumsum(lengths) - lengths
    return owner, np.arange(len(owner)) - np.repeat(before - matrix.starts[rows], lengths)


def _transposed(matrix: _Sparse, first: int) -> _Sparse:
    """Return the rows from `first` on, by column; rows are counted from `first`."""
    total = len(matrix.starts) - 1
    begin = matrix.starts[first]
    rows = np.repeat(np.arange(total - first), np.diff(matrix.starts[first:]))
    columns = matrix.columns[begin:]
    order = np.argsort(columns, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=total))])
    return _Sparse(starts, rows[order], matrix.values[begin:][order])
