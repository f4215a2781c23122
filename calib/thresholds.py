"""Thresholds from a histogram of |x|: four algorithms that weigh clipping against rounding."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..graph.scales import LEVELS
from .histogram import BINS, AbsHistogram

MINMAX, ENTROPY, PERCENTILE, MSE = "minmax", "entropy", "percentile", "mse"
#: The simplest first: of equal errors the first one is taken.
ALGORITHMS = (MINMAX, PERCENTILE, MSE, ENTROPY)
AUTO = "auto"

DEFAULT_PERCENTILE = 99.99
#: Thresholds that MSE tries, as shares of the largest value.
_SHARES = np.linspace(0.05, 1.0, 96)
#: Bins between two thresholds that entropy tries.
_STEP = 16


def threshold(histogram: AbsHistogram, largest: float, algorithm: str, percentile: float = DEFAULT_PERCENTILE) -> float:
    """Return the absolute value that becomes 127.

    Args:
        histogram: of absolute values that are not all zero.
        largest: the largest of them, > 0; no threshold is larger.
        algorithm: one of ALGORITHMS.
        percentile: for PERCENTILE, the share of values in percent that must not be clipped.

    Raises:
        InputError: an unknown algorithm.
    """
    if algorithm == MINMAX:
        return largest
    if algorithm == PERCENTILE:
        found = histogram.quantile(percentile / 100)
    elif algorithm == MSE:
        found = _least_squares(histogram, largest)
    elif algorithm == ENTROPY:
        found = _least_divergence(histogram)
    else:
        raise InputError(f"algorithm must be one of {', '.join((AUTO, *ALGORITHMS))}, not {algorithm!r}.")
    return min(found, largest)


def _least_squares(histogram: AbsHistogram, largest: float) -> float:
    """Return the threshold of least squared error, rounding and clipping together."""
    occupied = histogram.counts > 0
    counts, values = histogram.counts[occupied].astype(np.float64), histogram.centers[occupied]
    steps = (_SHARES * largest / LEVELS)[:, None]
    rounded = np.minimum(np.rint(values / steps), LEVELS) * steps
    errors = ((rounded - values) ** 2) @ counts
    return float(_SHARES[int(np.argmin(errors))] * largest)


def _least_divergence(histogram: AbsHistogram) -> float:
    """Return the threshold of least Kullback-Leibler divergence between observed and quantized distribution."""
    counts = histogram.counts.astype(np.float64)
    # zeros are exact at any scale, and would outweigh everything else
    counts[0] = counts[1]
    used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else BINS
    levels = LEVELS + 1
    if used <= levels:
        return float(histogram.edges[used - 1])
    tried = np.append(np.arange(levels, used, _STEP), used)
    divergences = [_divergence(counts, int(bins), levels) for bins in tried]
    return float(histogram.edges[tried[int(np.argmin(divergences))] - 1])


def _divergence(counts: np.ndarray, bins: int, levels: int) -> float:
    kept = counts[:bins]
    observed = kept.copy()
    observed[-1] += counts[bins:].sum()
    starts = np.arange(levels) * bins // levels
    occupied = (kept > 0).astype(np.float64)
    total, filled = np.add.reduceat(kept, starts), np.add.reduceat(occupied, starts)
    level = np.searchsorted(starts, np.arange(bins), side="right") - 1
    # within a level its mass is spread over the bins that hold something
    coarse = occupied * (total / np.maximum(filled, 1))[level]
    if not coarse.any() or not observed.any():
        return np.inf
    p, q = observed / observed.sum(), coarse / coarse.sum()
    mine = p > 0
    # what is clipped into an empty last bin must cost, not divide by zero
    return float(np.sum(p[mine] * np.log(p[mine] / np.maximum(q[mine], 1e-12))))
