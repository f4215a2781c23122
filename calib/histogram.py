"""Histogram of absolute values whose range grows with the values."""

from __future__ import annotations

import numpy as np

BINS = 2048

#: Values below this count as zero: bins of a smaller range could not be told apart in float32.
TINY = 1e-30


class AbsHistogram:
    """Counts of |x| in BINS equal bins from 0 to `limit`.

    The first values that are not all zero set `limit` to their largest; a larger one doubles it as often as needed,
    which merges neighbouring bins. What comes out depends on the order of the values, and on nothing else.

    Attributes:
        counts: int64 (BINS,).
        limit: upper end of the last bin; 0 while all values were zero, which are counted in the first bin.
    """

    def __init__(self, counts: np.ndarray | None = None, limit: float = 0.0) -> None:
        self.counts = np.zeros(BINS, np.int64) if counts is None else counts.astype(np.int64)
        self.limit = float(limit)

    def add(self, magnitudes: np.ndarray, largest: float) -> None:
        """Count finite values >= 0 of any shape; `largest` is their maximum."""
        if largest > max(self.limit, TINY):
            self._grow(largest)
        if self.limit == 0:
            self.counts[0] += magnitudes.size
            return
        index = (magnitudes.ravel() * np.float32(BINS / self.limit)).astype(np.int32)
        np.minimum(index, BINS - 1, out=index)
        self.counts += np.bincount(index, minlength=BINS)

    def _grow(self, largest: float) -> None:
        if self.limit == 0:
            self.limit = largest
            return
        while largest > self.limit:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros_like(merged)])
            self.limit *= 2

    @property
    def total(self) -> int:
        """Number of counted values."""
        return int(self.counts.sum())

    @property
    def edges(self) -> np.ndarray:
        """Upper end of each bin, float64 (BINS,)."""
        return np.arange(1, BINS + 1) * (self.limit / BINS)

    @property
    def centers(self) -> np.ndarray:
        """Middle of each bin, float64 (BINS,)."""
        return self.edges - self.limit / (2 * BINS)

    def quantile(self, share: float) -> float:
        """Return the end of the bin below which a share of all values lies."""
        reached = np.searchsorted(np.cumsum(self.counts), share * self.total)
        return float(self.edges[min(int(reached), BINS - 1)])
